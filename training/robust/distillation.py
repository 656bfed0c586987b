"""Fitting the robust recipe: the lecture's network learns from a teacher's answers on distorted copies.

A convolutional network finds in distorted pictures what a dense one of this size does not; its probabilities tell more
than the label does, such as that this 7 is nearly a 1 (Hinton, Vinyals and Dean 2015).
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from digits.features import Floats, Grey, to_features
from training import network
from training.backend import make_reproducible
from training.data import Split
from training.fit import History, State, discard, fit_epochs, one_hot
from training.recipes import Robust
from training.robust.augmentation import distorted, enlarge

TEACHER = "teacher"
"""The folder of its state, below that of the network's."""


def fit(recipe: Robust, split: Split, *, seed: int, folder: Path, resume: bool = False) -> tuple[Any, History]:
    """Train the teacher, then the recipe's network; everything else as `training.fit.fit` does.

    What is not in the states (copies, the teacher's answers) is a function of seed and recipe, and made again on
    resuming.
    """
    if not resume:
        discard(folder)
    kept_teacher = State.read(folder / TEACHER) if resume else None
    kept = State.read(folder) if State.is_in(folder) else None  # none while the teacher is trained
    labels = one_hot(split.y_train)
    hard, mild = _copies(recipe, split, seed)

    make_reproducible(seed)
    epochs, batch_size = recipe.teacher_epochs, recipe.batch_size
    teacher = network.build_teacher(recipe, _steps(split, epochs, batch_size))
    seen = _shuffled([(copy, labels) for copy in mild], [seed, 1])
    state = folder / TEACHER
    fit_epochs(teacher, seen, epochs=epochs, batch_size=batch_size, split=split, folder=state, kept=kept_teacher)
    share = recipe.teacher_share
    answered = [
        (copy, share * teacher.predict(to_features(copy), batch_size=1000, verbose=0) + (1 - share) * labels)
        for copy in track([*hard, *mild], "asking the teacher")
    ]

    make_reproducible(seed)  # so that the first weights are the same whether the teacher was trained here or before
    epochs = recipe.epochs
    student = network.build_student(recipe, _steps(split, epochs, batch_size))
    of_hard, of_mild = (_shuffled(part, [seed, 2]) for part in (answered[: len(hard)], answered[len(hard) :]))
    first_mild = round(epochs * (1 - recipe.mild_epochs))

    def seen_by_student(epoch: int) -> tuple[Floats, Floats]:
        return of_hard(epoch) if epoch < first_mild else of_mild(epoch)

    history = fit_epochs(
        student, seen_by_student, epochs=epochs, batch_size=batch_size, split=split, folder=folder, kept=kept
    )
    return network.without_normalization(student, recipe), history


def _copies(recipe: Robust, split: Split, seed: int) -> tuple[list[Grey], list[Grey]]:
    """The training images distorted by all there is, and mildly."""
    fine = enlarge(split.x_train)
    wanted = [recipe.distortions] * recipe.copies + [recipe.mild_distortions] * recipe.mild_copies
    made = [
        distorted(fine, split.y_train, distortions, [seed, copy])
        for copy, distortions in enumerate(track(wanted, "distorting the images"))
    ]
    return made[: recipe.copies], made[recipe.copies :]


def _shuffled(copies: Sequence[tuple[Grey, Floats]], seed: Sequence[int]) -> Callable[[int], tuple[Floats, Floats]]:
    """Epoch to one of the copies with its targets, in an order that a resumed run repeats."""

    def examples(epoch: int) -> tuple[Floats, Floats]:
        pictures, targets = copies[epoch % len(copies)]
        order = np.random.default_rng([*seed, epoch]).permutation(len(pictures))
        return to_features(pictures[order]), targets[order]

    return examples


def _steps(split: Split, epochs: int, batch_size: int) -> int:
    return epochs * math.ceil(len(split.x_train) / batch_size)
