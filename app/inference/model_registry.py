"""The registry of model versions: which ones are loaded, which one is served, and why others are refused."""

import logging
import os
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import pydantic

from app.errors import UnknownModel
from app.settings import Settings
from app.telemetry.metrics import Metrics
from digits.errors import ArtifactError, NoUsableModel
from digits.finder import network as finder
from digits.model import artifact
from digits.model.artifact import MAX_FILES, SHIPPED, Manifest
from digits.model.classifier import Classifier
from digits.model.discovery import Candidates, candidates, no_usable_model

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _FolderState:
    """A version's folder as it was at one time. The registry does not load again what it serves or has refused."""

    folder: Path
    files: tuple[tuple[str | int, ...], ...]
    """For each file its path, inode, size, and in ns when it was modified and changed. If one differs, the file has.

    The times are only compared for equality, so the clock may jump. A copy can preserve the first of them.
    """


@dataclass(frozen=True, slots=True)
class _Loaded:
    state: _FolderState
    classifier: Classifier


@pydantic.dataclasses.dataclass(config=pydantic.ConfigDict(use_attribute_docstrings=True))
class KnownVersion:
    """One version of the model."""

    version: int
    shipped: bool
    """True when the version came with the code, false when it was published below `MNIST_MODEL_DIR`."""
    state: Literal["serving", "available", "refused"]
    """`serving`: this version answers requests. `available`: another version is preferred, and this one is verified
    when it is loaded. `refused`: this version is damaged and is not served."""
    reason: str | None
    """Why the version was refused. For the serving version: why it could not be reloaded from its folder, which has
    changed since."""


class ModelRegistry:
    """Loads and holds model versions. If none is usable, the service still runs and `/readyz` says why."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Create a registry without versions. Call `refresh` to load them."""
        self.pinned = settings.model_version
        """The only version to serve. None means the newest."""
        self.warnings: dict[str, list[str]] = {"version": [], "folder": [], "choice": []}
        """What the operator should know, as the last refresh found it: refused versions, folders or versions that are
        missing, and why the served version may be another one than the operator thinks."""
        self._model_dir = settings.model_dir
        self._is_named = "model_dir" in settings.model_fields_set
        self._labels = dict(settings.model_labels)
        self._extra_numbers = {*settings.model_versions, *self._labels.values()}
        """The versions that clients can request by number or label, besides the served one."""
        self._metrics = metrics
        self.is_draining = False
        """Whether the service will stop soon. It is not ready then, and each reply closes its connection."""
        self._served: _Loaded | None = None
        self._must_reload = False
        """Whether the served version has failed its self-test since it was loaded."""
        self._extra: dict[int, _Loaded] = {}
        self._found = Candidates([], [], [], [])
        self._refused: dict[_FolderState, str] = {}
        """The versions that the last refresh refused, each with the reason."""
        self._reason = "the model has not been loaded yet"
        """Why no version is served."""
        self._fault: str | None = None
        """Why the served version failed its last self-test."""

    @property
    def started(self) -> bool:
        return self._served is not None

    @property
    def classifier(self) -> Classifier:
        """The served version. Without one, it raises NoUsableModel, which says why."""
        if self._served is None:
            raise NoUsableModel(self._reason)
        return self._served.classifier

    def served_manifest(self) -> Manifest | None:
        """Return the manifest of the served version, or None without a model."""
        return None if self._served is None else self._served.classifier.manifest

    def require_usable(self) -> None:
        """Raise NoUsableModel if no version is served. The data plane calls this before it reads a body."""
        _ = self.classifier

    def version(self, number: int) -> Classifier:
        """Return the loaded version with this number. Raises UnknownModel, or NoUsableModel without a served one."""
        served = self.classifier
        if served.manifest.version == number:
            return served
        if number in self._extra:
            return self._extra[number].classifier
        raise UnknownModel(
            f"version {number} of {artifact.NAME} is not loaded; loaded versions: {', '.join(map(str, self.loaded()))}"
        )

    def find(self, number: int | None) -> Classifier | None:
        """Return the loaded version with this number, or the served one for None. Without a model, return None."""
        if self._served is None:
            return None
        return self._served.classifier if number is None else self.version(number)

    def labelled(self, label: str) -> int:
        """Return the number of the version with this label. Raises UnknownModel."""
        if label not in self._labels:
            known = ", ".join(self._labels) or "none"
            raise UnknownModel(f"no version of {artifact.NAME} has the label {label[:40]!r}; known labels: {known}")
        return self._labels[label]

    def loaded(self) -> list[int]:
        """Return the numbers of the versions that clients can request, in ascending order."""
        served = [] if self._served is None else [self._served.classifier.manifest.version]
        return sorted({*served, *self._extra})

    def versions(self) -> list[KnownVersion]:
        """Return all versions that the last refresh found, highest first, at most a thousand per root."""
        reasons = {state.folder: reason for state, reason in self._refused.items()}
        served = self._served.state.folder if self._served else None
        folders = self._found.all
        if served and served not in folders:
            reasons[served] = "its folder cannot be found; it is served from memory"
            folders = [served, *folders]
        versions = []
        for folder in folders:
            reason = reasons.get(folder)
            state: Literal["serving", "available", "refused"] = "refused" if reason else "available"
            if folder == served:
                state = "serving"
            public_reason = reason and self._public(reason.replace(f"{folder}/", ""))
            versions.append(KnownVersion(int(folder.name), str(folder).startswith(f"{SHIPPED}/"), state, public_reason))
        return sorted(versions, key=lambda version: version.version, reverse=True)

    def unready_reason(self) -> str | None:
        """Return why the service is not ready, or None if it is. The self-test takes well under a millisecond."""
        if self.is_draining:
            return "draining: the service stops"
        return self._reason if self._served is None else self._self_test(self._served.classifier)

    def _self_test(self, classifier: Classifier) -> str | None:
        """Return why the golden predictions are wrong, or None. Log when that begins, and when it ends."""
        fault = None
        try:
            classifier.self_test()
            finder.shipped()  # is loaded and tested here, and not by the first picture that needs it
        except ArtifactError as exc:
            fault = str(exc)
        previous, self._fault = self._fault, fault
        if fault and not previous:
            _log.error("not ready: %s", fault)
        elif previous and not fault:
            _log.info("ready again: the golden predictions are right")
        return fault

    def refresh(self) -> None:
        """Bring the loaded versions up to date with their folders.

        1. Test the served version. If it fails, load it again.
        2. Load the newest usable version, or the pinned one, unless it is served already.
        3. Load the extra versions.

        The previous version serves until the new one is loaded and tested. A refused version is logged once and changes
        nothing. An older version is served only if the newer was removed, or fails its test and cannot be loaded again.
        """
        if self._served is not None and self._self_test(self._served.classifier) is not None:
            self._must_reload = True
        keep = self.pinned or (self._served.classifier.manifest.version if self._served else None)
        self._found = found = candidates(self._model_dir, is_named=self._is_named, keep=keep)
        refused: dict[_FolderState, str] = {}
        # If a root cannot be listed, keep the served version: it may be there.
        if not found.refusals or self._served is None or self._must_reload:
            self._load_served(refused)
        self._load_extra(refused)
        self._refused = refused
        misnumbered = [f"not used: {reason}" for reason in found.misnumbered]
        folder = [f"cannot look for versions: {reason}" for reason in found.refusals]
        if self._served is not None and (lost := self._served.state.folder) not in found.all:
            folder.append(f"served from memory: {lost} cannot be found, so a restart cannot load it again")
        folder += [
            f"no version {number} of {artifact.NAME}, but MNIST_MODEL_VERSIONS or MNIST_MODEL_LABELS names it"
            for number in sorted(self._extra_numbers - self._extra.keys())
            if not found.in_order(number)
        ]
        choice = []
        if self._is_named and self.pinned is None and not found.own and not found.refusals:
            choice = [f"{self._model_dir.absolute()} has no {artifact.NAME}/<version>/, so the shipped model is used"]
        earlier = {*chain.from_iterable(self.warnings.values())}
        for warning in misnumbered + folder + choice:
            if self._public(warning) not in earlier:
                _log.warning("%s", warning)
        self.warnings = {
            "version": [self._public(f"not used: {reason}") for reason in [*found.misnumbered, *refused.values()]],
            "folder": [self._public(warning) for warning in folder],
            "choice": [self._public(warning) for warning in choice],
        }

    def _load_served(self, refused: dict[_FolderState, str]) -> None:
        """Serve the first usable version. Put the reason for each version refused on the way into `refused`."""
        for folder in self._found.in_order(self.pinned):
            state = _folder_state(folder)
            if self._served and state == self._served.state and not self._must_reload:
                return
            if (loaded := self._load(state, refused)) is not None:
                self._served, self._must_reload = loaded, False
                _log.info("serving %s version %d from %s", artifact.NAME, loaded.classifier.manifest.version, folder)
                return
            if self._served and folder == self._served.state.folder and not self._must_reload:
                return  # The files were damaged after loading. The copy in memory is intact, so keep it.
        if self._served is None:
            reason = str(no_usable_model(self._model_dir, [*self._found.refusals, *refused.values()], self.pinned))
            if self.pinned is not None:
                reason = f"MNIST_MODEL_VERSION is {self.pinned}: {reason}"
            if self._public(reason) != self._reason:
                _log.error("not ready: %s", reason)
            self._reason = self._public(reason)

    def _load_extra(self, refused: dict[_FolderState, str]) -> None:
        """Load the versions that clients can request besides the served one.

        If this fails, a version that is already loaded stays. Put the reason for each refused version into `refused`.
        """
        for number in sorted(self._extra_numbers):
            folder = next(iter(self._found.in_order(number)), None)
            if folder is None:
                continue  # `refresh` warns of it, unless it is loaded already
            state = _folder_state(folder)
            if self._served and state == self._served.state and not self._must_reload:
                self._extra[number] = self._served
            elif number not in self._extra or self._extra[number].state != state:
                loaded = self._load(state, refused)
                if loaded is not None:
                    self._extra[number] = loaded
                    _log.info("also loaded %s version %d, for requests that name it", artifact.NAME, number)

    def _load(self, state: _FolderState, refused: dict[_FolderState, str]) -> _Loaded | None:
        """Load a version. If it fails, or has for the same state before, return None, with the reason in `refused`."""
        reason = refused.get(state) or self._refused.get(state)
        if reason is None:
            try:
                loaded = _Loaded(state, Classifier.load(state.folder))
            except ArtifactError as exc:
                reason = str(exc)
                _log.warning("not used: %s", reason)
                self._metrics.loads.labels("refused").inc()
            else:
                self._metrics.loads.labels("served").inc()
                return loaded
        refused[state] = reason
        return None

    def _public(self, reason: str) -> str:
        """Return a reason as clients may see it: without the paths of the server's folders, which only the log has."""
        return reason.replace(str(self._model_dir.absolute()), "MNIST_MODEL_DIR").replace(str(SHIPPED), "models")


def _folder_state(folder: Path) -> _FolderState:
    """Return the state of a folder and everything below it. It has no files if the folder cannot be read."""
    # "" stands for the folder itself. A version has at most MAX_FILES files, and hardly more folders than files.
    paths = (Path(parent, name) for parent, folders, files in os.walk(folder) for name in ("", *folders, *files))
    return _FolderState(folder, tuple(sorted(map(_file_state, islice(paths, 2 * MAX_FILES)))))


def _file_state(path: Path) -> tuple[str | int, ...]:
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere
        return (str(path),)
    return str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
