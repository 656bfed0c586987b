"""One flow through the page in Debian's Firefox, over WebDriver BiDi. Playwright drives only newer versions."""

import itertools
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import Service
from tests.app.pages.test_drawing import STROKES
from tests.conftest import needs

pytestmark = pytest.mark.browser

SECONDS = 60
CONTROL, SHIFT, RIGHT = "\ue009", "\ue008", "\ue014"


class Firefox:
    """A tab of Firefox. In expressions, `$` finds an element by its selector."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.numbers = itertools.count()
        self.errors: list[str] = []
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded"])
        self.context: str = self.call("browsingContext.getTree")["contexts"][0]["context"]

    def call(self, method: str, **params: Any) -> Any:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (reply := json.loads(self.socket.recv(SECONDS))).get("id") != number:
            if reply["method"] == "log.entryAdded" and reply["params"]["level"] == "error":
                self.errors.append(reply["params"]["text"])
        return reply.get("result")

    def evaluate(self, expression: str) -> Any:
        code = f"(($) => {expression})((selector) => document.querySelector(selector))"
        done = self.call("script.evaluate", expression=code, target={"context": self.context}, awaitPromise=False)
        return done and done.get("result")  # None while the page changes

    def wait_for(self, condition: str) -> None:
        deadline = time.monotonic() + SECONDS
        while self.evaluate(f"Boolean({condition})") != {"type": "boolean", "value": True}:
            assert time.monotonic() < deadline, condition
            time.sleep(0.05)

    def act(self, kind: str, *actions: dict[str, Any]) -> None:
        source = {"type": kind, "id": kind, "actions": actions}
        self.call("input.performActions", context=self.context, actions=[source])

    def press(self, *keys: str) -> None:
        self.act("key", *({"type": way, "value": key} for way in ("keyDown", "keyUp") for key in keys))

    def draw(self, digit: int) -> None:
        area = self.evaluate("$('#canvas').getBoundingClientRect().toJSON()")["value"]
        left, top, width, height = (dict(area)[side]["value"] for side in ("x", "y", "width", "height"))
        for stroke in STROKES[digit]:
            places = [(round(left + width / 2 + (x - 0.5) * height), round(top + y * height)) for x, y in stroke]
            first, *others = [{"type": "pointerMove", "x": x, "y": y} for x, y in places]
            down, up = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
            self.act("pointer", first, down, *others, up)


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    needs("firefox-esr")
    command = ["firefox-esr", "--headless", "--remote-debugging-port=0", "--profile", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = next(filter(None, (re.search(r"ws://\S+", line) for line in process.stderr)))
            with connect(f"{address[0]}/session") as socket:
                yield Firefox(socket)
        finally:
            process.terminate()


def test_firefox_reads_is_misled_learns_and_reads_a_stack(firefox: Firefox, service: Service) -> None:
    firefox.call("browsingContext.navigate", context=firefox.context, url=service.url, wait="complete")

    firefox.draw(7)
    firefox.wait_for("$('#digit').textContent === '7'")
    firefox.press(CONTROL, "z")
    firefox.wait_for("$('#answer').dataset.state === 'empty'")
    firefox.press(CONTROL, SHIFT, "z")
    firefox.evaluate("$('#look').click()")
    firefox.wait_for("$('#evidence-tab').textContent.startsWith('Why not ')")
    firefox.evaluate("$('#evidence-tab').click()")
    firefox.wait_for("/^Why 7 and not/.test($('#comparison').textContent) && $('#supporting [data-unit]')")
    firefox.wait_for("$('#done').textContent !== ''")  # the last reply has arrived
    firefox.evaluate("$('[name=turn]').focus()")
    firefox.press(RIGHT)
    firefox.wait_for("$('[name=turn]').value === '1' && $('#lab-state').textContent.includes('Its probabilities')")
    firefox.evaluate("$('#adversarial-tab').click()")
    firefox.wait_for("$('#searches > div > p').textContent.startsWith(`${$('#wish').textContent.at(-1)}, `)")
    firefox.evaluate("$('[aria-controls=training]').click()")
    firefox.evaluate("$('#train').click()")
    firefox.wait_for("$('#training-state').textContent.includes('It takes your drawing for a')")
    firefox.wait_for(
        "location.hash === '#lab&panel=training&turn=1' && getComputedStyle($('#quality')).display === 'none'"
    )
    firefox.evaluate("$('#model').click()")
    firefox.wait_for("document.title.startsWith('Model card') && document.readyState === 'complete'")
    firefox.evaluate("$('nav a').click()")
    firefox.wait_for("$('#digit')?.textContent === '7' && location.hash.includes('turn=1&strokes=')")
    find = {"type": "css", "value": "#file"}
    (field,) = firefox.call("browsingContext.locateNodes", context=firefox.context, locator=find)["nodes"]
    number = str(EXAMPLES / "photo-2048.jpg")
    firefox.call("input.setFiles", context=firefox.context, element=field, files=[number])
    firefox.wait_for("$('#number').textContent === '2048'")
    both = [number, str(EXAMPLES / "seven.png")]
    firefox.call("input.setFiles", context=firefox.context, element=field, files=both)
    firefox.wait_for(
        "[...document.querySelectorAll('#rows .text')].map((text) => text.textContent).join() === '2048,7'"
    )

    assert firefox.errors == []
