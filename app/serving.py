"""The model in service: which one answers, and if none does, why."""

import asyncio
import logging
from pathlib import Path

from app.errors import RETRY_SECONDS
from digits.classifier import Classifier, load_newest
from digits.errors import ArtifactError, NoUsableModel

_log = logging.getLogger(__name__)


class Serving:
    """The served classifier. A missing model is a state that `/readyz` reports, not a crash."""

    def __init__(self, model_dir: Path) -> None:
        """Serve from `model_dir`, or from the shipped models while it holds no usable version."""
        self._model_dir = model_dir
        self._classifier: Classifier | None = None
        self._reason = "the model has not been loaded yet"

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

    def load(self) -> None:
        """Load the newest usable version; without one, keep the reason."""
        try:
            self._classifier, refusals = load_newest(self._model_dir)
        except NoUsableModel as exc:
            if str(exc) != self._reason:  # said once, not at each look
                _log.error("not ready: %s", exc)
            self._reason = str(exc)
            return
        for refusal in refusals:
            _log.warning("not used: %s", refusal)
        manifest = self._classifier.manifest
        _log.info("serving %s version %d from %s", manifest.name, manifest.version, self._classifier.folder)

    async def keep_looking(self) -> None:
        """Return as soon as a model is loaded, looking for one every two seconds."""
        while self._classifier is None:
            await asyncio.sleep(RETRY_SECONDS)
            await asyncio.to_thread(self.load)

    def unready_reason(self) -> str | None:
        """None while the golden predictions come out right, else why they do not; takes well under a millisecond."""
        try:
            self.classifier.self_test()
        except ArtifactError as exc:
            return str(exc)
        return None
