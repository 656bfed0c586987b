"""No state of the pages breaks a rule of axe: names, roles, contrast, and the size of what is tapped."""

from collections.abc import Callable
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.app.conftest import Service, cases
from tests.app.pages.conftest import OpenPage
from tests.app.pages.test_drawing import PHONE, STROKES, button, draw, expect_digit
from tests.app.pages.test_stack import DIARY, DOUBTFUL, expect_state, stack

RULES = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
SCREENS: list[dict[str, Any]] = [
    {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    {**PHONE, "color_scheme": "dark"},
]


def answer(page: Page) -> None:
    draw(page, *STROKES[7])
    expect_digit(page, 7)
    button(page, "Why?").click()
    page.get_by_text("how good is it?").click()
    expect(page.locator("#legend")).to_be_visible()


def fill_table(page: Page) -> None:
    stack(page, DOUBTFUL, DIARY)
    expect_state(page, "2 pictures: 0 sure, 1 to check, 1 failed.")


def search(page: Page) -> None:
    page.locator("#search").click()
    expect(page.locator("#searches p").first).to_contain_text("grey")


def train(page: Page) -> None:
    button(page, "Start").click()
    expect(page.locator("#training-state")).to_contain_text("it reads", timeout=90_000)
    button(page, "Pause").click()


def unfold(page: Page) -> None:
    page.locator("summary").evaluate_all("all => all.map((fold) => fold.click())")


def wait(_page: Page) -> None:
    """The state is that of the address."""


@cases(
    ("path", "shown", "act"),
    {
        "an empty page": ("", "#start", wait),
        "an explained answer": ("", "#start", answer),
        "a number": ("#example=number", "#number span", wait),
        "a stack with its desk": ("", "#start", fill_table),
        "the arithmetic": ("#lab&example=photo", "#arithmetic", wait),
        "the evidence": ("#lab&panel=evidence&example=photo", "#evidence", wait),
        "the networks side by side": ("#lab&panel=beside&example=photo", "#beside", wait),
        "an adversarial example": ("#lab&panel=adversarial&example=photo", "#adversarial", search),
        "a network that is trained": ("#lab&panel=training", "#training", train),
        "the folded card": ("model/card", "h1", wait),
        "the whole card": ("model/card", "h1", unfold),
        "an error": ("nothing", "h1", wait),
    },
)
def test_no_state_of_the_pages_breaks_a_rule(
    open_page: OpenPage, service: Service, path: str, shown: str, act: Callable[[Page], None]
) -> None:
    for screen in SCREENS:
        page = open_page(f"{service.url}/{path}", refusals=True, **screen)
        expect(page.locator(shown).first).to_be_visible()
        act(page)

        found = Axe().run(page, options=RULES).response["violations"]

        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
