"""Find the versions that a new one would replace, and refuse to replace a better one by accident."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from digits.errors import ArtifactError
from digits.model import artifact
from digits.model.artifact import NAME, SHIPPED, Manifest
from digits.model.classes import DIGITS
from digits.model.classifier import Classifier
from training.assess.assessment import Assessment
from training.data.images import LabelledImages
from training.errors import NotPublished
from training.network.recipes import Recipe

_SHOWN_CLASSES = 10
"""Number of classes that are listed by name."""


def published(output: Path) -> Iterator[Manifest]:
    """Yield the manifests of an output, the highest version first, without those that cannot be read."""
    for version in artifact.versions(output):
        try:
            yield artifact.read_manifest(output / NAME / str(version))
        except ArtifactError:
            continue


def replaced(output: Path) -> str:
    """Return a sentence that names the version which a service of this output uses, until a new one is published."""
    newest, place = next(published(output), None), "its newest version"
    if newest is None:
        newest, place = next(published(SHIPPED), None), "the shipped version, because the folder has none"
    if newest is None:
        return f"{output} has no version yet"
    classes = ", ".join(newest.classes) if len(newest.classes) <= _SHOWN_CLASSES else f"{len(newest.classes)} classes"
    if newest.classes == DIGITS:
        classes = "digits"
    return (
        f"a service of {output} now uses {newest.name} version {newest.version} ({classes}), {place}; "
        "it will use the new version instead"
    )


def finished_run(output: Path, recipe: Recipe, seed: int, data: LabelledImages) -> Manifest | None:
    """Return the newest version that this training run published, or None."""
    identity = (asdict(recipe), seed, data.sha256(), data.classes, data.preprocessing)
    for each in published(output):
        if each.dataset and (each.recipe, each.seed, each.dataset.sha256, each.classes, each.preprocessing) == identity:
            return each
    return None


def newest_of_classes(output: Path, classes: tuple[str, ...]) -> Classifier | None:
    """Load the newest usable version of an output that has these classes, or return None."""
    for manifest in published(output):
        if manifest.classes == classes:
            try:
                return Classifier.load((output / NAME / str(manifest.version)).resolve())
            except ArtifactError:
                continue
    return None


def check_better_than_chance(assessment: Assessment) -> None:
    """Raise NotPublished unless the accuracy's interval lies above the share of the largest class."""
    if not assessment.is_better_than_chance:
        raise NotPublished(
            f"nothing was published, because the network is not better than chance: expected an interval of the test "
            f"accuracy above {assessment.largest_class:.4f}, the share of the largest class, received "
            f"{assessment.in_words()}; --force publishes it anyway"
        )


def check_not_worse(assessment: Assessment, version: Manifest, its_assessment: Assessment) -> None:
    """Raise NotPublished if the accuracy of a version lies above the new network's interval."""
    if its_assessment.accuracy > assessment.wilson[1]:
        raise NotPublished(
            f"nothing was published, because the network is worse than version {version.version}: expected a test "
            f"accuracy of about {its_assessment.accuracy:.4f}, received {assessment.in_words()}"
        )
