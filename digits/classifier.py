"""An artifact loaded: features in, probabilities out, proven by its golden predictions."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import onnxruntime

from digits import artifact
from digits.artifact import (
    EXPLAIN,
    FEATURES_INPUT,
    GOLDEN,
    MODEL,
    NOVELTY_OUTPUT,
    PROBABILITIES_OUTPUT,
    SALIENCY_OUTPUT,
    SHIPPED,
    Manifest,
    Tensor,
)
from digits.errors import ArtifactError, DamagedArtifact, GoldenMismatch, NoUsableModel
from digits.features import CLASSES, SIDE, Floats, Grey, to_features
from digits.prediction_sets import stored_thresholds

GOLDEN_TOLERANCE = 1e-4
"""Largest difference between a golden probability and the one that comes out."""

MAX_VERSIONS = 1000
"""Most versions of one place that are looked at, the highest: a hundred thousand would take seconds each time."""

MAX_REASONS = 20
"""Most refusals that an error lists: it is sent to whoever asks meanwhile."""


@dataclass(frozen=True, slots=True)
class Golden:
    """One reference image a class and the probabilities that Keras gave for it."""

    pixels: Grey
    """(10, 28, 28)"""
    probabilities: Floats
    """(10, 10)"""
    novelty: Floats | None = None
    """(10,); None of a graph without it."""

    def to_json(self) -> bytes:
        """As it lies in golden.json."""
        images: list[dict[str, Any]] = [
            {"digit": digit, "pixels": pixels.ravel().tolist(), "probabilities": [float(p) for p in row]}
            for digit, (pixels, row) in enumerate(zip(self.pixels, self.probabilities, strict=True))
        ]
        if self.novelty is not None:
            for image, novelty in zip(images, self.novelty, strict=True):
                image["novelty"] = float(novelty)
        return json.dumps({"images": images}).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Raises ValueError, KeyError, TypeError, OverflowError or RecursionError when it is not one image a class."""
        images = json.loads(content)["images"]
        if [image["digit"] for image in images] != list(range(CLASSES)):
            raise ValueError("expected one image for each digit, 0 to 9")
        # Each array is made from the flat list, so that a wrong count is an error and not a broadcast.
        pixels = np.array([image["pixels"] for image in images], dtype=np.uint8).reshape(CLASSES, SIDE, SIDE)
        probabilities = np.array([image["probabilities"] for image in images], dtype=np.float32)
        novelty = None
        if any("novelty" in image for image in images):
            novelty = np.array([float(image["novelty"]) for image in images], dtype=np.float32)
        return cls(pixels, probabilities.reshape(CLASSES, CLASSES), novelty)


class Scores(NamedTuple):
    """What a forward pass gives."""

    probabilities: Floats
    """(N, 10)"""
    novelty: Floats | None
    """(N,), above 1 where it is taken for no digit; None of a version that cannot tell."""


class Classifier:
    """One version of the model, loaded and proven.

    Safe to call from several threads: an ONNX Runtime session is.
    """

    folder: Path | None = None
    """Where the version lies, with its report; None when it was not loaded from a folder."""

    def __init__(self, manifest: Manifest, model: bytes, golden: Golden) -> None:
        """Make the session, hold it to the manifest's signature and run the self-test.

        Args:
            manifest: whose inputs and outputs the graph must have.
            model: an ONNX graph.
            golden: what must come out of it.

        Raises:
            DamagedArtifact: no ONNX graph, or not with the declared signature.
            GoldenMismatch: it does not compute what it should.
        """
        options = onnxruntime.SessionOptions()
        # One thread a forward pass: scaling over cores is the workers' business, and two thread pools that
        # compete for the same cores are slower than one.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # a graph that is refused is reported by us, once
        # Weights in a file beside the graph would be looked for below the working directory, and have no checksum.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # its exception classes are private and share no other base
            raise DamagedArtifact(f"{MODEL} of version {manifest.version}: no graph that ONNX Runtime loads") from exc
        self.manifest = manifest
        self.golden = golden
        self._session = session
        _hold_to_signature(session, manifest)
        names = [output.name for output in manifest.outputs]
        self._outputs = [name for name in (PROBABILITIES_OUTPUT.name, NOVELTY_OUTPUT.name) if name in names]
        self.explains = SALIENCY_OUTPUT.name in names
        """Whether it has saliency."""
        self.thresholds = stored_thresholds(manifest.calibration)
        """Of prediction sets, (10,), by coverage and whether they are each digit's own; empty if it has none."""
        self.self_test()
        if self.explains:
            self._prove_saliency()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published version.

        Raises:
            DamagedArtifact: a wrong checksum, a missing file, another signature; the message names the file.
            GoldenMismatch: the golden predictions do not come out within 1e-4.
        """
        manifest, files = artifact.read_version(folder)
        try:
            golden = Golden.from_json(files[GOLDEN])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as exc:
            raise DamagedArtifact(f"{folder / GOLDEN}: {exc}") from exc
        classifier = cls(manifest, files[MODEL], golden)
        classifier.folder = folder
        return classifier

    def probabilities(self, features: Floats) -> Floats:
        """One forward pass: float32 (N, 784) in [0, 1] to softmax probabilities, float32 (N, 10)."""
        return self.scores(features).probabilities

    def scores(self, features: Floats) -> Scores:
        """The same pass, with the novelty beside."""
        outputs: list[Floats] = self._session.run(self._outputs, {FEATURES_INPUT.name: features})
        return Scores(outputs[0], outputs[1] if len(outputs) > 1 else None)

    def saliency(self, features: Floats) -> Floats:
        """How much each feature speaks for the most probable digit, or against it: (N, 784).

        Gradient times input (Shrikumar et al. 2016) of that digit's logit above the mean of all ten, which is what the
        softmax sees of it. Only of a version that `explains`.
        """
        outputs: list[Floats] = self._session.run(
            [SALIENCY_OUTPUT.name], {FEATURES_INPUT.name: features, EXPLAIN: np.array(True)}
        )
        return outputs[0]

    def self_test(self) -> None:
        """Raises GoldenMismatch unless the golden predictions come out within 1e-4."""
        try:
            received = self.scores(to_features(self.golden.pixels))
        except Exception as exc:  # ONNX Runtime's own classes again: the graph loads and cannot be run
            raise GoldenMismatch(f"version {self.manifest.version}: no golden probabilities, but {exc}") from exc
        self._hold_to_golden("probabilities", self.golden.probabilities, received.probabilities)
        if self.golden.novelty is not None or received.novelty is not None:
            self._hold_to_golden("novelty", self.golden.novelty, received.novelty)

    def _prove_saliency(self) -> None:
        """Raises GoldenMismatch unless it comes where it is asked. Once: a probe need not take twice as long for it."""
        features = to_features(self.golden.pixels)
        try:
            saliency = self.saliency(features)
        except Exception as exc:  # ONNX Runtime's own classes
            raise GoldenMismatch(f"version {self.manifest.version}: no golden saliency, but {exc}") from exc
        if saliency.shape != features.shape:
            raise GoldenMismatch(
                f"version {self.manifest.version}: expected golden saliency of shape {features.shape}, "
                f"received {saliency.shape}"
            )

    def _hold_to_golden(self, what: str, golden: Floats | None, received: Floats | None) -> None:
        expected_shape, shape = (None if values is None else values.shape for values in (golden, received))
        if golden is None or received is None or shape != expected_shape:
            raise GoldenMismatch(
                f"version {self.manifest.version}: expected golden {what} of shape {expected_shape}, received {shape}"
            )
        difference = np.abs(received - golden).max()
        if not difference <= GOLDEN_TOLERANCE:  # NaN is no pass
            raise GoldenMismatch(
                f"version {self.manifest.version}: expected the golden {what} within {GOLDEN_TOLERANCE}, "
                f"received a difference of {difference:.3g}"
            )


def candidates(root: Path, *, name: str = artifact.NAME, keep: int | None = None) -> tuple[list[Path], list[str]]:
    """Where versions lie, in the order in which they are to be served: those below `root`, then the shipped ones.

    Args:
        root: where versions are published.
        name: the model's.
        keep: a version that is among them however many higher ones there are.

    Returns:
        The folders of each place's highest thousand versions, and why a place could not be listed.
    """
    folders, refusals = [], []
    for place in _places(root):
        try:
            versions = artifact.versions(place, name)
        except ArtifactError as exc:
            refusals.append(str(exc))
            continue
        highest = versions[:MAX_VERSIONS] + [version for version in versions[MAX_VERSIONS:] if version == keep]
        folders += [place / name / str(version) for version in highest]
    return folders, refusals


def none_usable(
    root: Path, refusals: list[str], *, name: str = artifact.NAME, version: int | None = None
) -> NoUsableModel:
    """The error that says where was looked, for which version if only one will do, and why they were refused."""
    which = "usable version" if version is None else f"usable version {version}"
    looked = f"no {which} of {name} in {' or '.join(str(place) for place in _places(root))}"
    more = [f"and {len(refusals) - MAX_REASONS} more"] if len(refusals) > MAX_REASONS else []
    return NoUsableModel("; ".join([looked, *refusals[:MAX_REASONS], *more]))


def load_newest(root: Path, *, name: str = artifact.NAME, version: int | None = None) -> tuple[Classifier, list[str]]:
    """The highest usable version below `root`, else the highest usable one that was shipped.

    Args:
        root: where versions are published.
        name: the model's.
        version: the only one that will do; None where any does.

    Returns:
        The classifier, and why each version that would have come before it was refused.

    Raises:
        NoUsableModel: neither folder has one; the message holds every reason.
    """
    folders, refusals = candidates(root, name=name, keep=version)
    for folder in folders:
        if version is not None and folder.name != str(version):
            continue
        try:
            return Classifier.load(folder), refusals
        except ArtifactError as exc:
            refusals.append(str(exc))
    raise none_usable(root, refusals, name=name, version=version)


def _places(root: Path) -> list[Path]:
    # `root` itself is not resolved: where it is a link that is switched over, its versions keep their paths.
    return [SHIPPED] if os.path.realpath(root) == os.path.realpath(SHIPPED) else [root.absolute(), SHIPPED]


def _hold_to_signature(session: Any, manifest: Manifest) -> None:
    for kind, declared, received, needed in (
        ("input", manifest.inputs, session.get_inputs(), artifact.FEATURES_INPUT),
        ("output", manifest.outputs, session.get_outputs(), artifact.PROBABILITIES_OUTPUT),
    ):
        expected = sorted(_described(tensor) for tensor in declared)
        actual = sorted(
            f"{node.name} {node.type} {[size if isinstance(size, int) else -1 for size in node.shape]}"
            for node in received
        )
        if expected != actual:
            raise DamagedArtifact(
                f"{MODEL} of version {manifest.version}: expected {kind} {expected}, received {actual}"
            )
        known = {tensor.name: tensor for tensor in (needed, NOVELTY_OUTPUT, SALIENCY_OUTPUT)}
        wrong = [tensor.name for tensor in declared if known.get(tensor.name, tensor) != tensor]
        for name in [needed.name] * (needed not in declared) + wrong:
            raise DamagedArtifact(
                f"{artifact.MANIFEST} of version {manifest.version}: expected the {kind} {_described(known[name])}, "
                f"received {expected}"
            )
    switches = {node.name: node.type for node in session.get_overridable_initializers()}
    if SALIENCY_OUTPUT in manifest.outputs and switches.get(EXPLAIN) != "tensor(bool)":
        raise DamagedArtifact(
            f"{MODEL} of version {manifest.version}: expected {SALIENCY_OUTPUT.name} with the optional input "
            f"{EXPLAIN}, a boolean, received none"
        )


def _described(tensor: Tensor) -> str:
    """As ONNX Runtime describes its own; it says `float` for what is float32, the one type that a manifest may have."""
    return f"{tensor.name} tensor(float) {list(tensor.shape)}"
