"""A stack of pictures on the drawing page, and the desk to check it, in a real browser."""

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, Route, expect

from app.openapi.example_pictures import EXAMPLES
from digits.model.artifact import FIRST_OWN_VERSION
from tests.app.conftest import NEW_KEY, SHAPES, Reloading, Service
from tests.app.pages.conftest import OpenPage
from tests.app.pages.test_drawing import (
    ANSWERS,
    DESKTOP,
    PHONE,
    STROKES,
    answer_with,
    button,
    colours,
    draw,
    expect_digit,
    record_posts,
    too_wide,
)
from tests.conftest import SHIPPED_VERSION, amount, encoded, fresh_python, publish_classes

READ = re.compile(r"/read$")
"""The URL that the table asks."""

SELECTED = "field => field.value.slice(field.selectionStart, field.selectionEnd)"


def picture(name: str, source: str = "seven.png") -> FilePayload:
    kind = "image/jpeg" if source.endswith("jpg") else "image/png"
    return {"name": name, "mimeType": kind, "buffer": (EXAMPLES / source).read_bytes()}


BROKEN: FilePayload = {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"}
DIARY: FilePayload = {"name": "diary.txt", "mimeType": "text/plain", "buffer": b"Dear diary"}
DOUBTFUL = picture("doubtful.png", "drawing-2718-28.png")


def stack(page: Page, *files: FilePayload) -> None:
    page.locator("#file").set_input_files(files)
    expect(page.get_by_role("heading", name="Stack of pictures")).to_be_visible()


def rows(page: Page) -> Locator:
    return page.locator("#rows tr").filter(visible=True)


def open_row(page: Page, index: int) -> None:
    rows(page).nth(index).get_by_role("button").click()


def field(page: Page, name: str) -> Locator:
    """Return the field of the desk while it asks for the text of this picture."""
    return page.get_by_role("textbox", name=f"What is the text of {name}?")


def expect_state(page: Page, words: str) -> None:
    expect(page.locator("#stack-state")).to_have_text(words)


def stack_two(page: Page, *, unsure: Sequence[int] = (2,), opened: int = 0) -> None:
    """Stack two pictures of 9525 with these unsure digits, and open a row."""
    page.route(READ, answer_with("9525", unsure=unsure))
    stack(page, picture("a.png"), picture("b.png"))
    expect_state(page, "2 pictures: 0 sure, 2 to check.")
    open_row(page, opened)
    expect(field(page, "ab"[opened] + ".png")).to_be_focused()


def table_of(content: str) -> dict[str, dict[str, str]]:
    """Return the rows of a CSV file by the names of their pictures, without their paths."""
    return {Path(row.pop("path")).name: row for row in csv.DictReader(io.StringIO(content, newline=""))}


def saved_csv(page: Page) -> str:
    with page.expect_download() as started:
        button(page, "Download CSV").click()
    assert started.value.suggested_filename == "pictures.csv"
    return Path(started.value.path()).read_bytes().decode()


def download(page: Page) -> dict[str, dict[str, str]]:
    return table_of(saved_csv(page))


@pytest.fixture
def page(open_page: OpenPage, service: Service) -> Page:
    return open_page(service.url, refusals=True)


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_several_files_that_are_dropped_or_pasted_are_all_read(page: Page, way: str) -> None:
    page.evaluate(
        """([way, files]) => {
            const transfer = new DataTransfer();
            for (const [name, bytes] of files) {
                transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            }
            const Kind = way === "drop" ? DragEvent : ClipboardEvent;
            document.body.dispatchEvent(
                new Kind(way, { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer })
            );
        }""",
        [way, [[each["name"], list(each["buffer"])] for each in (picture("a.png"), DOUBTFUL)]],
    )

    expect_state(page, "2 pictures: 1 sure, 1 to check.")
    expect(rows(page).nth(0)).to_have_text(re.compile(r"^\s*a.png\s+7\s+sure A 7, >99.9\s% sure\.\s*$"))
    expect(rows(page).nth(1)).to_contain_text("check Line 1, digit 3. Not sure: it looks most like a 1")
    expect(field(page, "doubtful.png")).to_be_focused()


def stack_two_unanswered(page: Page) -> list[Route]:
    """Stack two pictures, open the first row, and return the requests, which wait for their answers."""
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    page.route(READ, hold)
    stack(page, picture("a.png"), picture("b.png"))
    open_row(page, 0)
    return waiting


def test_60_files_of_which_two_are_no_pictures_become_the_commands_rows(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    sources = [file for file in sorted(EXAMPLES.iterdir()) if file.suffix in {".png", ".jpg"}]
    names = [f"{index}-{sources[index % len(sources)].name}" for index in range(58)]
    files = [picture(name, name.partition("-")[2]) for name in names]
    for each in [*files[: len(sources)], BROKEN]:
        (folder / each["name"]).write_bytes(each["buffer"])
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))

    stack(page, *files[:40], DIARY, *files[40:], BROKEN)
    expect(page.locator("#stack-state")).to_have_text(re.compile(r"^60 pictures: \d+ sure, \d+ to check, 2 failed\.$"))
    draw(page, *STROKES[7])
    expect_digit(page, 7)  # the first stroke leaves the desk
    expect(page.locator("#desk")).to_be_hidden()
    output = tmp_path / "numbers.csv"
    command = fresh_python("-m", "cli", "read", folder, "--output", output)
    shown, expected = download(page), table_of(output.read_bytes().decode())

    assert command.returncode == 0, command.stderr
    assert loaded.count("read") == 59
    assert list(shown) == [*names[:40], "diary.txt", *names[40:], "broken.png"]
    decided = {name: row.pop("checked_by") for name, row in shown.items()}
    for name, row in expected.items():
        assert row.pop("checked_by") == ""
        if row["non_digit_count"] in ("", "0"):  # the page writes another sign for what is no digit
            assert shown[name]["text"].replace("?", "") == row["text"]
        assert shown[name] | {"text": row["text"]} == row
    assert all((decided[name] == "model") == (row["accept"] == "true") for name, row in shown.items())
    assert shown["diary.txt"]["error"].startswith("“diary.txt” is not a picture.")
    doubtful = [name for name, row in shown.items() if row["accept"] != "true"]
    button(page, f"Check {len(doubtful)}").click()
    expect(page.locator("#text")).to_be_focused()
    assert page.locator("[aria-current=true] button").inner_text() in doubtful


def test_the_desk_opens_each_doubtful_row_until_a_person_has_confirmed_or_corrected_it(page: Page) -> None:
    stack(page, DOUBTFUL, picture("seven.png"), BROKEN)

    expect_state(page, "3 pictures: 1 sure, 1 to check, 1 failed.")
    expect(page.locator("#caption")).to_have_text("doubtful.png")
    expect(field(page, "doubtful.png")).to_be_focused()
    expect(field(page, "doubtful.png")).to_have_value("2718 / 28")
    expect(page.locator("#desk-reason")).to_contain_text("Line 1, digit 3. Not sure: it looks most like a 1")
    expect(page.locator("[aria-current=true]")).to_contain_text("doubtful.png")
    expect(page.locator("#paper")).to_contain_class("boxed")
    width, crop = page.locator("#canvas").evaluate("c => [c.clientWidth, c.clientHeight]"), page.locator("#boxes")
    marked = colours(crop)[..., 3] > 0  # boxes fill the height of the paper
    assert np.ptp(np.flatnonzero(marked.any(axis=1))) > 0.8 * width[1]
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")

    expect(field(page, "broken.png")).to_be_focused()
    expect(page.locator("#desk-reason")).to_contain_text("This picture cannot be read: expected a PNG")
    field(page, "broken.png").press("4")
    page.keyboard.press("Control+z")  # undoes the typing, and not the picture on the paper
    expect(field(page, "broken.png")).to_have_value("")
    page.keyboard.type("042")
    page.keyboard.press("Enter")

    expect_state(page, "3 pictures: 1 sure, 0 to check, 2 checked by you.")
    expect(button(page, "Download CSV")).to_be_focused()
    expect(page.locator("#desk")).to_be_hidden()
    expect(rows(page).filter(has_text="checked by you")).to_have_count(2)
    saved = download(page)
    by_person = {"accept": "true", "checked_by": "person"}
    version = str(SHIPPED_VERSION)
    corrected = {"text": "2718\n28", "digit_count": "6", "version": version, **by_person}
    assert saved["doubtful.png"].items() >= corrected.items()
    assert saved["broken.png"].items() >= {"text": "042", "digit_count": "3", "version": "", **by_person}.items()
    assert saved["seven.png"].items() >= {"text": "7", "version": version, "checked_by": "model"}.items()
    rows(page).get_by_role("button", name="doubtful.png").click()  # a person may change the text again
    expect(field(page, "doubtful.png")).to_have_value("2718 / 28")
    button(page, "Remove all").click()  # Playwright answers no to the question
    expect(page.get_by_role("table")).to_be_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    button(page, "Remove all").click()
    expect(page.get_by_role("table")).to_be_hidden()
    expect(page.locator("#desk")).to_be_hidden()


@pytest.mark.parametrize(
    ("doubts", "keys", "saved"),
    [
        pytest.param({"strangers": [2]}, ["Enter"], None, id="one Enter saves nothing"),
        pytest.param({"strangers": [2]}, ["Enter", "Enter"], "9525", id="another keeps the guess"),
        pytest.param({"strangers": [2]}, ["7", "Enter"], "9575", id="typed over"),
        pytest.param({"strangers": [2]}, ["2", "Enter"], "9525", id="typed over with the same digit"),
        pytest.param({"strangers": [2]}, ["1", "1", "Enter"], "95115", id="typed over with two digits"),
        pytest.param({"strangers": [2]}, ["Delete", "Enter"], "955", id="deleted"),
        pytest.param({"strangers": [2]}, ["Home", "1", "Enter"], None, id="another digit typed"),
        pytest.param(
            {"strangers": [2]}, ["Home", "1", "Enter", "7", "Enter"], "19575", id="found behind the digit typed"
        ),
        pytest.param({"strangers": [2]}, ["Control+a", "Enter"], None, id="all is selected and not looked at"),
        pytest.param({"strangers": [2]}, ["Control+a", "8", "Enter"], "8", id="all is typed over"),
        pytest.param({"unsure": [1, 2]}, ["Enter", "Enter"], None, id="two doubts and two Enters"),
        pytest.param({"unsure": [1, 2]}, ["Enter", "Enter", "Enter"], "9525", id="two doubts and three Enters"),
        pytest.param({"unsure": [1, 2]}, ["7", "Enter"], None, id="a neighbour typed over"),
        pytest.param({"unsure": [1, 2]}, ["7", "Enter", "8", "Enter"], "9785", id="both typed over"),
        pytest.param({"left_out": 1}, ["Enter"], None, id="one Enter does not save what misses a mark"),
        pytest.param({"left_out": 1}, ["End", "6", "Enter"], "95256", id="the missing digit is typed"),
    ],
)
def test_a_text_is_saved_once_a_person_has_looked_at_each_of_its_doubts(
    page: Page, doubts: Any, keys: list[str], saved: str | None
) -> None:
    page.route(READ, answer_with("9525", **doubts))
    stack(page, picture("a.png"), DIARY)
    expect(field(page, "a.png")).to_have_value("9525")

    for key in keys:
        page.keyboard.press(key)

    row = download(page)["a.png"]
    if saved is None:
        expect(field(page, "a.png")).to_be_visible()
        assert (row["accept"], row["checked_by"]) == ("false", "")
    else:
        expect(field(page, "diary.txt")).to_be_visible()
        assert (row["text"], row["accept"], row["checked_by"]) == (saved, "true", "person")


def test_the_desk_selects_what_is_doubtful_and_says_why_one_doubt_after_the_other(page: Page) -> None:
    page.route(READ, answer_with("952", "5", unsure=[0], strangers=[3]))
    stack(page, picture("a.png"), picture("b.png"))
    expect_state(page, "2 pictures: 0 sure, 2 to check.")
    open_row(page, 0)  # the row that was answered first is open
    expect(field(page, "a.png")).to_be_focused()
    note = page.locator("#desk-note")

    selections, notes = [], []
    for _ in range(3):
        selections.append(page.locator("#text").evaluate(SELECTED))
        notes.append(note.inner_text())
        page.keyboard.press("Enter")

    hint = "Type over what is selected, delete it if nothing is there, or press Enter to keep it."
    assert selections == ["9", "5", ""]
    assert notes[0].startswith("Line 1, digit 1. Not sure: it looks most like a 9")
    assert notes[1:] == [
        f"Line 2, digit 1. This does not look like a digit. {hint}",
        "Press Enter again to save “952 / 5”.",
    ]
    expect(note).to_have_role("status")
    expect(note).to_be_in_viewport(ratio=1)
    expect(rows(page).nth(0)).to_contain_text("952 / 5")
    expect(rows(page).nth(1)).to_contain_text("9?52 / □?")
    saved = download(page)
    assert (saved["a.png"]["text"], saved["b.png"]["text"]) == ("952\n5", "9?52\n□?")


@pytest.mark.parametrize("steps", [["Control+z"], ["Control+z", "Control+y"], ["7", "Control+z"]])
def test_undo_and_redo_do_not_count_as_looking_at_a_doubt(page: Page, steps: list[str]) -> None:
    stack_two(page)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(field(page, "b.png")).to_be_focused()
    for key in steps:
        page.keyboard.press(key)

    page.keyboard.press("Enter")

    expect(field(page, "b.png")).to_have_value("9525")
    assert download(page)["b.png"]["checked_by"] == ""


@pytest.mark.parametrize("way", ["Undo", "Clear", "Control+z"])
def test_the_desk_closes_when_the_paper_no_longer_shows_its_picture(page: Page, way: str) -> None:
    stack_two(page)
    expect(page.locator("#caption")).to_have_text("a.png")
    open_row(page, 1)
    expect(page.locator("#caption")).to_have_text("b.png")
    button(page, "Confirm").focus()

    if way == "Control+z":
        page.keyboard.press(way)
    else:
        button(page, way).click()

    expect(page.locator("#caption").filter(visible=True)).to_have_text([] if way == "Clear" else ["a.png"])
    expect(page.locator("#desk")).to_be_hidden()
    button(page, "Check 2").click()
    expect(page.locator("#caption")).to_have_text("b.png")
    expect(field(page, "b.png")).to_be_focused()


def leave(page: Page, way: str) -> None:
    """Leave what was typed for the second row, and come back to it."""
    if way == "another row":
        open_row(page, 0)
        expect(field(page, "a.png")).to_have_value("9525")
    elif way == "further files":
        stack(page, DIARY, DIARY)
        expect_state(page, "4 pictures: 0 sure, 2 to check, 2 failed.")
    elif way == "a single picture":
        page.locator("#file").set_input_files([picture("c.png")])
        expect(page.locator("#desk")).to_be_hidden()
        button(page, "Check 2").click()
        return
    elif way == "Check":
        button(page, "Check 2").click()
        return
    open_row(page, 1)


@pytest.mark.parametrize("way", ["another row", "the same row", "Check", "further files", "a single picture"])
def test_what_was_typed_waits_for_a_person_who_comes_back(page: Page, way: str) -> None:
    stack_two(page, unsure=[1, 2], opened=1)
    page.keyboard.press("7")  # in place of the first doubtful digit

    leave(page, way)

    expect(field(page, "b.png")).to_have_value("9725")
    assert page.locator("#text").evaluate(SELECTED) == "2"  # the other doubt
    page.keyboard.press("8")
    page.keyboard.press("Enter")
    expect(rows(page).nth(1)).to_contain_text("9785 checked by you")
    open_row(page, 1)
    expect(field(page, "b.png")).to_have_value("9785")


def test_the_paper_marks_the_digit_that_the_desk_asks_about(page: Page) -> None:
    handler = answer_with("952", "5", unsure=[0, 3])
    page.route(re.compile(r"/read(\?|$)"), handler)
    stack(page, picture("a.png"), DIARY)
    expect(field(page, "a.png")).to_be_focused()
    expect(page.locator("#paper")).to_contain_class("boxed")
    marked = page.locator("#number [aria-checked=true]")
    expect(marked).to_have_text("9?")

    page.keyboard.press("Enter")

    expect(marked).to_have_text("5?")
    open_row(page, 0)  # which reads the picture again
    expect(page.locator("#paper")).to_contain_class("boxed")
    expect(marked).to_have_text("5?")


def test_the_desk_shows_a_digit_together_with_the_mark_that_was_not_read(page: Page) -> None:
    page.route(ANSWERS, answer_with("7", left_out=1))
    page.route(READ, answer_with("7", left_out=1))

    stack(page, picture("a.png", "photo-2048.jpg"), DIARY)

    reason = (
        "Not sure: it looks most like a 7 (>99.9\u00a0%), but the picture shows more than that. 1 mark was not read."
    )
    expect(page.locator("#desk-reason")).to_have_text(reason)
    expect(rows(page).nth(0).locator(".text")).to_have_text("7?")
    expect(page.locator("#paper")).to_contain_class("boxed")
    marked = (colours(page.locator("#boxes"))[..., 3] > 0).any(axis=0)
    left, middle, right = (bool(part.any()) for part in np.split(marked, [len(marked) // 3, 2 * len(marked) // 3]))
    assert (left, middle, right) == (True, False, True)


AMOUNT: FilePayload = {"name": "amount.png", "mimeType": "image/png", "buffer": amount()}


def test_the_table_is_read_again_when_separators_are_ignored(page: Page) -> None:
    stack(page, AMOUNT, DOUBTFUL, AMOUNT | {"name": "other.png"}, picture("seven.png"), BROKEN)
    expect_state(page, "5 pictures: 1 sure, 3 to check, 1 failed.")
    amounts = rows(page).filter(has_text="amount.png")
    expect(amounts).to_contain_text("check 5 digits, none of them unsure. 1 separator was not read.")
    rows(page).filter(has_text="other.png").get_by_role("button").click()
    expect(field(page, "other.png")).to_have_value("40752")
    page.keyboard.type("40753")
    page.keyboard.press("Enter")
    expect_state(page, "5 pictures: 1 sure, 2 to check, 1 failed, 1 checked by you.")
    posts = record_posts(page)

    page.get_by_role("switch", name="Ignore separators").check()

    expect_state(page, "5 pictures: 2 sure, 1 to check, 1 failed, 1 checked by you.")
    expect(field(page, "doubtful.png")).to_be_focused()
    expect(amounts).to_contain_text("sure 5 digits, none of them unsure. 1 separator was ignored.")
    expect(amounts.locator(".text")).to_have_text("40752")
    expect(amounts.locator(".separator")).to_have_count(1)
    assert posts.count("read?marks=ignore") == 3  # not the failure, nor what a person has checked
    saved = download(page)
    read = {"text": "40752", "mark_count": "1", "left_out": "0", "accept": "true", "checked_by": "model"}
    assert saved["amount.png"].items() >= read.items()
    assert saved["other.png"].items() >= {"text": "40753", "checked_by": "person"}.items()


def test_what_was_typed_stays_when_the_table_is_read_again(page: Page) -> None:
    stack(page, AMOUNT, DIARY)
    expect(field(page, "amount.png")).to_be_focused()
    page.keyboard.type("407")

    page.get_by_role("switch", name="Ignore separators").check()

    expect_state(page, "2 pictures: 1 sure, 0 to check, 1 failed.")
    expect(field(page, "amount.png")).to_have_value("407")


def test_an_answer_that_arrives_later_must_be_looked_at(page: Page) -> None:
    waiting = stack_two_unanswered(page)
    page.keyboard.press("Enter")
    expect(page.locator("#desk-note")).to_contain_text(
        "Press Enter again to save that the picture shows nothing to read."
    )
    for route in waiting:
        answer_with("42")(route)
    expect(field(page, "a.png")).to_have_value("42")

    page.keyboard.press("Enter")

    expect(page.locator("#desk-note")).to_have_text("Press Enter again to save “42”.")
    expect_state(page, "2 pictures: 2 sure, 0 to check.")


def test_a_double_click_on_confirm_looks_at_no_doubt_of_the_next_row(page: Page) -> None:
    stack_two(page)
    page.keyboard.press("2")

    button(page, "Confirm").dblclick()

    expect(field(page, "b.png")).to_be_focused()
    expect(page.locator("#desk-note")).to_have_text("Type over what is selected, or press Enter to keep it.")


def test_the_desk_of_own_classes_takes_the_name_of_a_class(open_page: OpenPage, reloading: Reloading) -> None:
    publish_classes(reloading.root, SHAPES)
    reloading.wait_for_version(FIRST_OWN_VERSION + 1)
    page = open_page(reloading.service.url, refusals=True, **DESKTOP)
    stack(page, picture("a.png"), picture("b.png"))
    expect_state(page, "2 pictures: 0 sure, 2 to check.")
    open_row(page, 0)  # the row that was answered first is open
    text = field(page, "a.png")
    expect(text).to_have_value(re.compile(f"^({'|'.join(SHAPES)})$"))
    expect(page.locator("#desk-reason")).to_contain_text("Check this: it looks most like ")
    text.fill("abc")

    for _ in range(3):
        text.press("Enter")

    expect(text).to_have_attribute("aria-invalid", "true")
    expect(text).to_have_accessible_error_message(
        f"Not saved: expected the name of a class, such as “{SHAPES[0]}”, received “abc”."
    )
    assert download(page)["a.png"]["checked_by"] == ""
    text.fill(SHAPES[1])
    expect(text).to_have_attribute("aria-invalid", "false")
    text.press("Enter")
    expect(field(page, "b.png")).to_be_focused()
    assert download(page)["a.png"]["class_name"] == SHAPES[1]


def test_corrections_are_saved_beside_their_pictures(page: Page) -> None:
    page.route(READ, answer_with("9525", unsure=[2]))
    scan = picture("scan.tiff") | {
        "buffer": encoded(Image.new("L", (40, 40)), format="TIFF")
    }  # Chromium cannot show it
    high = picture("high.bmp") | {
        "buffer": encoded(Image.new("L", (20, 3200)), format="BMP")
    }  # larger than what is sent
    same = [picture("a.png"), picture("a.png", "drawing-7.png"), scan, high]
    stack(page, *same, picture("unchecked.png"), DIARY)
    expect_state(page, "6 pictures: 0 sure, 5 to check, 1 failed.")
    expect(button(page, "Download corrections")).to_be_hidden()
    for row, typed in enumerate(["9535", "9545", "9555", "9565"]):
        open_row(page, row)
        page.locator("#text").fill(typed)
        page.locator("#text").press("Enter")
    rows(page).last.get_by_role("button").click()
    page.locator("#text").fill("1")
    page.locator("#text").press("Enter")

    with page.expect_download() as started:
        button(page, "Download corrections").click()

    assert started.value.suggested_filename == "corrections.zip"
    with zipfile.ZipFile(started.value.path()) as archive:
        assert archive.testzip() is None
        content = {name: archive.read(name) for name in archive.namelist()}
    lines = list(csv.DictReader(io.StringIO(content.pop("results.csv").decode(), newline="")))
    texts = {"a.png": "9535", "a-2.png": "9545", "scan.tiff": "9555", "high.png": "9565"}
    assert {row["path"]: row["text"] for row in lines} == {f"pictures/{name}": text for name, text in texts.items()}
    assert {(row["checked_by"], row["digit_count"]) for row in lines} == {("person", "4")}
    assert list(content) == [row["path"] for row in lines]
    sent = list(content.values())
    assert sent[:3] == [each["buffer"] for each in same[:3]]
    with Image.open(io.BytesIO(sent[3])) as reduced:
        assert (reduced.format, reduced.size) == ("PNG", (10, 1600))


def test_expected_answers_grade_each_row_and_a_doubtful_row_is_open(page: Page) -> None:
    stack(page, DOUBTFUL, picture("seven.png"), picture("eight.png", "drawing-8.png"), DIARY)
    expect_state(page, "4 pictures: 2 sure, 1 to check, 1 failed.")
    page.get_by_text("Expected answers").click()
    answers = page.get_by_label("One answer for all pictures")
    answers.fill("7")
    grades = page.locator("#rows .grade")
    expect(grades).to_have_text(["open", "right", "wrong", "open"])
    expect(page.get_by_role("columnheader", name="Expected")).to_be_visible()
    table = "path,expected\ndoubtful.png,2718 / 28\nsub/eight.png,8\nseven.png,"
    file: FilePayload = {"name": "answers.csv", "mimeType": "text/csv", "buffer": table.encode()}

    page.locator("#expected-file").set_input_files([file])

    expect(grades).to_have_text(["open", "", "right", ""])
    expect(page.locator("#expected-note")).to_have_text("2 of 4 pictures have an expected answer.")
    open_row(page, 0)
    for _ in range(2):
        page.keyboard.press("Enter")
    expect_state(page, "4 pictures: 2 sure, 0 to check, 1 failed, 1 checked by you. 2 right, 0 wrong, 0 open.")
    saved = download(page)
    graded = {name: (row["expected"], row["grade"]) for name, row in saved.items()}
    nothing = ("", "")
    expected = {"doubtful.png": ("2718\n28", "right"), "eight.png": ("8", "right")}
    assert graded == {"seven.png": nothing, "diary.txt": nothing} | expected
    answers.fill("seven.png,x")
    expect(page.locator("#expected-note")).to_contain_text("0 of 4 pictures have an expected answer. Row 1 is not used")
    expect(page.get_by_role("columnheader", name="Expected")).to_be_hidden()


def test_a_confirmation_is_undone_and_asked_again(page: Page) -> None:
    stack_two(page)
    undo = button(page, "Undo confirmation")
    expect(undo).to_be_hidden()
    for _ in range(4):
        page.keyboard.press("Enter")
    expect_state(page, "2 pictures: 0 sure, 0 to check, 2 checked by you.")

    for row, name in ((1, "b.png"), (0, "a.png")):
        undo.click()

        expect(field(page, name)).to_be_focused()
        assert page.locator("#text").evaluate(SELECTED) == "2"
        expect(rows(page).nth(row)).to_contain_text("952?5 check")
    expect(undo).to_be_hidden()
    expect_state(page, "2 pictures: 0 sure, 2 to check.")


def test_an_answer_that_arrived_after_the_confirmation_is_there_after_the_undo(page: Page) -> None:
    waiting = stack_two_unanswered(page)
    field(page, "a.png").fill("31")
    page.keyboard.press("Enter")
    for route in waiting:
        answer_with("42", unsure=[0])(route)
    expect_state(page, "2 pictures: 0 sure, 1 to check, 1 checked by you.")

    button(page, "Undo confirmation").click()

    expect(field(page, "a.png")).to_have_value("42")
    expect(rows(page).nth(0)).to_contain_text("4?2 check")


def test_the_table_shows_only_what_is_to_check(page: Page) -> None:
    stack(page, DOUBTFUL, picture("seven.png"), DIARY)
    expect_state(page, "3 pictures: 1 sure, 1 to check, 1 failed.")

    page.get_by_role("switch", name="Show only what is to check").check()

    expect(rows(page).locator("th span")).to_have_text(["doubtful.png", "diary.txt"])
    page.locator("#text").fill("1")
    page.locator("#text").press("Enter")
    expect(rows(page).locator("th span")).to_have_text(["diary.txt"])
    expect(field(page, "diary.txt")).to_be_focused()


def test_dropped_folders_are_read_and_shown_where_names_repeat(page: Page, tmp_path: Path) -> None:
    for path in ("circle/1.png", "circle/10.png", "circle/2.png", "circle/.hidden", "square/deep/1.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(picture("")["buffer"])
    devtools = page.context.new_cdp_session(page)
    folders = [str(tmp_path / name) for name in ("circle", "square")]

    for way in ("dragEnter", "drop"):
        data = {"items": [], "files": folders, "dragOperationsMask": 1}
        devtools.send("Input.dispatchDragEvent", {"type": way, "x": 200, "y": 200, "data": data})

    names = rows(page).locator("th span")
    expect(names).to_have_text(["circle/1.png", "2.png", "10.png", "square/deep/1.png"])
    expect_state(page, "4 pictures: 4 sure, 0 to check.")
    assert [row["path"] for row in csv.DictReader(io.StringIO(saved_csv(page), newline=""))] == [
        *("circle/1.png", "circle/2.png", "circle/10.png", "square/deep/1.png")
    ]


def test_an_enter_that_is_held_down_or_finds_an_empty_field_saves_nothing(page: Page) -> None:
    stack(page, BROKEN, DOUBTFUL)
    expect(field(page, "doubtful.png")).to_be_focused()
    for _ in range(9):
        page.keyboard.down("Enter")  # from the second time on, this repeats the key
    page.keyboard.up("Enter")
    expect(page.locator("#desk-note")).to_have_text("Press Enter again to save “2718 / 28”.")
    page.keyboard.press("Enter")
    expect(field(page, "broken.png")).to_be_focused()

    page.keyboard.press("Enter")

    words = "Press Enter again to save that the picture shows nothing to read."
    expect(page.locator("#desk-note")).to_have_text(words)
    expect_state(page, "2 pictures: 0 sure, 0 to check, 1 failed, 1 checked by you.")
    page.keyboard.press("Enter")
    expect_state(page, "2 pictures: 0 sure, 0 to check, 2 checked by you.")


def test_what_was_typed_on_the_desk_survives_the_lab_and_the_answer(page: Page) -> None:
    waiting = stack_two_unanswered(page)
    field(page, "a.png").fill("31")
    for is_open in (True, False):
        button(page, "Look inside").click()
        expect(page.locator("#lab")).to_be_visible(visible=is_open)
    expect(field(page, "a.png")).to_have_value("31")

    for route in waiting:
        answer_with("42", unsure=[0])(route)
    expect(rows(page).nth(0)).to_contain_text("4?2")

    expect(field(page, "a.png")).to_have_value("31")
    button(page, "Confirm").click()
    assert download(page)["a.png"]["text"] == "31"


def test_a_drawing_in_the_lab_leads_back_to_the_drawing(page: Page) -> None:
    stack(page, DOUBTFUL, picture("seven.png"))
    expect(field(page, "doubtful.png")).to_be_focused()
    button(page, "Look inside").click()
    expect(page.locator("#lab")).to_be_visible()
    draw(page, *STROKES[7])

    button(page, "Look inside").click()

    expect_digit(page, 7)
    expect(page.locator("#desk")).to_be_hidden()


def test_a_stack_is_stopped_continued_extended_and_removed(page: Page) -> None:
    page.route(READ, lambda _route: None)  # no answer
    posts = record_posts(page)
    names = [f"{index}.png" for index in range(5)]
    stack(page, *map(picture, names))
    expect_state(page, "0 of 5 pictures read.")
    expect(page.get_by_role("progressbar", name="Stack of pictures")).to_be_visible()
    while len(posts) < 3:
        page.wait_for_timeout(50)

    button(page, "Stop").click()
    expect_state(page, "Stopped. 0 of 5 pictures read.")
    assert {row["error"] for row in download(page).values()} == {"not read"}
    assert posts == ["read"] * 3
    page.unroute(READ)
    button(page, "Continue").click()
    expect_state(page, "5 pictures: 5 sure, 0 to check.")
    stack(page, picture("5.png"), BROKEN)

    expect_state(page, "7 pictures: 6 sure, 0 to check, 1 failed.")
    assert list(download(page)) == [*names, "5.png", "broken.png"]
    expect(page.locator("#stack button").filter(has_text=re.compile("Stop|Continue"), visible=True)).to_have_count(0)
    button(page, "Remove all").click()
    expect(page.get_by_role("table")).to_be_hidden()
    stack(page, picture("6.png"), picture("7.png"))
    expect_state(page, "2 pictures: 2 sure, 0 to check.")


def test_a_stack_waits_for_the_key(open_page: OpenPage, locked: Service) -> None:
    page = open_page(locked.url, refusals=True, **PHONE)
    stack_state = "0 of 4 pictures read. The service requires an API key."
    page.locator("#file").set_input_files([picture(f"{index}.png") for index in range(4)])
    expect_state(page, f"Stopped. {stack_state}")
    expect(page.get_by_label("API key")).to_be_focused()

    page.keyboard.type(NEW_KEY)
    page.keyboard.press("Enter")

    expect_state(page, "4 pictures: 4 sure, 0 to check.")


def test_the_table_fits_every_screen_and_obeys_fingers(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, refusals=True, **PHONE)
    stack(page, picture("a" * 100 + ".png"), DOUBTFUL, DIARY)
    expect_state(page, "3 pictures: 1 sure, 1 to check, 1 failed.")

    assert too_wide(page) == []
    expect(page.get_by_role("table", name="Stack of pictures").get_by_role("rowheader")).to_have_count(3)
    page.set_viewport_size({"width": 360, "height": 740})
    page.get_by_role("button", name="doubtful.png").tap()
    expect(page.locator("#canvas")).to_be_in_viewport(ratio=1)
    expect(field(page, "doubtful.png")).to_be_in_viewport(ratio=1)
