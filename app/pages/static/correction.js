// The field of the desk: it selects one doubt after the other, and keeps its text until a person has looked at all of them.

import { byId } from "./dom.js";
import { refusal } from "./rows.js";

const KEEP = "Type over what is selected, or press Enter to keep it.";

export class Correction {
  #field = byId("text");
  #doubts = []; // those that nobody has looked at, in the order of the text
  #length = 0; // of the text before the next edit
  #from = 0; // where the next edit begins

  constructor() {
    this.#field.addEventListener("beforeinput", () => (this.#from = this.#field.selectionStart));
    this.#field.addEventListener("input", () => this.#follow());
    this.#field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.repeat) event.preventDefault(); // nobody looks while a key is held down
    });
  }

  /** @param {import("./rows.js").Result} result whose text a person should correct */
  fill({ guess, doubts }) {
    this.#field.value = guess;
    this.#length = guess.length;
    this.#doubts = doubts;
    const [first] = doubts;
    const reason = doubts.length > 1 ? `${first.reason} ` : ""; // otherwise it is the reason of the row
    this.#say(first && guess ? `${reason}${KEEP}` : "");
    this.#select(first ?? { start: 0, end: guess.length });
  }

  /** Whether nothing is written in the field. */
  get isEmpty() {
    return this.#field.value === "";
  }

  /** Return the text, or null after saying what a person has to do first. */
  confirm() {
    const text = this.#field.value.trim();
    const problem = refusal(text);
    if (problem) {
      this.#field.focus();
      this.#say(problem, true);
      return null;
    }
    if (this.#doubts.length === 0) return text;
    const [{ start, end }] = this.#doubts;
    const isSeen = this.#field.selectionStart === start && this.#field.selectionEnd === end;
    if (isSeen) this.#doubts = this.#doubts.slice(1);
    const [next] = this.#doubts;
    this.#select(next ?? { start: end, end });
    if (next) this.#say(`${next.reason} ${KEEP}`);
    else this.#say(`Press Enter again to save ${text ? `“${text}”` : "that the picture shows nothing to read"}.`);
    return null;
  }

  #select({ start, end }) {
    this.#field.focus({ preventScroll: true });
    this.#field.setSelectionRange(start, end);
  }

  /** Drop the doubts that were typed over, and move those behind the edit with their digits. */
  #follow() {
    const { selectionStart, selectionEnd, value } = this.#field;
    const growth = value.length - this.#length;
    const [from, to] = [Math.min(this.#from, selectionStart), selectionEnd - growth]; // what was replaced
    this.#doubts = this.#doubts
      .filter(({ start, end }) => (end <= from || start >= to) && end - start < this.#length)
      .map((doubt) => (doubt.start < to ? doubt : { ...doubt, start: doubt.start + growth, end: doubt.end + growth }));
    [this.#from, this.#length] = [0, value.length];
    this.#say("");
  }

  #say(words, isRefusal = false) {
    byId("desk-note").textContent = words;
    this.#field.setAttribute("aria-invalid", String(isRefusal));
  }
}
