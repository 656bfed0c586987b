"""The answer beside those of the lecture's network and of the visitor's own, in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.app.pages.test_drawing import STROKES, button, draw
from tests.app.pages.test_lab import look_inside


def percents(page: Page, column: int) -> list[float]:
    """Return the probabilities in a column of the table."""
    cells = page.locator(f"#both td:nth-child({column})").all_inner_texts()
    return [float(cell.strip("> %\u00a0")) for cell in cells]


def test_a_turned_digit_divides_both_networks_and_the_lectures_is_loaded_on_demand(page: Page) -> None:
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    draw(page, *STROKES[7])
    look_inside(page)
    expect(page.locator("#lab-state")).to_contain_text("Computed in your browser.")
    assert {"lecture.safetensors", "real-digits.png", "training_worker.js"}.isdisjoint(loaded)

    button(page, "Side by side").click()

    state = page.locator("#beside-state")
    expect(state).to_have_text("Both say 7.")
    assert loaded.count("lecture.safetensors") == 1
    expect(page.get_by_role("columnheader", name="Your network")).to_be_hidden()
    page.get_by_role("slider", name="Turn").fill("40")
    expect(state).to_have_text(re.compile(r"^This model says \d\. The lecture's network says \d\.$"))
    shown = percents(page, 2)
    bars = [float(text.split()[0].strip(">")) for text in page.locator("#outputs .value").all_inner_texts()]
    assert shown == pytest.approx(bars, abs=0.11)  # of weights that are rounded
    assert sum(percents(page, 3)) == pytest.approx(100, abs=1)


def test_the_smallest_change_that_makes_a_7_a_9_is_found_for_both_networks(page: Page) -> None:
    draw(page, *STROKES[7])
    look_inside(page)
    button(page, "Turn it into").click()
    searches = page.locator("#searches > div")
    expect(searches).to_have_count(2)

    with page.expect_response("**/predict?normalize=never"):
        page.get_by_role("list", name="Outputs").get_by_role("button", name="Why not 9?").click()

    expect(page.locator("#wish")).to_have_text("Turn this 7 into a 9")
    for search, name in zip(searches.all(), ("This model", "The lecture's network"), strict=True):
        expect(search.get_by_role("heading")).to_have_text(name)
        found = re.compile(r"^9, [\d.]+\s% sure\. Changed by [\d.]+ grey values a pixel\.$")
        expect(search.locator("p").first).to_have_text(found)
        size = re.search(r"by ([\d.]+) grey", search.locator("p").first.inner_text())
        assert size is not None
        assert 1 < float(size[1]) < 40
        judged = re.compile(r"^The service: .+ accept is (true|false), novelty −?\d+\.\d\d\.$")
        expect(search.locator("p").last).to_have_text(judged)
    expect(searches.first.locator("p").last).to_have_text(re.compile("(a|A) 9"))
