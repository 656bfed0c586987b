"""Fine-tune a network on corrections, so that it keeps what it knew.

It also sees training images and distorted copies of them, with its own earlier probabilities as targets (learning
without forgetting: Li and Hoiem 2016).
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey, to_features
from training.backend import keras, make_reproducible
from training.data.corrections import Corrections
from training.data.images import Labels, Split
from training.fit.epochs import one_hot
from training.network.layers import activations
from training.network.recipes import Distortions, Robust
from training.progress import track
from training.robust.augmentation import distort, enlarge

FOLDS = 5
"""Parts of the corrections that are held back in turn."""

_REPLAYED = 12_000
"""Number of training images to replay, with two distorted copies of each."""

_EPOCHS, _COPIES, _BATCH_SIZE = 4, 6_400, 256
"""The same pictures are seen in each epoch: this number of copies of corrections, and three times as many replayed."""

_LEARNING_RATE = 2e-4
"""Of Adam. It falls to 0 along half a cosine. With 1e-3, other digits of the same hands are read worse than before."""

_DISTORTIONS = replace(Distortions().without_styles(), plain=1)
"""Corrections are only turned, scaled, sheared and bent, as slightly as in the mild copies of the robust recipe."""


@dataclass(frozen=True, slots=True)
class FineTuning:
    """A trained network, and what its fine-tuned copies see beside corrections."""

    network: Any
    replayed: Grey
    """uint8 (N, 28, 28)."""
    targets: Floats
    """(N, 10): the network's probabilities."""
    seed: int

    @classmethod
    def of(cls, network: Any, split: Split, seed: int) -> "FineTuning":
        """Choose and distort the training images to replay."""
        chosen = np.random.default_rng(seed).permutation(len(split.y_train))[:_REPLAYED]
        images, labels, robust = split.x_train[chosen], split.y_train[chosen], Robust("robust")
        fine = enlarge(images)
        strengths = robust.mild_distortions, robust.distortions
        copies = [distort(fine, labels, strength, [seed, number]) for number, strength in enumerate(strengths)]
        replayed = np.concatenate([images, *copies])
        return cls(network, replayed, network.predict(to_features(replayed), batch_size=1024, verbose=0), seed)

    def on(self, corrections: Corrections) -> Any:
        """Return a copy of the network that has learned from corrections."""
        rng = np.random.default_rng(self.seed)
        repeated = np.resize(rng.permutation(len(corrections.labels)), _COPIES)
        replayed = rng.permutation(len(self.replayed))[: 3 * _COPIES]
        labels = corrections.labels[repeated]
        copies = distort(enlarge(corrections.pixels[repeated]), labels, _DISTORTIONS, [self.seed])
        x = np.concatenate([copies, self.replayed[replayed]])
        y = np.concatenate([one_hot(labels, self.targets.shape[1]), self.targets[replayed]])
        make_reproducible(self.seed)
        tuned = keras().models.clone_model(self.network)
        tuned.set_weights(self.network.get_weights())
        schedule = keras().optimizers.schedules.CosineDecay(_LEARNING_RATE, _EPOCHS * math.ceil(len(x) / _BATCH_SIZE))
        tuned.compile(keras().optimizers.Adam(schedule), "categorical_crossentropy")
        tuned.fit(to_features(x), y, batch_size=_BATCH_SIZE, epochs=_EPOCHS, verbose=0)
        return tuned

    def misread_when_held_back(self, corrections: Corrections, others: Corrections) -> NDArray[np.bool_]:
        """Return which corrections a copy misreads that has learned from the other pictures' only, (N,).

        A fifth of the pictures is held back, five times. `others` never are. There are at least five pictures.
        """
        shuffled = np.random.default_rng(self.seed).permutation(np.unique(corrections.pictures))
        is_misread = np.zeros(len(corrections.labels), dtype=bool)
        for fold in track(range(FOLDS), "learning from four fifths of the corrections", FOLDS):
            held_back = np.isin(corrections.pictures, shuffled[fold::FOLDS])
            copy = self.on(corrections.select(~held_back).and_others(others))
            part = corrections.select(held_back)
            is_misread[held_back] = misread(copy, part.pixels, part.labels)
        return is_misread


def misread(network: Any, pixels: Grey, labels: Labels) -> NDArray[np.bool_]:
    """Return which pictures, uint8 (N, 28, 28), the network misreads, (N,)."""
    logits = activations(network, to_features(pixels))[1]
    is_misread: NDArray[np.bool_] = logits.argmax(axis=1) != labels
    return is_misread
