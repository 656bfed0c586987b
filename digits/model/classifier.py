"""Load a model version, check it, and compute probabilities from features."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from digits.errors import ArtifactError, DamagedArtifact, GoldenMismatch, OtherClasses
from digits.features import SIDE, Floats, Grey, to_features
from digits.model import artifact
from digits.model.artifact import (
    DEFAULT_COVERAGE,
    EXPLAIN,
    FEATURES_INPUT,
    NOVELTY_OUTPUT,
    SALIENCY_OUTPUT,
    Manifest,
    ModelId,
    Tensor,
)
from digits.model.classes import DIGITS
from digits.model.discovery import MAX_REASONS, candidates, no_usable_model
from digits.model.onnx_runtime import Session, UnusableGraph
from digits.model.prediction_sets import Thresholds, stored_thresholds
from digits.normalization.mnist_form import Mode, Preparation

GOLDEN_TOLERANCE = 1e-4
"""Maximum difference between a golden value and the computed one."""


@dataclass(frozen=True, slots=True)
class Golden:
    """One reference image per class, with the probabilities that Keras computed for it."""

    pixels: Grey
    """uint8 (classes, 28, 28)"""
    probabilities: Floats
    """float32 (classes, classes)"""
    novelty: Floats | None = None
    """float32 (classes,), or None if the graph has no novelty."""

    def to_json(self) -> bytes:
        images = [
            {"digit": digit, "pixels": pixels.ravel().tolist(), "probabilities": row.tolist()}
            | ({} if self.novelty is None else {"novelty": float(self.novelty[digit])})
            for digit, (pixels, row) in enumerate(zip(self.pixels, self.probabilities, strict=True))
        ]
        return json.dumps({"images": images}).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes, classes: int = len(DIGITS)) -> Self:
        """Parse the golden.json of a model with this number of classes.

        Raises ValueError, KeyError, TypeError, OverflowError or RecursionError unless it has one image per class.
        """
        images = json.loads(content)["images"]
        if [image["digit"] for image in images] != list(range(classes)):
            raise ValueError(f"expected one image for each class, 0 to {classes - 1}")
        # Reshaping a flat list fails if the count is wrong. Assigning to an array could broadcast instead.
        pixels = np.array([image["pixels"] for image in images], dtype=np.uint8).reshape(classes, SIDE, SIDE)
        probabilities = np.array([image["probabilities"] for image in images], dtype=np.float32)
        novelty = None
        if any("novelty" in image for image in images):
            novelty = np.array([float(image["novelty"]) for image in images], dtype=np.float32)
        return cls(pixels, probabilities.reshape(classes, classes), novelty)


class Scores(NamedTuple):
    """The result of a forward pass."""

    probabilities: Floats
    """float32 (N, classes)"""
    novelty: Floats | None
    """float32 (N,), above 1 for pictures that are not digits. None if the version has no novelty."""

    def select(self, rows: Sequence[int] | NDArray[np.int64] | slice) -> "Scores":
        return Scores(self.probabilities[rows], None if self.novelty is None else self.novelty[rows])

    @staticmethod
    def joined(parts: Sequence["Scores"]) -> "Scores":
        """Return the rows of several passes of the same version."""
        novelty = [part.novelty for part in parts if part.novelty is not None]
        probabilities = np.concatenate([part.probabilities for part in parts])
        return Scores(probabilities, np.concatenate(novelty) if novelty else None)


class ModelName(TypedDict):
    """The version that made a prediction."""

    name: str
    version: int


class Classifier:
    """One loaded and checked version of the model. It is thread-safe, because a `Session` is."""

    folder: Path | None = None
    """The version's folder, with its report. None if the version was not loaded from a folder."""

    def __init__(self, manifest: Manifest, session: Session, golden: Golden) -> None:
        """Check a session against the manifest's signature and run the self-test. Raises as `load` does."""
        self.manifest = manifest
        self.model_name: ModelName = {"name": manifest.name, "version": manifest.version}
        self.model_id = ModelId(manifest.version, manifest.graph)
        self.described = f"{manifest.name} version {manifest.version}"
        self.golden = golden
        self._session = session
        _check_signature(session, manifest)
        names = [output.name for output in manifest.outputs]
        self._outputs = [name for name in (artifact.PROBABILITIES_OUTPUT.name, NOVELTY_OUTPUT.name) if name in names]
        self.explains = SALIENCY_OUTPUT.name in names
        """Whether `saliency` is available."""
        self.class_names = None if manifest.classes == DIGITS else manifest.classes
        """The names of the classes, by index. None if they are the digits."""
        self.coverage = DEFAULT_COVERAGE if manifest.calibration is None else manifest.calibration.coverage
        """The coverage of prediction sets, unless a request names another one."""
        self.thresholds = stored_thresholds(manifest.calibration, len(manifest.classes))
        """Thresholds of prediction sets (classes,), by (coverage, whether per class). Empty without calibration."""
        self.self_test(is_first=True)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published version.

        Raises:
            DamagedArtifact: a wrong checksum, a missing file, no ONNX graph, or another signature than the declared
                one. The message names the file.
            GoldenMismatch: the version does not reproduce its golden predictions within 1e-4.
        """
        manifest, files = artifact.read_version(folder)
        try:
            golden = Golden.from_json(files[artifact.GOLDEN], len(manifest.classes))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as exc:
            raise DamagedArtifact(f"{folder / artifact.GOLDEN}: {exc}") from exc
        classifier = cls.of_graph(manifest, files[artifact.MODEL], golden)
        classifier.folder = folder
        return classifier

    @classmethod
    def of_graph(cls, manifest: Manifest, model: bytes, golden: Golden) -> Self:
        """Return the classifier of an ONNX graph. Raises as `load` does."""
        try:
            session = Session(model)
        except UnusableGraph as exc:
            raise DamagedArtifact(f"{artifact.MODEL} of version {manifest.version}: {exc}") from exc
        return cls(manifest, session, golden)

    def probabilities(self, features: Floats) -> Floats:
        """Return the softmax probabilities, float32 (N, classes), of features, float32 (N, 784) in [0, 1]."""
        return self.scores(features).probabilities

    def scores(self, features: Floats) -> Scores:
        """Return the probabilities and the novelty of features, float32 (N, 784) in [0, 1]."""
        outputs = self._session.run(self._outputs, {FEATURES_INPUT.name: features})
        return Scores(outputs[0], outputs[1] if len(outputs) > 1 else None)

    def saliency(self, features: Floats) -> Floats:
        """Return how much each feature supports or opposes the most probable digit, float32 (N, 784).

        This is gradient times input (Shrikumar et al. 2016) of that digit's logit minus the mean of all, which the
        softmax ignores. Only a version that `explains` has it.
        """
        return self._session.run([SALIENCY_OUTPUT.name], {FEATURES_INPUT.name: features, EXPLAIN: np.array(True)})[0]

    def thresholds_at(self, coverage: float, *, per_class: bool = False) -> Thresholds:
        """Return the thresholds for a coverage. Raises ValueError, which lists those that the version has."""
        if thresholds := self.thresholds.get((coverage, per_class)):
            return thresholds
        version = f"version {self.manifest.version}"
        kind = "prediction sets per class" if per_class and self.thresholds else "prediction sets"
        levels = ", ".join(str(level) for level, own in sorted(self.thresholds) if own == per_class)
        if not levels:
            raise ValueError(f"{version} has no {kind}")
        raise ValueError(f"expected a coverage at which {version} has {kind} ({levels}), received {coverage}")

    def preparation(self, mode: Mode) -> Preparation:
        """Return how this version's pictures are prepared if a client asks for this mode."""
        return "resize" if self.manifest.preprocessing == "resize" and mode != "never" else mode

    def require_digits(self) -> None:
        """Raise OtherClasses unless this version can read numbers, which have digits made of strokes."""
        manifest = self.manifest
        if self.class_names is not None or manifest.preprocessing != "normalize":
            names = ", ".join([*manifest.classes[:3], *(["..."] if len(manifest.classes) > 3 else [])])
            raise OtherClasses(
                f"expected a model of the digits 0 to 9 to read numbers, but version {manifest.version} has "
                f"{len(manifest.classes)} classes ({names}) and the preprocessing {manifest.preprocessing!r}"
            )

    def self_test(self, *, is_first: bool = False) -> None:
        """Raise GoldenMismatch unless the graph reproduces the golden predictions within 1e-4.

        The first test takes longer. It also classifies each picture alone, which a graph may compute in another way,
        and the graph must compute a saliency of the right shape.
        """
        features = saliency = to_features(self.golden.pixels)
        try:
            passes = [self.scores(features)]
            if is_first:
                passes.append(Scores.joined([self.scores(picture[None]) for picture in features]))
                saliency = self.saliency(features) if self.explains else features
        except Exception as exc:  # ONNX Runtime has no common exception
            raise self._mismatch(f"the graph cannot be run: {exc}") from exc
        for received in passes:
            self._compare_with_golden(received)
        if saliency.shape != features.shape:
            raise self._mismatch(f"expected golden saliency of shape {features.shape}, received {saliency.shape}")

    def _compare_with_golden(self, received: Scores) -> None:
        for output, golden, values in (
            ("probabilities", self.golden.probabilities, received.probabilities),
            ("novelty", self.golden.novelty, received.novelty),
        ):
            expected_shape, shape = (None if each is None else each.shape for each in (golden, values))
            if shape != expected_shape:
                raise self._mismatch(f"expected golden {output} of shape {expected_shape}, received {shape}")
            difference = 0.0 if golden is None or values is None else np.abs(values - golden).max()
            if not difference <= GOLDEN_TOLERANCE:  # so that NaN fails
                raise self._mismatch(
                    f"expected the golden {output} within {GOLDEN_TOLERANCE}, received a difference of {difference:.3g}"
                )

    def _mismatch(self, reason: str) -> GoldenMismatch:
        return GoldenMismatch(f"version {self.manifest.version}: {reason}")


def load_newest(root: Path, *, is_named: bool = True, version: int | None = None) -> tuple[Classifier, list[str]]:
    """Load the highest usable version below `root`, or a required one.

    A shipped version answers if it is required and `root` has none of its number, or if `root` is a default folder
    without versions. Return the classifier, and the reasons why other versions were not used. Raises NoUsableModel with
    the reasons if no version is usable.
    """
    found = candidates(root, is_named=is_named, keep=version)
    refusals = found.refusals + found.misnumbered
    if is_named and version is None and not found.own and not found.refusals:
        raise no_usable_model(root, [f"expected {artifact.NAME}/<version>/ in this folder, found none", *refusals])
    folders = found.in_order(version)
    if version is not None and found.all and not folders:
        refusals.append(f"known versions: {', '.join(folder.name for folder in found.all[:MAX_REASONS])}")
    for folder in folders:
        try:
            return Classifier.load(folder), refusals
        except ArtifactError as exc:
            refusals.append(str(exc))
    raise no_usable_model(root, refusals, version)


def _check_signature(session: Session, manifest: Manifest) -> None:
    for kind, declared, received, required in (
        ("input", manifest.inputs, session.inputs, FEATURES_INPUT),
        ("output", manifest.outputs, session.outputs, artifact.probabilities_output(len(manifest.classes))),
    ):
        expected = sorted(_description(tensor) for tensor in declared)
        actual = sorted(received)
        if expected != actual:
            raise DamagedArtifact(
                f"{artifact.MODEL} of version {manifest.version}: expected {kind} {expected}, received {actual}"
            )
        for known in (required, NOVELTY_OUTPUT, SALIENCY_OUTPUT):
            named = [tensor for tensor in declared if tensor.name == known.name]
            if known not in named and (named or known is required):
                raise DamagedArtifact(
                    f"{artifact.MANIFEST} of version {manifest.version}: expected the {kind} {_description(known)}, "
                    f"received {expected}"
                )
    if SALIENCY_OUTPUT in manifest.outputs and f"{EXPLAIN} tensor(bool) []" not in session.optional_inputs:
        raise DamagedArtifact(
            f"{artifact.MODEL} of version {manifest.version}: expected {SALIENCY_OUTPUT.name} with the optional input "
            f"{EXPLAIN}, a boolean, but it is missing"
        )


def _description(tensor: Tensor) -> str:
    """Describe a tensor as ONNX Runtime does, where float32 is called `float`. A manifest has no other type."""
    return f"{tensor.name} tensor(float) {list(tensor.shape)}"
