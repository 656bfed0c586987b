"""The model in service: which one answers, and if none does, why."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from app.errors import UnknownModel
from digits import artifact
from digits.artifact import MAX_FILES, SHIPPED
from digits.classifier import Classifier, candidates, none_usable
from digits.errors import ArtifactError, GoldenMismatch, NoUsableModel

_log = logging.getLogger(__name__)

_File = tuple[str, int, int, int, int]
"""Path, inode, size, time of the last writing and of the last change. The latter is set by the kernel alone, where the
former is kept by who copies; both are the same as before or not, never earlier or later, so that a clock may jump."""

_Found = tuple[Path, tuple[_File, ...]]
"""A version's folder and what lies in it: what has been looked at once is known again."""


class Version(NamedTuple):
    """A version that is known of."""

    version: int
    shipped: bool
    """Whether it came with the code; else it was published."""
    state: Literal["serving", "available", "refused"]
    """`available` is one that others come before: it is verified when its turn comes."""
    reason: str | None
    """Why it was refused; of the serving one, why it could not be loaded once more."""


class ModelRegistry:
    """The served classifier. A missing model is a state that `/readyz` reports, not a crash."""

    def __init__(
        self,
        model_dir: Path,
        pinned: int | None = None,
        *,
        beside: Iterable[int] = (),
        labels: Mapping[str, int] = MappingProxyType({}),
        on_load: Callable[[str], object] = lambda _outcome: None,
    ) -> None:
        """Serve from `model_dir`, or from the shipped models while it holds no usable version.

        Args:
            model_dir: where versions are published.
            pinned: the only version that may be served; None serves the newest.
            beside: versions that stay loaded beside the served one, to be asked for by number.
            labels: names of versions, which stay loaded too.
            on_load: told `served` or `refused` whenever a version was loaded, in the thread that loads.
        """
        self._model_dir = model_dir
        self.pinned = pinned
        self._wanted = frozenset(beside) | frozenset(labels.values())
        self._labels = labels
        self._beside: dict[int, tuple[_Found, Classifier]] = {}
        self._refused_beside: set[_Found] = set()
        self._on_load = on_load
        self._classifier: Classifier | None = None
        self._draining = False
        self._reason = "the model has not been loaded yet"
        self._fault: str | None = None
        self._folders: list[Path] = []
        self._unlisted: list[str] = []
        self._served: _Found | None = None
        self._refused: dict[_Found, str] = {}
        self._lost = False

    def drain(self) -> None:
        """The service is to stop: unready from now on, while requests are still answered."""
        self._draining = True

    @property
    def started(self) -> bool:
        """Whether a model was loaded."""
        return self._classifier is not None

    @property
    def classifier(self) -> Classifier:
        """The one that answers.

        Raises:
            NoUsableModel: there is none; the message says why.
        """
        if self._classifier is None:
            raise NoUsableModel(self._reason)
        return self._classifier

    def version(self, number: int) -> Classifier:
        """The version of this number: the served one, or one that is loaded beside it.

        Raises:
            UnknownModel: it is neither.
        """
        registry = self.classifier
        if registry.manifest.version == number:
            return registry
        if number in self._beside:
            return self._beside[number][1]
        loaded = ", ".join(map(str, sorted({registry.manifest.version, *self._beside})))
        raise UnknownModel(f"version {number} of {artifact.NAME} is not loaded; loaded is {loaded}")

    def labelled(self, label: str) -> int:
        """The number of the version of this name.

        Raises:
            UnknownModel: no version has it.
        """
        if label not in self._labels:
            known = ", ".join(self._labels) or "none"
            raise UnknownModel(f"no version of {artifact.NAME} is labelled {label[:40]!r}; known is {known}")
        return self._labels[label]

    def loaded(self) -> list[int]:
        """The versions that can be asked for, in order."""
        registry = [] if self._classifier is None else [self._classifier.manifest.version]
        return sorted({*registry, *self._beside})

    def look(self) -> None:
        """Test what is served, and serve the newest usable version, or the pinned one.

        A new one is verified and tested while the other one serves on; requests go to it from the next pass on. What is
        refused is said once and changes nothing. Only a version's removal goes back to the one before, and what is
        served stays until there is another.
        """
        registry = self._classifier
        if registry is not None and self._test(registry) is not None:
            self._served = None  # it is loaded anew
        self._folders, unlisted = candidates(
            self._model_dir, keep=self.pinned or (registry.manifest.version if registry else None)
        )
        for reason in unlisted:
            if reason not in self._unlisted:
                _log.warning("not looked at: %s", reason)
        self._unlisted = unlisted
        # What cannot be seen was not removed: then too it serves on.
        if not (unlisted and self._served):
            self._serve_first()
        self._load_beside()
        lost = self._classifier is not None and self._classifier.folder not in self._folders
        if lost and not self._lost:
            _log.warning("served from memory, and no more after a restart: %s cannot be found", self.classifier.folder)
        self._lost = lost

    def _serve_first(self) -> None:
        """Serve the first usable one of the folders."""
        refused: dict[_Found, str] = {}
        for folder in self._in_turn():
            found = folder, _files(folder)
            if found == self._served:
                break
            reason = self._refused.get(found) or self._load(found)
            if reason is None:
                break
            refused[found] = reason
            if self._served and folder == self._served[0]:  # damaged meanwhile: what was loaded from it is not
                break
        else:
            if self._classifier is None:
                self._say_why_not([*self._unlisted, *refused.values()])
        self._refused = refused

    def _load_beside(self) -> None:
        """Load the versions that are to be there besides; what is loaded stays, as the served one does."""
        for number in self._wanted:
            folder = next((folder for folder in self._folders if folder.name == str(number)), None)
            if folder is None:
                continue
            found = folder, _files(folder)
            if found == self._served and self._classifier is not None:
                self._beside[number] = found, self._classifier
            if found in self._refused_beside or (number in self._beside and self._beside[number][0] == found):
                continue
            try:
                self._beside[number] = found, Classifier.load(folder)
            except ArtifactError as exc:
                _log.warning("not used: %s", exc)
                self._refused_beside = {*self._refused_beside, found}
                self._on_load("refused")
            else:
                _log.info("serving %s version %d too, for who asks for it", artifact.NAME, number)
                self._on_load("served")

    def _in_turn(self) -> list[Path]:
        """The folders that may be served. If the pinned version was both published and shipped, it is the former."""
        if self.pinned is None:
            return self._folders
        return [folder for folder in self._folders if folder.name == str(self.pinned)][:1]

    def _load(self, found: _Found) -> str | None:
        """Serve it, or return why not."""
        folder, _ = found
        try:
            classifier = Classifier.load(folder)
        except ArtifactError as exc:
            _log.warning("not used: %s", exc)
            self._on_load("refused")
            return str(exc)
        self._classifier, self._served = classifier, found
        _log.info("serving %s version %d from %s", classifier.manifest.name, classifier.manifest.version, folder)
        self._on_load("served")
        return None

    def _say_why_not(self, reasons: list[str]) -> None:
        reason = str(none_usable(self._model_dir, reasons, version=self.pinned))
        if self.pinned is not None:
            reason = f"MNIST_MODEL_VERSION is {self.pinned}: {reason}"
        if reason != self._reason:  # said once, not at each look
            _log.error("not ready: %s", reason)
        self._reason = reason

    async def keep_looking(self, seconds: float) -> None:
        """Look again and again, so many seconds apart."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await asyncio.to_thread(self.look)
            except Exception:  # noqa: BLE001 - a bug, or no memory: without this nobody would ever look again
                _log.exception("looking for new versions failed")

    def unready_reason(self) -> str | None:
        """None while the golden predictions come out right, else why they do not; takes well under a millisecond."""
        if self._draining:
            return "draining: the service stops"
        return self._reason if self._classifier is None else self._test(self._classifier)

    def _test(self, classifier: Classifier) -> str | None:
        """Why the golden predictions do not come out right; said once in the log, as is that they do again."""
        fault = None
        try:
            classifier.self_test()
        except GoldenMismatch as exc:
            fault = str(exc)
        before, self._fault = self._fault, fault
        if fault and not before:
            _log.error("not ready: %s", fault)
        elif before and not fault:
            _log.info("ready again: the golden predictions come out right")
        return fault

    def versions(self) -> list[Version]:
        """All versions that the last look found, at most a thousand of each place, highest first."""
        refused = {folder: reason for (folder, _), reason in self._refused.items()}
        registry = self._classifier.folder if self._classifier else None
        folders = self._folders
        if registry and registry not in folders:
            refused[registry] = "its folder cannot be found; it is served from memory"
            folders = [registry, *folders]
        known = []
        for folder in folders:
            reason = refused.get(folder)
            state: Literal["serving", "available", "refused"] = "refused" if reason else "available"
            if folder == registry:
                state = "serving"
            # The reply tells nothing of the server's folders.
            without = reason and reason.replace(f"{folder}/", "")
            known.append(Version(int(folder.name), str(folder).startswith(f"{SHIPPED}/"), state, without))
        return sorted(known, key=lambda version: version.version, reverse=True)


def _files(folder: Path) -> tuple[_File, ...]:
    """What lies in the folder, also in those below; () where it has gone or is not readable: loading will say so."""
    paths = (Path(place, name) for place, folders, files in os.walk(folder) for name in ("", *folders, *files))
    return tuple(sorted(map(_file, islice(paths, 2 * MAX_FILES))))


def _file(path: Path) -> _File:
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere
        return str(path), 0, 0, 0, 0
    return str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
