// The field of the desk: it selects one doubt after the other, and keeps its text until a person has looked at all of them.

import { byId } from "./dom.js";
import { refusal } from "./rows.js";
import { hasOwnClasses } from "./verdict.js";

export class Correction {
  #field = byId("text");
  #doubts = []; // the doubts that no person has looked at, in the order of the text
  #doubtsOf = new Map(); // the doubts of each text that the field has had, for undo and redo
  #length = 0; // of the text before the next edit
  #from = 0; // where the next edit begins
  #onDoubt;

  /** @param {(digit: number | undefined) => void} onDoubt called with the index of the digit that Enter leads to */
  constructor(onDoubt) {
    this.#onDoubt = onDoubt;
    this.#field.addEventListener("beforeinput", () => (this.#from = this.#field.selectionStart));
    this.#field.addEventListener("input", ({ inputType }) => this.#follow(inputType?.startsWith("history")));
    this.#field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.repeat) event.preventDefault(); // nobody looks while a key is held down
    });
  }

  /** @param {{guess: string, doubts: import("./rows.js").Doubt[]}} text that a person should correct */
  fill({ guess, doubts }) {
    this.#field.value = guess;
    this.#length = guess.length;
    this.#doubtsOf.clear(); // the browser can still undo what was typed into the text before
    this.#setDoubts(doubts);
    const [first] = doubts;
    const reason = doubts.length > 1 ? `${first.reason} ` : ""; // otherwise it is the reason of the row
    this.#say(first && guess ? `${reason}${hint(first)}` : "");
    this.#select(first ?? { start: 0, end: guess.length });
  }

  /** What is written in the field and what nobody has looked at, for `fill`. */
  get draft() {
    return { guess: this.#field.value, doubts: this.#doubts };
  }

  /** The index of the digit that a person should look at next, if it is about one. */
  get digit() {
    return this.#doubts[0]?.digit;
  }

  /** Return the text, or null after saying what a person has to do first. */
  confirm() {
    const text = this.#field.value.trim();
    const problem = refusal(text);
    if (problem) {
      this.#field.focus();
      this.#say(`Not saved: ${problem}`, true);
      return null;
    }
    if (this.#doubts.length === 0) return text;
    const [{ start, end }] = this.#doubts;
    const isSeen = this.#field.selectionStart === start && this.#field.selectionEnd === end;
    if (isSeen) this.#setDoubts(this.#doubts.slice(1));
    const [next] = this.#doubts;
    this.#select(next ?? { start: end, end });
    if (next) {
      this.#onDoubt(next.digit);
      this.#say(`${next.reason} ${hint(next)}`);
    } else this.#say(`Press Enter again to save ${text ? `“${text}”` : "that the picture shows nothing to read"}.`);
    return null;
  }

  #select({ start, end }) {
    this.#field.focus({ preventScroll: true });
    this.#field.setSelectionRange(start, end);
  }

  #setDoubts(doubts) {
    this.#doubts = doubts;
    this.#doubtsOf.set(this.#field.value, doubts);
  }

  /** Return to the doubts of the text that was undone or done again, or follow another edit. */
  #follow(isHistory) {
    const { value } = this.#field;
    const whole = { start: 0, end: value.length, reason: "This may be the text of another picture." };
    this.#setDoubts(isHistory ? (this.#doubtsOf.get(value) ?? [whole]) : this.#doubtsAfterEdit());
    [this.#from, this.#length] = [0, value.length];
    this.#say("");
  }

  /** Return the doubts that were not typed over. Those behind the edit move with their digits. */
  #doubtsAfterEdit() {
    const { selectionStart, selectionEnd, value } = this.#field;
    const growth = value.length - this.#length;
    const [from, to] = [Math.min(this.#from, selectionStart), selectionEnd - growth]; // what was replaced
    return this.#doubts
      .filter(({ start, end }) => (end <= from || start >= to) && end - start < this.#length)
      .map((doubt) => (doubt.start < to ? doubt : { ...doubt, start: doubt.start + growth, end: doubt.end + growth }));
  }

  #say(words, isRefusal = false) {
    byId("desk-note").textContent = words;
    this.#field.setAttribute("aria-invalid", String(isRefusal));
  }
}

/**
 * @param {import("./rows.js").Doubt} doubt
 * @returns {string} what a person can do about it
 */
function hint({ isStranger }) {
  const nothing = hasOwnClasses() ? "it is none of the classes" : "nothing is there";
  return `Type over what is selected,${isStranger ? ` delete it if ${nothing},` : ""} or press Enter to keep it.`;
}
