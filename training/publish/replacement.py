"""Find the versions that a new one would replace, and refuse to replace a better one by accident."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits.errors import ArtifactError
from digits.model import artifact
from digits.model.artifact import NAME, SHIPPED, LearnedCorrections, Manifest
from digits.model.classes import DIGITS
from digits.model.classifier import Classifier
from training.assess.assessment import Assessment
from training.data.images import LabelledImages
from training.errors import NotPublished
from training.network.recipes import Recipe

_ERROR = 0.05
"""Probability that a network which is as good as before on training images is refused as worse."""

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
        f"until the new version is published, a service of {output} uses {newest.name} version {newest.version} "
        f"({classes}), {place}"
    )


def finished_run(output: Path, recipe: Recipe, seed: int, data: LabelledImages) -> Manifest | None:
    """Return the newest version that this training run published, or None."""
    identity = (asdict(recipe), seed, data.sha256(), data.classes, data.preprocessing)
    for each in published(output):
        if each.dataset is None or each.corrections is not None:
            continue
        if (each.recipe, each.seed, each.dataset.sha256, each.classes, each.preprocessing) == identity:
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


def check_fewer_errors(learned: LearnedCorrections) -> None:
    """Raise NotPublished unless corrections that were held back are misread less often than before."""
    before, after, digits = sum(learned.before), sum(learned.after), sum(learned.digits)
    if after >= before:
        raise NotPublished(
            f"nothing was published, because learning from the corrections does not help: of {digits} digits that were "
            f"held back, version {learned.version} misreads {before}; expected fewer after learning, received {after}"
        )


def check_forgets_nothing(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> None:
    """Raise NotPublished if more of the same training images are misread than before, beyond chance.

    Both are (N,). The test is McNemar's, exact and one-sided.
    """
    from scipy.stats import binomtest

    worse, better = int((after & ~before).sum()), int((before & ~after).sum())
    if worse > better and binomtest(worse, worse + better, alternative="greater").pvalue < _ERROR:
        raise NotPublished(
            f"nothing was published, because the network has forgotten what it knew: of {len(before)} training images "
            f"that were held back, it misreads {worse} that were read before, and reads {better} that were misread"
        )
