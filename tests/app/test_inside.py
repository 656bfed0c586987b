"""The section "Look inside" in a real browser, and the layers that it loads."""

import json
import math
import re

import pytest
from playwright.sync_api import Page, Response, expect

from digits.model.artifact import FIRST_OWN_VERSION
from tests.app.conftest import SHAPES, OpenPage, Reloading, Service
from tests.app.test_page import ANSWERS, DESKTOP, STROKES, answer_with, button, colours, draw, expect_digit, too_wide
from tests.conftest import add_layers, publish_tiny

LAYERS = "**/model/layers"


def look_inside(page: Page) -> None:
    page.get_by_text("Look inside").click()
    expect(page.locator("#network")).to_be_visible()


def signed(text: str) -> float:
    return float(text.replace("−", "-"))


@pytest.fixture
def page(open_page: OpenPage, layered: Service) -> Page:
    return open_page(layered.url, **DESKTOP)


def test_the_layers_are_sent_again_only_after_a_change_and_need_a_key(
    layered: Service, locked: Service, trusted: Service
) -> None:
    first = layered.client.get("/model/layers")
    again = layered.client.get("/model/layers", headers={"if-none-match": first.headers["etag"]})
    lacking = trusted.client.get("/model/layers")

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert first.headers["cache-control"] == again.headers["cache-control"] == "private, no-cache"
    assert first.headers["content-type"] == "application/octet-stream"
    assert (locked.client.get("/model/layers").status_code, lacking.status_code) == (401, 501)
    assert "was released without layers.safetensors" in lacking.json()["detail"]


def test_nothing_is_loaded_until_the_section_is_opened_and_the_address_remembers_that(page: Page) -> None:
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    draw(page, *STROKES[7])
    expect_digit(page, 7)
    assert {"layers", "inside.js", "network.js"}.isdisjoint(loaded)

    look_inside(page)

    assert {"layers", "inside.js", "network.js"} <= set(loaded)
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    page.reload()
    expect(page.locator("#inside-state")).to_have_text("Draw a digit, and see which units light up.")
    page.get_by_text("Look inside").click()
    expect(page).to_have_url(re.compile("/$"))


def expect_last_answer(page: Page) -> None:
    """Wait for the answer to the whole drawing. Earlier strokes are answered too."""
    expect(page.get_by_role("button", name="Why?")).to_be_visible()


def test_the_units_add_up_to_the_logits_that_the_services_probabilities_imply(page: Page) -> None:
    answers: list[Response] = []
    page.on("response", lambda reply: answers.append(reply) if re.search(r"/(read|predict)\?", reply.url) else None)
    draw(page, *STROKES[4])
    expect_last_answer(page)
    look_inside(page)

    expect(page.locator("#inside-state")).to_contain_text("Computed in your browser.")
    answer = answers[-1].json()
    probabilities = answer.get("digits", [answer])[0]["probabilities"]
    best, rival = map(int, re.findall(r"\d", page.locator("#comparison").inner_text()))
    assert (best, rival) == (4, sorted(range(10), key=lambda digit: probabilities[digit])[-2])
    shown = re.search(r"larger by (\d+\.\d+)", page.locator("#difference").inner_text())
    assert shown is not None
    assert float(shown[1]) == pytest.approx(math.log(probabilities[best] / probabilities[rival]), abs=0.05)
    logits = [signed(text) for text in page.locator("#outputs .logit").all_inner_texts()]
    assert logits[best] - logits[rival] == pytest.approx(float(shown[1]), abs=0.011)


def test_units_are_chosen_with_mouse_keys_and_lists_and_the_arithmetic_follows(page: Page) -> None:
    look_inside(page)
    draw(page, *STROKES[7])
    expect_last_answer(page)
    units, name = page.get_by_role("slider", name="Hidden units"), page.locator("#unit-name")
    expect(name).to_have_text(re.compile(r"^Unit \d+ supports \d most$"))
    strongest = name.inner_text()
    weights = colours(page.locator("#weights"))

    units.hover(position={"x": 30, "y": 6})  # the first unit of the zeros
    expect(name).to_have_text(re.compile("supports 0 most$"))
    page.mouse.move(0, 0)
    expect(name).to_have_text(strongest)
    units.click(position={"x": 30, "y": 6})
    page.mouse.move(0, 0)
    first = name.inner_text()
    assert re.search("supports 0 most$", first)
    assert (colours(page.locator("#weights")) != weights).any()
    units.press("ArrowRight")
    expect(name).not_to_have_text(first)
    units.press("End")
    expect(units).to_have_attribute("aria-valuenow", "512")
    expect(units).to_have_attribute("aria-valuetext", re.compile(r"^Unit \d+, supports 9, activation [\d.]+$"))
    supporting = page.get_by_role("list", name="For 7").get_by_role("button")
    expect(supporting).to_have_count(8)
    shares = [float(text.split()[0]) for text in supporting.all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    supporting.first.click()
    expect(name).to_have_text(strongest)
    outputs, evidence = page.get_by_role("list", name="Outputs"), colours(page.locator("#evidence"))
    outputs.get_by_role("button", name="Why not 3?").click()
    expect(page.locator("#comparison")).to_have_text("Why 7 and not 3?")
    expect(outputs.get_by_role("button", pressed=True)).to_have_text(re.compile("^3"))
    expect(page.get_by_role("list", name="For 3").get_by_role("button")).to_have_count(8)
    assert (colours(page.locator("#evidence")) != evidence).any()
    steps = page.locator("#arithmetic").inner_text().replace("−", "-")
    products, bias, total, activation = (
        float(number) for number in re.findall(r"(?:up to|bias|makes it|activation is) (-?[\d.]+\d)", steps)
    )
    assert products + bias == pytest.approx(total, abs=0.011)
    assert total == activation > 0


def test_sliders_change_the_pixels_and_the_service_judges_them_when_they_rest(page: Page) -> None:
    draw(page, *STROKES[7])
    look_inside(page)
    expect(page.locator("#more")).to_contain_text("Only 7 is plausible")
    pixels = colours(page.locator("#pixels"))
    turn = page.get_by_role("slider", name="Turn")

    with page.expect_request("**/predict?normalize=never") as asked:
        turn.press("Home")

    expect(page.locator("#inside-state")).to_contain_text("Its probabilities differ")  # the service has answered
    sent = json.loads(asked.value.post_data or "")["pixels"]
    assert (colours(page.locator("#pixels"))[..., 0] == sent).all()
    assert (colours(page.locator("#pixels")) != pixels).any()
    page.route("**/predict?normalize=never", lambda _route: None)  # no answer
    turn.press("ArrowRight")
    expect(page.locator("#sentence")).to_have_text(re.compile("^So far, it may be an? "))
    expect(page.locator("#inside-state")).to_contain_text("answers when the slider rests")
    button(page, "Start over").click()
    expect(page.locator("#sentence")).to_have_text(re.compile("^A 7"))
    assert (colours(page.locator("#pixels")) == pixels).all()
    assert turn.input_value() == "0"


def test_the_page_admits_that_it_cannot_look_inside_or_computes_something_else(
    open_page: OpenPage, layered: Service, reloading: Reloading
) -> None:
    page = open_page(layered.url, refusals=True, **DESKTOP)
    state = page.locator("#inside-state")
    page.route(LAYERS, lambda route: route.abort())
    page.get_by_text("Look inside").click()
    expect(state).to_have_text("The layers could not be loaded. Your next stroke tries again.")
    page.unroute(LAYERS)
    page.route(ANSWERS, answer_with("7"))
    draw(page, *STROKES[7])
    expect(state).to_contain_text("Careful: what this page computes differs from the service's probabilities by")

    page.unroute(ANSWERS)
    page.goto(f"{reloading.service.url}/#inside")
    expect(state).to_contain_text("was released without its layers")
    add_layers(publish_tiny(reloading.root, 1).folder)
    reloading.wait_for_version(FIRST_OWN_VERSION + 1)
    draw(page, *STROKES[7])
    expect(state).to_contain_text("Computed in your browser.")
    expect(page.locator("#layer-sizes")).to_contain_text("784 pixels")


def test_the_inside_of_a_model_of_other_classes_has_their_names(open_page: OpenPage, shapes: Service) -> None:
    page = open_page(shapes.url, refusals=True, **DESKTOP)  # of `POST /read`
    draw(page, *STROKES[0])
    look_inside(page)

    expect(page.locator("#outputs .name")).to_have_text(list(SHAPES))
    expect(page.locator("#inside-state")).to_contain_text("Computed in your browser.")
    expect(page.locator("#unit-name")).to_have_text(re.compile("|".join(map(re.escape, SHAPES))))
    assert not re.search("digit", page.locator("#inside").inner_text())
    expect(page.get_by_text("Beside the lecture's network")).to_be_hidden()


def test_the_open_section_fits_every_screen_and_every_part_has_a_name(page: Page) -> None:
    look_inside(page)
    draw(page, *STROKES[7])
    expect(page.locator("#comparison")).to_be_visible()

    assert too_wide(page) == []
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    nodes = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    wanted = {"button", "image", "img", "slider", "heading", "list"}
    named = [(role, name) for role, name in nodes if role in wanted]
    assert [role for role, name in named if not name] == ["list"]  # the steps of the arithmetic
