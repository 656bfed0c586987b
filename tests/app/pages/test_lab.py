"""The lab in a real browser: the network at work beside the paper, and the layers that it loads."""

import json
import math
import re

import pytest
from playwright.sync_api import Page, Response, expect

from digits.model.artifact import FIRST_OWN_VERSION
from tests.app.conftest import Reloading, Service
from tests.app.pages.conftest import OpenPage
from tests.app.pages.test_drawing import (
    ANSWERS,
    DESKTOP,
    STROKES,
    answer_with,
    button,
    colours,
    draw,
    expect_digit,
    next_frame,
    too_wide,
)
from tests.conftest import add_layers, publish_tiny

LAYERS = "**/model/layers"

ARE_IN_VIEW = """parts => parts.map((part) => {
    const { width, left, top, right, bottom } = document.querySelector(part).getBoundingClientRect();
    return width > 0 && left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
})"""
"""Tells of elements, by their selectors, whether they are completely in view."""


def look_inside(page: Page) -> None:
    button(page, "Look inside").click()
    expect(page.locator("#network")).to_be_visible()


def signed(text: str) -> float:
    return float(text.replace("−", "-"))


@pytest.fixture
def page(open_page: OpenPage, service: Service) -> Page:
    return open_page(service.url, refusals=True)


def test_the_layers_are_sent_again_only_after_a_change_and_need_a_key(
    service: Service, locked: Service, trusted: Service
) -> None:
    first = service.client.get("/model/layers")
    again = service.client.get("/model/layers", headers={"if-none-match": first.headers["etag"]})
    lacking = trusted.client.get("/model/layers")

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert first.headers["cache-control"] == again.headers["cache-control"] == "private, no-cache"
    assert first.headers["content-type"] == "application/octet-stream"
    assert (locked.client.get("/model/layers").status_code, lacking.status_code) == (401, 501)
    assert "was released without layers.safetensors" in lacking.json()["detail"]


def test_nothing_is_loaded_until_the_lab_is_opened_and_the_address_remembers_that(page: Page) -> None:
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    draw(page, *STROKES[7])
    expect_digit(page, 7)
    assert {"layers", "lab.js", "network.js"}.isdisjoint(loaded)

    look_inside(page)

    assert {"layers", "lab.js", "network.js"} <= set(loaded)
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    button(page, "Clear").click()
    page.reload()
    expect(page.locator("#lab-state")).to_have_text("Draw a digit, and see which units light up.")
    expect(page).to_have_url(re.compile("#lab$"))
    button(page, "Look inside").click()
    expect(page).to_have_url(re.compile("/$"))
    expect(page.locator("#network")).to_be_hidden()


def draw_and_wait(page: Page, digit: int) -> None:
    """Draw a digit and wait until the answer to the whole drawing is shown. Earlier strokes are answered too."""
    with page.expect_response("**/read?*"):
        draw(page, *STROKES[digit])
    expect(page.locator("#done")).not_to_be_empty()
    page.wait_for_timeout(100)
    next_frame(page)


def test_the_units_add_up_to_the_logits_that_the_services_probabilities_imply(page: Page) -> None:
    answers: list[Response] = []
    page.on("response", lambda reply: answers.append(reply) if re.search(r"/(read|predict)\?", reply.url) else None)
    draw_and_wait(page, 4)
    look_inside(page)

    expect(page.locator("#lab-state")).to_contain_text("Computed in your browser.")
    answer = answers[-1].json()
    probabilities = answer.get("digits", [answer])[0]["probabilities"]
    page.locator("#evidence-tab").click()
    next_frame(page)
    best, rival = map(int, re.findall(r"\d", page.locator("#comparison").inner_text()))
    assert (best, rival) == (4, sorted(range(10), key=lambda digit: probabilities[digit])[-2])
    shown = re.search(r"larger by (\d+\.\d+)", page.locator("#difference").inner_text())
    assert shown is not None
    assert float(shown[1]) == pytest.approx(math.log(probabilities[best] / probabilities[rival]), abs=0.05)
    logits = [signed(text) for text in page.locator("#outputs .logit").all_inner_texts()]
    assert logits[best] - logits[rival] == pytest.approx(float(shown[1]), abs=0.011)


def test_units_are_chosen_with_mouse_keys_and_lists_and_the_arithmetic_follows(page: Page) -> None:
    look_inside(page)
    draw_and_wait(page, 7)
    units, name = page.get_by_role("slider", name="Hidden units"), page.locator("#unit-name")
    expect(name).to_have_text(re.compile(r"^Unit \d+ supports \d most$"))
    strongest = name.inner_text()
    weights = colours(page.locator("#weights"))

    units.hover(position={"x": 20, "y": 6})  # the first unit of the zeros
    expect(name).to_have_text(re.compile("supports 0 most$"))
    page.mouse.move(0, 0)
    expect(name).to_have_text(strongest)
    units.click(position={"x": 20, "y": 6})
    page.mouse.move(0, 0)
    next_frame(page)
    first = name.inner_text()
    assert re.search("supports 0 most$", first)
    assert (colours(page.locator("#weights")) != weights).any()
    units.press("ArrowRight")
    expect(name).not_to_have_text(first)
    units.press("End")
    expect(units).to_have_attribute("aria-valuenow", "512")
    expect(units).to_have_attribute("aria-valuetext", re.compile(r"^Unit \d+, supports 9, activation [\d.]+$"))
    next_frame(page)
    added = [signed(text) for text in page.locator("#additions .value").all_inner_texts()]
    assert len(added) == 10
    steps = page.locator("#arithmetic-steps").inner_text().replace("−", "-")
    products, bias, total = (float(number) for number in re.findall(r"(?:up to|bias|makes it) (-?[\d.]+\d)", steps))
    assert products + bias == pytest.approx(total, abs=0.011)
    page.locator("#evidence-tab").click()
    supporting = page.get_by_role("list", name="For 7").get_by_role("button")
    expect(supporting).to_have_count(8)
    shares = [float(text.split()[0]) for text in supporting.all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    supporting.first.click()
    outputs, evidence = page.get_by_role("list", name="Outputs"), colours(page.locator("#evidence-picture"))
    outputs.get_by_role("button", name="Why not 3?").click()
    expect(page.locator("#comparison")).to_have_text("Why 7 and not 3?")
    expect(outputs.get_by_role("button", pressed=True)).to_have_text(re.compile("^3"))
    expect(page.get_by_role("list", name="For 3").get_by_role("button")).to_have_count(8)
    assert (colours(page.locator("#evidence-picture")) != evidence).any()
    button(page, "Arithmetic").click()
    expect(name).to_have_text(strongest)
    expect(page.locator("#evidence")).to_be_hidden()


def test_sliders_change_the_pixels_and_the_service_judges_them_when_they_rest(page: Page) -> None:
    draw_and_wait(page, 7)
    look_inside(page)
    expect(page.locator("#lab-state")).to_contain_text("Computed in your browser.")
    pixels = colours(page.locator("#input"))
    turn = page.get_by_role("slider", name="Turn")

    with page.expect_request("**/predict?normalize=never") as asked:
        turn.press("Home")

    expect(page.locator("#sentence")).not_to_contain_text("So far")  # the service has answered
    sent = json.loads(asked.value.post_data or "")["pixels"]
    assert (colours(page.locator("#input"))[..., 0] == sent).all()
    assert (colours(page.locator("#input")) != pixels).any()
    page.route("**/predict?normalize=never", lambda _route: None)  # no answer
    turn.press("ArrowRight")
    expect(page.locator("#sentence")).to_have_text(re.compile("^So far, it may be an? "))
    expect(page.locator("#lab-state")).to_contain_text("answers when the slider rests")
    button(page, "Start over").click()
    expect(page.locator("#sentence")).to_have_text(re.compile("^A 7"))
    assert (colours(page.locator("#input")) == pixels).all()
    assert turn.input_value() == "0"


def test_a_link_leads_to_an_example_a_panel_a_unit_an_output_and_sliders(open_page: OpenPage, service: Service) -> None:
    link = f"{service.url}/#lab&panel=evidence&unit=12&rival=8&turn=-5&thickness=0.5&example=photo"

    page = open_page(link, **DESKTOP)

    turn, units = (page.get_by_role("slider", name=name) for name in ("Turn", "Hidden units"))
    expect(page.locator("#comparison")).to_have_text("Why 3 and not 8?")
    expect(turn).to_have_value("-5")
    expect(turn).to_have_attribute("aria-valuetext", "-5 degrees")
    expect(page.locator("#sliders label").first).to_have_text(re.compile("−5°"))
    expect(units).to_have_attribute("aria-valuetext", re.compile("^Unit 12,"))
    expect(page.locator("#ghost")).to_be_visible()
    expect(page.locator("#lines path")).to_have_count(10)
    expect(page).to_have_url(link)
    button(page, "Start over").click()
    expect(page.locator("#ghost")).to_be_hidden()
    button(page, "Side by side").click()
    units.press("End")
    expect(page).to_have_url(re.compile(r"#lab&panel=beside&unit=\d+&rival=8&example=photo$"))
    draw(page, *STROKES[7])
    expect(page).to_have_url(re.compile(r"#lab&panel=beside&unit=\d+$"))
    page.goto(f"{service.url}/#lab&example=none&panel=toString&unit=x&turn=x")
    expect(page.locator("#sentence")).to_have_text("This example could not be loaded.")


def test_leaving_the_lab_restores_the_verdict_of_the_digit_that_was_drawn(page: Page) -> None:
    draw_and_wait(page, 7)
    verdict = page.locator("#sentence").inner_text()
    look_inside(page)
    expect(page.locator("#lab-state")).to_contain_text("Computed in your browser.")
    with page.expect_response("**/predict?normalize=never"):
        page.get_by_role("slider", name="Turn").press("Home")
    expect(page.locator("#sentence")).not_to_have_text(verdict)

    button(page, "Look inside").click()

    expect(page.locator("#sentence")).to_have_text(verdict)
    look_inside(page)
    page.route("**/predict?normalize=never", lambda _route: None)  # no answer
    page.get_by_role("slider", name="Turn").press("ArrowRight")
    expect(page.locator("#sentence")).to_contain_text("So far")
    button(page, "Look inside").click()
    expect(page.locator("#sentence")).to_have_text(verdict)


def test_a_lab_that_cannot_be_loaded_leaves_the_answer_and_the_retry_alone(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page(service.url, refusals=True, **DESKTOP)
    draw_and_wait(page, 7)
    page.context.set_offline(True)
    note = page.locator("#look-note")

    button(page, "Look inside").click()

    expect(note).to_have_text("The lab could not be loaded. The service cannot be reached.")
    expect(note).to_have_role("status")
    expect(page.locator("#sentence")).to_have_text(re.compile("^A 7, .* sure.$"))
    draw(page, [(0.44, 0.84), (0.43, 0.86)])
    expect(page.locator("#sentence")).to_contain_text("The page tries again soon")
    button(page, "Look inside").click()
    expect(note).not_to_be_empty()
    page.context.set_offline(False)
    expect_digit(page, 7)
    expect(note).to_be_empty()
    look_inside(page)


def test_the_page_admits_that_it_cannot_look_inside_or_computes_something_else(
    open_page: OpenPage, service: Service, reloading: Reloading
) -> None:
    page = open_page(service.url, refusals=True, **DESKTOP)
    state = page.locator("#lab-state")
    page.route(LAYERS, lambda route: route.abort())
    button(page, "Look inside").click()
    expect(state).to_have_text("The layers could not be loaded. Your next stroke tries again.")
    page.unroute(LAYERS)
    page.route(ANSWERS, answer_with("7"))
    draw(page, *STROKES[7])
    expect(state).to_contain_text("Careful: what this page computes differs from the service's probabilities by")

    page.unroute(ANSWERS)
    page.goto(f"{reloading.service.url}/#lab")
    expect(state).to_contain_text("was released without its layers")
    add_layers(publish_tiny(reloading.root, 1).folder)
    reloading.wait_for_version(FIRST_OWN_VERSION + 1)
    draw(page, *STROKES[7])
    expect(state).to_contain_text("Computed in your browser.")
    expect(page.locator("#input-size")).to_have_text("784 pixels")


def test_pixels_units_outputs_and_each_panel_are_on_one_screen_beside_the_paper(
    open_page: OpenPage, service: Service
) -> None:
    for width, height in ((1024, 768), (1280, 720), (1920, 1080)):
        page = open_page(f"{service.url}/#lab", viewport={"width": width, "height": height})
        expect(page.locator("#network")).to_be_visible()  # until then, the paper can move under the pen
        parts = ["#paper", "#input", "#units", "#outputs li:last-child", "#sliders"]
        panels = {
            "arithmetic": ["#weights", "#arithmetic-steps", "#additions"],
            "evidence": ["#evidence-picture", "#supporting", "#opposing"],
            "beside": ["#both"],
            "adversarial": ["#searches > div:last-child", "#adversarial > .aside"],
            "training": ["#recipe", "#training > .aside"],
        }
        for stroke, sentence in (
            (STROKES[7][0], "A 7"),
            ([(0.05, 0.5), (0.2, 0.5)], "Not sure: it looks most like a 7"),
        ):
            draw(page, stroke)
            expect(page.locator("#sentence")).to_contain_text(sentence)
            for panel, contents in panels.items():
                page.locator(f"[aria-controls={panel}]").click()
                expect(page.locator(contents[0])).to_be_visible()
                next_frame(page)
                assert page.evaluate(ARE_IN_VIEW, [*parts, *contents]) == [True] * (len(parts) + len(contents))
                assert page.evaluate("document.documentElement.scrollHeight") == height
        expect(page.locator("#marks")).to_have_text("1 mark was not read.")
        expect(page.locator("#sentence")).to_have_css("font-size", f"{max(14, width // 80)}px")


def test_on_a_phone_pixels_and_verdict_stay_in_view_while_sliding(open_page: OpenPage, service: Service) -> None:
    page = open_page(f"{service.url}/#lab", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    expect(page.locator("#network")).to_be_visible()
    draw_and_wait(page, 7)
    page.locator("#panels").scroll_into_view_if_needed()

    page.get_by_role("slider", name="Turn").press("ArrowRight")

    for part in ("#digit", "#stranger", "#sentence", "#sliders"):
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    expect(page.locator("#stranger")).to_have_css("width", "56px")
    assert (colours(page.locator("#stranger")) == colours(page.locator("#input"))).all()
    hint = "heading => getComputedStyle(heading, '::after').content.includes('→')"
    assert [page.locator(f"#{name}").evaluate(hint) for name in ("input-size", "unit-count", "output-count")] == [
        *(True, True, False)
    ]


def test_the_open_lab_fits_every_screen(page: Page) -> None:
    look_inside(page)
    draw(page, *STROKES[7])
    expect(page.locator("#unit-name")).to_be_visible()

    assert too_wide(page) == []
    assert min(row.evaluate("row => row.offsetHeight") for row in page.locator("#outputs button").all()) >= 24
