"""The answer beside that of the lecture's network, in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.app.conftest import Service
from tests.app.pages.conftest import OpenPage
from tests.app.pages.test_drawing import DESKTOP, STROKES, colours, draw
from tests.app.pages.test_lab import look_inside


def percents(page: Page, column: int) -> list[float]:
    """Return the probabilities in a column of the table."""
    cells = page.locator(f"#both td:nth-child({column})").all_inner_texts()
    return [float(cell.strip("> %\u00a0")) for cell in cells]


@pytest.fixture
def page(open_page: OpenPage, service: Service) -> Page:
    return open_page(service.url, **DESKTOP)


def test_a_turned_digit_divides_both_networks_and_the_lectures_is_loaded_on_demand(page: Page) -> None:
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    draw(page, *STROKES[7])
    look_inside(page)
    assert not any(name.startswith("lecture-") for name in loaded)

    page.locator("#beside-tab").click()

    state = page.locator("#beside-state")
    expect(state).to_have_text("Both say 7.")
    assert [name for name in loaded if name.startswith("lecture-")] == ["lecture-7.safetensors"]
    reached = re.compile(r"^After epoch 5, it reads 97.8\s% of MNIST's test digits\.")
    expect(page.locator("#reached")).to_have_text(reached)
    turn = page.get_by_role("slider", name="Turn")
    turn.fill("40")
    expect(state).to_have_text(re.compile(r"^This model says \d\. The lecture's network says \d\.$"))
    shown = percents(page, 2)
    bars = [float(text.split()[0].strip(">")) for text in page.locator("#outputs .value").all_inner_texts()]
    assert shown == pytest.approx(bars, abs=0.11)  # of weights that are rounded
    assert sum(percents(page, 3)) == pytest.approx(100, abs=1)


def test_the_training_goes_from_noise_to_strokes_by_keyboard(page: Page) -> None:
    draw(page, *STROKES[7])
    look_inside(page)
    page.locator("#beside-tab").click()
    expect(page.locator("#beside-state")).to_have_text("Both say 7.")
    trained = colours(page.locator("#strokes canvas").first)
    page.locator("#evidence-tab").click()
    training = page.get_by_role("slider", name="Training of the lecture's network")

    training.press("Home")

    expect(page.locator("#reached")).to_have_text(re.compile("^Before its training, it reads 11.9"))
    expect(training).to_have_attribute("aria-valuetext", "Before its training")
    assert max(percents(page, 3)) < 40
    assert (colours(page.locator("#strokes canvas").first) != trained).any()
    training.press("ArrowRight")
    expect(page.locator("#reached")).to_have_text(re.compile("^After 3 steps"))
    training.press("End")
    expect(page.locator("#reached")).to_have_text(re.compile("^After epoch 5"))
    assert (colours(page.locator("#strokes canvas").first) == trained).all()
