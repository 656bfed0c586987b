// The answer for one digit or picture: the verdict, a bar for each class and what the network saw, or a sentence about a problem.

import { byId, element, write } from "./dom.js";
import { drawGrey } from "./heat.js";
import { hasOwnClasses, heading, label, lineCount, linesOf, listed, marksSentence, nameClasses, percent, plausible, summary, verdict } from "./verdict.js";

const ANNOUNCE_AFTER_MS = 500; // without a change, before screen readers announce the answer

const STEP_NAMES = {
  inverted: "inverted to light ink on dark",
  cropped: "cropped",
  thickened: "strokes thickened",
  thinned: "strokes thinned",
  centered: "centred",
  resized: "resized to 28x28",
};

export class Answer {
  #bars;
  #timer;

  constructor() {
    this.#makeBars(10);
    this.#showBars(null);
  }

  /** Make a bar for each class, with the names that are known. */
  #makeBars(count) {
    this.#bars = Array.from({ length: count }, (_, digit) => {
      const [bar, value, mark] = ["bar", "value", "unseen"].map((className) => element("span", { className }));
      const track = element("span", { className: "track", ariaHidden: "true" }, bar);
      const name = element("span", { className: "name", textContent: label(digit) });
      return { item: element("li", {}, name, track, value, mark), bar, value, mark };
    });
    byId("bars").replaceChildren(...this.#bars.map(({ item }) => item));
    byId("bars").classList.toggle("named", label(0) !== "0");
    byId("bars").classList.toggle("many", count > 10);
  }

  /** The drawing area is empty. */
  showEmpty() {
    this.#sayInstead({ state: "empty", sentence: `${byId("hint").textContent}. The answer appears here.` });
  }

  /** A picture was sent. */
  showWaiting() {
    this.#sayInstead({ state: "waiting", sentence: "Reading the picture." });
  }

  /** @param {object | null} prediction of what the page itself draws, or null after it */
  showWelcome(prediction) {
    if (prediction) write(byId("digit"), String(prediction.digit));
    this.#showBars(prediction);
  }

  /** @param {string} sentence why there is no answer */
  showProblem(sentence) {
    this.#sayInstead({ state: "problem", sentence });
  }

  /**
   * @param {object} reading the service's reply
   * @param {number} index of the digit to show
   */
  show(reading, index) {
    const { digits } = reading;
    const words = verdict(digits[index]);
    if (digits.length === 1) {
      this.#say({ ...words, marks: marksSentence(reading) });
    } else {
      const announced = `${linesOf(digits).join(", ")}. ${summary(reading)} ${marksSentence(reading)}`;
      this.#say({ ...words, place: place(reading, index), announced });
    }
    this.#showBars(digits[index]);
    this.#showPixels(digits[index], reading.ink);
    byId("model").textContent = `${reading.model.name} version ${reading.model.version}`;
  }

  /** Show how long the service took. */
  showTime(milliseconds) {
    const time = milliseconds < 10 ? milliseconds.toFixed(1) : milliseconds.toFixed(0);
    byId("time").textContent = `${time}\u00a0ms round trip`;
  }

  /** @param {object | null} model the served version's manifest */
  showModel(model) {
    if (model && nameClasses(model.classes)) {
      this.#makeBars(model.classes.length);
      wordFor({ ownClasses: hasOwnClasses() });
      if (byId("answer").dataset.state === "empty") this.showEmpty();
    }
    if (model) byId("title").textContent = heading();
    const units = [model?.inputs[0].shape[1], model?.recipe?.hidden_units, model?.classes.length];
    byId("layers-of-model").textContent = units.every(Boolean) ? ` ${units.join("\u00a0→\u00a0")}` : "";
  }

  /** Say something in place of an answer. */
  #sayInstead(words) {
    this.#say(words);
    this.#showBars(null);
    byId("seen").hidden = true;
  }

  #say({ state, digit = "", sentence, more = "", marks = "", place = "", announced = null }) {
    byId("welcome")?.remove();
    byId("answer").dataset.state = state;
    write(byId("digit"), digit);
    byId("digit").classList.toggle("word", digit.length > 2);
    write(byId("sentence"), sentence);
    write(byId("more"), more);
    write(byId("marks"), marks);
    write(byId("place"), place);
    // The answer changes several times a second while somebody draws, so the announcement waits for a pause.
    clearTimeout(this.#timer);
    const text = (announced ?? [sentence, more, marks].filter(Boolean).join(" ")).trim();
    this.#timer = setTimeout(() => write(byId("announcement"), text), ANNOUNCE_AFTER_MS);
  }

  #showBars(answer) {
    if (answer !== null && answer.probabilities.length !== this.#bars.length) this.#makeBars(answer.probabilities.length);
    const { digits, meaning } = plausible(answer ?? {});
    this.#bars.forEach(({ item, bar, value, mark }, digit) => {
      const p = answer?.probabilities[digit] ?? 0;
      item.classList.toggle("best", digit === answer?.digit);
      item.classList.toggle("plausible", digits.includes(digit));
      item.classList.toggle("zero", answer !== null && p < 0.001);
      bar.style.transform = `scaleX(${p})`;
      write(value, answer === null ? "" : percent(p));
      write(mark, digits.includes(digit) ? "plausible" : "");
    });
    write(byId("meaning"), meaning);
  }

  #showPixels({ pixels, preprocessing }, ink) {
    byId("seen").hidden = !pixels;
    if (!pixels) return;
    for (const id of ["pixels", "stranger"]) drawGrey(byId(id), pixels);
    byId("found").hidden = !ink;
    if (ink) drawGrey(byId("ink"), ink);
    byId("done").textContent = preprocessing ? preparation(preprocessing) : "";
  }
}

/** Let the page speak of digits, or of whatever the model's own classes are. */
export function wordFor({ ownClasses }) {
  if (ownClasses === byId("start").hidden) return;
  for (const id of ["start", "separators"]) byId(id).hidden = ownClasses; // they are about digits
  /** @type {NodeListOf<HTMLElement>} */
  const parts = document.querySelectorAll("[data-own]");
  for (const worded of parts) {
    [worded.textContent, worded.dataset.own] = [worded.dataset.own, worded.textContent];
  }
}

/** Say which digit of a number it is. */
export function place({ digits }, index) {
  if (lineCount(digits) === 1) return `Digit ${index + 1} of ${digits.length}`;
  const { line } = digits[index];
  const first = digits.findIndex((digit) => digit.line === line);
  return `Line ${line + 1}, digit ${index - first + 1}`;
}

/** Describe what was done to the picture. */
export function preparation(steps) {
  if (steps.length === 0) return "Used unchanged.";
  const text = listed(steps.map((step) => STEP_NAMES[step] ?? step.replaceAll("_", " ")), "conjunction");
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}
