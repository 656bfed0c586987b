"""Calibrate a trained network: its softmax temperature, and the calibration data in the manifest."""

from typing import Any

import numpy as np

from digits.features import Floats, to_features
from digits.model.artifact import Calibration, Novelty, Temperature
from digits.model.classifier import Classifier
from digits.model.drift import edges_for, quantities, reference
from training.data.images import Labels, Split
from training.network.layers import activations
from training.trust import conformal
from training.trust.imitations import imitations
from training.trust.novelty import METHOD, false_alarms


def fit_temperature(network: Any, split: Split, *, fold: bool) -> Temperature:
    """Fit the temperature of the lecture's network on the validation images.

    With `fold`, the network's logits are divided by it. Otherwise the manifest only reports it.
    """
    _, logits = activations(network, to_features(split.x_validation))
    value = best_temperature(logits, split.y_validation)
    if fold:
        fold_temperature(network, value)
    return Temperature(value=value, folded=fold)


def best_temperature(logits: Floats, labels: Labels) -> float:
    """Return the temperature between 1/20 and 20 with the smallest cross-entropy (Guo et al. 2017).

    `logits` are float32 (N, classes), and `labels` are uint8 (N,).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def cross_entropy(log_temperature: float) -> float:
        scaled = log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(-3, 3), method="bounded").x))


def fold_temperature(network: Any, temperature: float) -> None:
    """Divide the last layer's kernel and bias by the temperature, in place.

    The network gets no additional layer, so that retraining starts from the lecture's layers. The most probable digit
    does not change.
    """
    last = network.layers[-1]
    last.set_weights([weights / np.float32(temperature) for weights in last.get_weights()])


def calibrate(classifier: Classifier, split: Split, temperature: Temperature) -> Calibration:
    """Compute the manifest's calibration from the calibration images, and from a distorted copy of each.

    Pictures that are only resized have no copies, because the distortions are those of pens.
    """
    edges = edges_for(len(classifier.manifest.classes))
    features = to_features(split.x_calibration)
    scores = classifier.scores(features)
    normalized_sets = None
    has_digits = classifier.class_names is None
    alarms, copies_alarms = false_alarms(has_digits=has_digits)
    if classifier.manifest.preprocessing == "normalize":
        copies = to_features(imitations(split.x_calibration, split.y_calibration, has_digits=has_digits))
        normalized_sets = conformal.calibrate(classifier.probabilities(copies), split.y_calibration)
    return Calibration(
        validation_images=len(split.y_validation),
        calibration_images=len(split.y_calibration),
        temperature=temperature,
        prediction_sets=conformal.calibrate(scores.probabilities, split.y_calibration),
        normalized_sets=normalized_sets,
        novelty=None
        if scores.novelty is None
        else Novelty(method=METHOD, false_alarms=alarms, copies_false_alarms=copies_alarms),
        reference={name: reference(values, edges[name]) for name, values in quantities(features, *scores).items()},
    )
