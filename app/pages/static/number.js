// A number of several digits: its text, in which each digit can be selected.

import { byId, element } from "./dom.js";
import { character, isUnsure, lineCount, marksSentence, separated, summary, verdict } from "./verdict.js";

const SIGN = 0.4; // the width of a question mark or a separator, in widths of a digit

export class NumberText {
  #digits = []; // {radio, row, column} in reading order
  #selected = 0;
  #onSelect;

  /** @param {(index: number) => void} onSelect called when a digit is selected with a pointer or a key */
  constructor(onSelect) {
    this.#onSelect = onSelect;
    byId("number").addEventListener("click", ({ target }) => {
      const index = this.#digits.findIndex(({ radio }) => radio.contains(target));
      if (index >= 0) onSelect(index);
    });
    byId("number").addEventListener("keydown", (event) => this.#onKey(event));
  }

  hide() {
    byId("whole").hidden = true;
    byId("answer").classList.remove("several");
    byId("number").replaceChildren();
    this.#digits = [];
  }

  /** @param {object} reading the service's reply, of at least two digits */
  show(reading) {
    const lines = Array.from({ length: lineCount(reading.digits) }, () => element("div"));
    const columns = lines.map(() => 0);
    const behindSeparators = separated(reading);
    this.#digits = reading.digits.map((digit) => {
      const [sign, doubt = ""] = character(digit);
      const className = isUnsure(digit) ? "unsure" : "";
      const radio = element("span", { role: "radio", className, ariaLabel: spoken(digit) }, sign, element("sup", { textContent: doubt }));
      if (behindSeparators.includes(digit)) lines[digit.line].append(separator());
      lines[digit.line].append(radio);
      return { radio, row: digit.line, column: columns[digit.line]++ };
    });
    const widths = lines.map((line, index) => columns[index] + SIGN * line.querySelectorAll(".unsure, .separator").length);
    byId("number").style.setProperty("--columns", Math.max(...widths));
    byId("number").style.setProperty("--lines", lines.length);
    byId("number").replaceChildren(...lines);
    byId("summary").textContent = `${summary(reading)} ${marksSentence(reading)}`;
    byId("whole").hidden = false;
    byId("answer").classList.add("several");
  }

  /** @param {number} index of the digit whose details are shown */
  select(index) {
    this.#selected = index;
    this.#digits.forEach(({ radio }, each) => {
      radio.setAttribute("aria-checked", String(each === index));
      radio.tabIndex = each === index ? 0 : -1;
    });
    const text = byId("number");
    if (text.scrollHeight > text.clientHeight) text.scrollTop = this.#digits[index].radio.offsetTop - text.clientHeight / 2;
  }

  #onKey(event) {
    const index = destination(event.key, this.#digits, this.#selected);
    if (index === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#onSelect(index);
    this.#digits[index].radio.focus();
  }
}

/** Return the sign of a separator, which the style sheet draws: it is no text, so that nobody copies it. */
export function separator() {
  return element("i", { className: "separator", ariaHidden: "true" });
}

/** Return the index of the place that a key leads to, or null for any other key. Each place has a row and a column. */
export function destination(key, places, selected) {
  const last = places.length - 1;
  const destinations = {
    ArrowRight: Math.min(selected + 1, last),
    ArrowLeft: Math.max(selected - 1, 0),
    ArrowDown: inRow(+1, places, selected),
    ArrowUp: inRow(-1, places, selected),
    Home: 0,
    End: last,
  };
  return destinations[key] ?? null;
}

/** Return the index of the place below or above the selected one, or the selected one in the last or first row. */
function inRow(step, places, selected) {
  const { row, column } = places[selected];
  const candidates = places.flatMap((place, index) => (place.row === row + step ? [index] : []));
  return candidates[Math.min(column, candidates.length - 1)] ?? selected;
}

/** Return what a screen reader says about a digit. */
export function spoken(digit) {
  const { sentence, more } = verdict(digit);
  return `${character(digit)}: ${sentence} ${more}`.trim();
}
