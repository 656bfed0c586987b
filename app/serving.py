"""The model in service: which one answers, and if none does, why."""

import asyncio
import logging
from pathlib import Path

from digits.classifier import Classifier, candidates, none_usable
from digits.errors import ArtifactError, NoUsableModel

_log = logging.getLogger(__name__)

_Found = tuple[Path, tuple[tuple[str, int, int], ...]]
"""A version's folder, and name, time and size of each file in it: what has been looked at once is known again."""


class Serving:
    """The served classifier. A missing model is a state that `/readyz` reports, not a crash."""

    def __init__(self, model_dir: Path) -> None:
        """Serve from `model_dir`, or from the shipped models while it holds no usable version."""
        self._model_dir = model_dir
        self._classifier: Classifier | None = None
        self._draining = False
        self._reason = "the model has not been loaded yet"
        self._served: _Found | None = None
        self._refused: dict[_Found, str] = {}

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

    def look(self) -> None:
        """Serve the newest usable version.

        It is verified and tested while the other one serves on; requests go to it from the next pass on. What is
        refused is said once, and what is served stays until there is something better, even if its folder has gone.
        """
        folders, reasons = candidates(self._model_dir)
        refused: dict[_Found, str] = {}
        for folder in folders:
            found = folder, _files(folder)
            if found == self._served:
                break
            reason = self._refused.get(found) or self._load(found)
            if reason is None:
                break
            refused[found] = reason
        else:
            if self._classifier is None:
                self._say_why_not([*reasons, *refused.values()])
        self._refused = refused

    def _load(self, found: _Found) -> str | None:
        """Serve it, or return why not."""
        folder, _ = found
        try:
            classifier = Classifier.load(folder)
        except ArtifactError as exc:
            _log.warning("not used: %s", exc)
            return str(exc)
        self._classifier, self._served = classifier, found
        _log.info("serving %s version %d from %s", classifier.manifest.name, classifier.manifest.version, folder)
        return None

    def _say_why_not(self, reasons: list[str]) -> None:
        reason = str(none_usable(self._model_dir, reasons))
        if reason != self._reason:  # said once, not at each look
            _log.error("not ready: %s", reason)
        self._reason = reason

    async def keep_looking(self, seconds: float) -> None:
        """Look again and again, so many seconds apart."""
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.look)

    def unready_reason(self) -> str | None:
        """None while the golden predictions come out right, else why they do not; takes well under a millisecond."""
        if self._draining:
            return "draining: the service stops"
        try:
            self.classifier.self_test()
        except ArtifactError as exc:
            return str(exc)
        return None


def _files(folder: Path) -> tuple[tuple[str, int, int], ...]:
    try:
        stats = [(entry.name, entry.stat()) for entry in folder.iterdir()]
    except OSError:  # gone meanwhile, or not readable: loading it will say so
        return ()
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats))
