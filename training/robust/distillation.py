"""Fit the robust recipe: the lecture's network learns from a teacher's answers on distorted copies.

The teacher is a convolutional network, which recognizes distorted pictures better than a dense network of this size.
Its probabilities say more than a label, for example that a 7 looks almost like a 1 (Hinton, Vinyals and Dean 2015).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from digits.features import Grey, to_features
from training.backend import make_reproducible
from training.data.images import Crops, Split
from training.fit.epochs import History, fit_epochs, held_back, one_hot, shuffled
from training.network import layers as network
from training.network.recipes import Robust
from training.progress import track
from training.robust.augmentation import distort, enlarge


def fit(recipe: Robust, split: Split, crops: Crops | None, *, seed: int, folder: Path) -> tuple[Any, History]:
    """Train the teacher, then the recipe's network. The rest is as in `training.fit.epochs.fit`.

    The crops are digits in MNIST form that were cut out of scenes, with their labels, from `training.finder.crops`.
    The copies and the teacher's answers are not saved. A resumed run computes them again from the seed and the recipe.
    """
    strong, mild = _copies(recipe, split, crops, seed)
    labels = one_hot(split.y_train, split.classes)

    validation, batch_size = held_back(split), recipe.batch_size
    make_reproducible(seed)
    teacher = network.build_teacher(recipe, _steps(split, recipe.teacher_epochs, batch_size), split.classes)
    fit_epochs(
        teacher,
        shuffled(mild, [labels] * len(mild), [seed, 1]),
        epochs=recipe.teacher_epochs,
        batch_size=batch_size,
        validation=validation,
        folder=folder / "teacher",
    )
    share = recipe.teacher_share
    targets = [
        share * teacher.predict(to_features(copy), batch_size=1000, verbose=0) + (1 - share) * labels
        for copy in track([*strong, *mild], "computing the teacher's probabilities", len(strong) + len(mild))
    ]
    strong_examples = shuffled(strong, targets[: len(strong)], [seed, 2])
    mild_examples = shuffled(mild, targets[len(strong) :], [seed, 2])
    first_mild = round(recipe.epochs * (1 - recipe.mild_epochs))

    def examples(epoch: int) -> tuple[Any, Any]:
        return strong_examples(epoch) if epoch < first_mild else mild_examples(epoch)

    # Seed again, so that the initial weights do not depend on how much of the teacher's training was resumed.
    make_reproducible(seed)
    epochs = recipe.epochs
    student = network.build_student(recipe, _steps(split, epochs, batch_size), split.classes)
    history = fit_epochs(student, examples, epochs=epochs, batch_size=batch_size, validation=validation, folder=folder)
    return network.fold_normalization(student, recipe), history


def _copies(recipe: Robust, split: Split, crops: Crops | None, seed: int) -> tuple[list[Grey], list[Grey]]:
    """Return the strongly and the mildly distorted copies of the training images."""
    fine = enlarge(split.x_train)
    of_label = None
    if crops is not None:
        pixels, labels = crops
        of_label = {label: pixels[labels == label] for label in np.unique(labels).tolist()}
    strengths = [recipe.distortions] * recipe.copies + [recipe.mild_distortions] * recipe.mild_copies
    numbered = track(enumerate(strengths), "distorting the training images", len(strengths))
    copies = [distort(fine, split.y_train, each, [seed, number], of_label) for number, each in numbered]
    return copies[: recipe.copies], copies[recipe.copies :]


def _steps(split: Split, epochs: int, batch_size: int) -> int:
    return epochs * math.ceil(len(split.x_train) / batch_size)
