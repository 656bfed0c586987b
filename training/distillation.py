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
from training.augmentation import distorted, enlarge
from training.backend import make_reproducible
from training.data import Split
from training.fit import History, State, discard, fit_epochs, one_hot
from training.recipes import Robust

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
    fine = enlarge(split.x_train)
    copies = [
        distorted(fine, split.y_train, recipe.distortions, [seed, copy])
        for copy in track(range(recipe.copies), "distorting the images")
    ]
    labels = one_hot(split.y_train)

    make_reproducible(seed)
    epochs, batch_size = recipe.teacher_epochs, recipe.batch_size
    teacher = network.build_teacher(recipe, _steps(split, epochs, batch_size))
    seen = _shuffled(copies, [labels] * len(copies), [seed, 1])
    state = folder / TEACHER
    fit_epochs(teacher, seen, epochs=epochs, batch_size=batch_size, split=split, folder=state, kept=kept_teacher)
    share = recipe.teacher_share
    answers = [
        share * teacher.predict(to_features(copy), batch_size=1000, verbose=0) + (1 - share) * labels
        for copy in track(copies, "asking the teacher")
    ]

    make_reproducible(seed)  # so that the first weights are the same whether the teacher was trained here or before
    epochs = recipe.epochs
    student = network.build_student(recipe, _steps(split, epochs, batch_size))
    seen = _shuffled(copies, answers, [seed, 2])
    history = fit_epochs(student, seen, epochs=epochs, batch_size=batch_size, split=split, folder=folder, kept=kept)
    trained = network.build(recipe)
    trained.set_weights(student.get_weights())
    return trained, history


def _shuffled(
    copies: Sequence[Grey], targets: Sequence[Floats], seed: Sequence[int]
) -> Callable[[int], tuple[Floats, Floats]]:
    """Epoch to one of the copies with its targets, in an order that a resumed run repeats."""

    def examples(epoch: int) -> tuple[Floats, Floats]:
        copy = epoch % len(copies)
        order = np.random.default_rng([*seed, epoch]).permutation(len(copies[copy]))
        return to_features(copies[copy][order]), targets[copy][order]

    return examples


def _steps(split: Split, epochs: int, batch_size: int) -> int:
    return epochs * math.ceil(len(split.x_train) / batch_size)
