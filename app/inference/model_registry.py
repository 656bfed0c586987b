"""The registry of model versions: it loads them, serves the right one, and knows why others are not served."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from app.errors import UnknownModel
from digits import artifact
from digits.artifact import MAX_FILES, SHIPPED
from digits.classifier import Classifier, candidates, no_usable_model
from digits.errors import ArtifactError, GoldenMismatch, NoUsableModel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _FileState:
    """What tells one state of a file from another. Times are compared for equality only, so the clock may jump."""

    path: str
    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    """Set by the kernel alone, while a copy may keep the time of modification."""


@dataclass(frozen=True, slots=True)
class _FolderState:
    """A version's folder as it was at one time. The registry never loads the same state twice."""

    folder: Path
    files: tuple[_FileState, ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A classifier, and the state of the folder that it was loaded from."""

    state: _FolderState
    classifier: Classifier


@dataclass(frozen=True, slots=True)
class Version:
    """A version that the registry has found."""

    version: int
    shipped: bool
    """Whether the version came with the code. Otherwise it was published."""
    state: Literal["serving", "available", "refused"]
    """"available" is a version that a newer one takes precedence over. It was not verified yet."""
    reason: str | None
    """Why the version was refused, or, for the served one, why it could not be loaded again."""


class ModelRegistry:
    """The versions of the model. Without a usable version the service runs and `/readyz` gives the reason."""

    def __init__(
        self,
        model_dir: Path,
        pinned: int | None = None,
        *,
        extra_versions: Iterable[int] = (),
        labels: Mapping[str, int] = MappingProxyType({}),
        on_load: Callable[[str], object] = lambda _outcome: None,
    ) -> None:
        """Load nothing yet; `refresh` does.

        Args:
            model_dir: where versions are published. The shipped versions are used while it has no usable one.
            pinned: the only version to serve; None serves the newest.
            extra_versions: versions that clients can request by number, besides the served one.
            labels: names of versions, which clients can request too.
            on_load: called with "served" or "refused" after each attempt to load a version, in the loading thread.
        """
        self.pinned = pinned
        self._model_dir = model_dir
        self._extra_numbers = frozenset(extra_versions) | frozenset(labels.values())
        self._labels = labels
        self._on_load = on_load
        self._draining = False
        self._classifier: Classifier | None = None
        self._served_state: _FolderState | None = None
        """None before the first version is served, and while the served version must be loaded again."""
        self._extra: dict[int, _Loaded] = {}
        self._folders: list[Path] = []
        self._unlisted: list[str] = []
        """Why some places could not be listed."""
        self._refused: dict[_FolderState, str] = {}
        self._reason = "the model has not been loaded yet"
        self._fault: str | None = None
        """Why the served version failed its last self-test."""
        self._folder_is_lost = False

    def drain(self) -> None:
        """Report that the service is not ready from now on. Requests are still answered."""
        self._draining = True

    @property
    def started(self) -> bool:
        """Whether a version was loaded."""
        return self._classifier is not None

    @property
    def classifier(self) -> Classifier:
        """The served version.

        Raises:
            NoUsableModel: there is none; the message says why.
        """
        if self._classifier is None:
            raise NoUsableModel(self._reason)
        return self._classifier

    def version(self, number: int) -> Classifier:
        """Return the loaded version with this number.

        Raises:
            UnknownModel: it is not loaded.
            NoUsableModel: no version is.
        """
        served = self.classifier
        if served.manifest.version == number:
            return served
        if number in self._extra:
            return self._extra[number].classifier
        raise UnknownModel(
            f"version {number} of {artifact.NAME} is not loaded; loaded is {', '.join(map(str, self.loaded()))}"
        )

    def labelled(self, label: str) -> int:
        """Return the number of the version with this label.

        Raises:
            UnknownModel: no version has it.
        """
        if label not in self._labels:
            known = ", ".join(self._labels) or "none"
            raise UnknownModel(f"no version of {artifact.NAME} has the label {label[:40]!r}; known labels: {known}")
        return self._labels[label]

    def loaded(self) -> list[int]:
        """Return the numbers of the versions that clients can request, in order."""
        served = [] if self._classifier is None else [self._classifier.manifest.version]
        return sorted({*served, *self._extra})

    def versions(self) -> list[Version]:
        """Return all versions that the last refresh found, highest first; at most a thousand per place."""
        reasons = {state.folder: reason for state, reason in self._refused.items()}
        served = self._classifier.folder if self._classifier else None
        folders = self._folders
        if served and served not in folders:
            reasons[served] = "its folder cannot be found; it is served from memory"
            folders = [served, *folders]
        versions = []
        for folder in folders:
            reason = reasons.get(folder)
            state: Literal["serving", "available", "refused"] = "refused" if reason else "available"
            if folder == served:
                state = "serving"
            # Clients must not learn the paths of the server's folders.
            public_reason = reason and reason.replace(f"{folder}/", "")
            versions.append(Version(int(folder.name), str(folder).startswith(f"{SHIPPED}/"), state, public_reason))
        return sorted(versions, key=lambda version: version.version, reverse=True)

    def unready_reason(self) -> str | None:
        """Run the self-test, which takes well under a millisecond.

        Returns:
            Why the service is not ready, or None if it is.
        """
        if self._draining:
            return "draining: the service stops"
        return self._reason if self._classifier is None else self._self_test(self._classifier)

    def _self_test(self, classifier: Classifier) -> str | None:
        """Return why the golden predictions are wrong, or None. Each change is logged once."""
        fault = None
        try:
            classifier.self_test()
        except GoldenMismatch as exc:
            fault = str(exc)
        previous, self._fault = self._fault, fault
        if fault and not previous:
            _log.error("not ready: %s", fault)
        elif previous and not fault:
            _log.info("ready again: the golden predictions are right")
        return fault

    async def keep_refreshing(self, seconds: float) -> None:
        """Refresh at this interval until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:  # noqa: BLE001 - a bug or a lack of memory must not end the search for new versions
                _log.exception("the search for new versions failed")

    def refresh(self) -> None:
        """Test the served version, then load the newest usable version, or the pinned one, if it is not served yet.

        A new version is loaded and tested while the previous one still serves. A version that is refused is logged
        once and changes nothing. The service goes back to an older version only when the served one was removed.
        """
        served = self._classifier
        if served is not None and self._self_test(served) is not None:
            self._served_state = None
        keep = self.pinned or (served.manifest.version if served else None)
        self._folders, unlisted = candidates(self._model_dir, keep=keep)
        for reason in unlisted:
            if reason not in self._unlisted:
                _log.warning("cannot look for versions: %s", reason)
        self._unlisted = unlisted
        refused: dict[_FolderState, str] = {}
        # A place that cannot be listed may still hold the served version, which therefore stays.
        if not (unlisted and self._served_state):
            self._load_served(refused)
        self._load_extra(refused)
        self._refused = refused
        is_lost = self._classifier is not None and self._classifier.folder not in self._folders
        if is_lost and not self._folder_is_lost:
            _log.warning(
                "served from memory: %s cannot be found, so a restart cannot load it again", self.classifier.folder
            )
        self._folder_is_lost = is_lost

    def _load_served(self, refused: dict[_FolderState, str]) -> None:
        """Serve the first usable version. Adds the refused ones that come before it."""
        for folder in self._folders_in_order():
            state = _folder_state(folder)
            if state == self._served_state:
                return
            classifier = self._load(state, refused)
            if classifier is not None:
                self._classifier, self._served_state = classifier, state
                _log.info("serving %s version %d from %s", artifact.NAME, classifier.manifest.version, folder)
                return
            if self._served_state and folder == self._served_state.folder:
                return  # the files were damaged after they were loaded; the loaded version is not
        if self._classifier is None:
            self._set_reason([*self._unlisted, *refused.values()])

    def _folders_in_order(self) -> list[Path]:
        """Return the folders to serve from; of a pinned version that is both published and shipped, the published."""
        if self.pinned is None:
            return self._folders
        return [folder for folder in self._folders if folder.name == str(self.pinned)][:1]

    def _load_extra(self, refused: dict[_FolderState, str]) -> None:
        """Load the versions that clients can request besides the served one. A loaded version stays if this fails."""
        for number in self._extra_numbers:
            folder = next((folder for folder in self._folders if folder.name == str(number)), None)
            if folder is None:
                continue
            state = _folder_state(folder)
            if state == self._served_state and self._classifier is not None:
                self._extra[number] = _Loaded(state, self._classifier)
            elif number not in self._extra or self._extra[number].state != state:
                classifier = self._load(state, refused)
                if classifier is not None:
                    self._extra[number] = _Loaded(state, classifier)
                    _log.info("also loaded %s version %d, for requests that name it", artifact.NAME, number)

    def _load(self, state: _FolderState, refused: dict[_FolderState, str]) -> Classifier | None:
        """Load a version. If that fails, or failed before for the same files, add the reason to `refused`."""
        reason = refused.get(state) or self._refused.get(state)
        if reason is None:
            try:
                classifier = Classifier.load(state.folder)
            except ArtifactError as exc:
                reason = str(exc)
                _log.warning("not used: %s", reason)
                self._on_load("refused")
            else:
                self._on_load("served")
                return classifier
        refused[state] = reason
        return None

    def _set_reason(self, reasons: list[str]) -> None:
        """Keep the reason why no version is served. Each change is logged once."""
        reason = str(no_usable_model(self._model_dir, reasons, version=self.pinned))
        if self.pinned is not None:
            reason = f"MNIST_MODEL_VERSION is {self.pinned}: {reason}"
        if reason != self._reason:
            _log.error("not ready: %s", reason)
        self._reason = reason


def _folder_state(folder: Path) -> _FolderState:
    """Return the state of a folder and everything below it. It has no files if the folder cannot be read."""
    paths = (Path(place, name) for place, folders, files in os.walk(folder) for name in ("", *folders, *files))
    states = sorted(map(_file_state, islice(paths, 2 * MAX_FILES)), key=lambda state: state.path)
    return _FolderState(folder, tuple(states))


def _file_state(path: Path) -> _FileState:
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere
        return _FileState(str(path), 0, 0, 0, 0)
    return _FileState(str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
