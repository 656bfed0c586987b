// A panel of the lab: the answer of the served network beside those of the lecture's and of the visitor's own.

import { byId, element, write } from "./dom.js";
import { indexOfLargest } from "./network.js";
import { percent } from "./verdict.js";

const NAMES = ["This model", "The lecture's network", "Your network"];

export class Comparison {
  #columns = NAMES.map(() => Array.from({ length: 10 }, () => element("td")));

  constructor() {
    const rows = this.#columns[0].map((_, digit) =>
      element("tr", {}, element("th", { scope: "row", textContent: digit }), ...this.#columns.map((cells) => cells[digit])),
    );
    byId("both").tBodies[0].append(...rows);
  }

  /** @param {import("./lab.js").View} view */
  show({ pixels, pass, digit, others }) {
    others.load(digit);
    const passes = [pass, ...[others.lecture, others.own].map((network) => network?.forward(pixels) ?? null)];
    passes.forEach((each, column) => fill(this.#columns[column], each?.probabilities ?? null));
    byId("both").classList.toggle("own", others.own !== null);
    write(byId("beside-state"), others.state || agreement(passes));
  }
}

/** Say whether the networks give the same answer, as far as they are there. */
function agreement(passes) {
  const answers = passes.flatMap((pass, column) => (pass ? [{ name: NAMES[column], digit: indexOfLargest(pass.logits) }] : []));
  const [{ digit }] = answers;
  if (answers.some((other) => other.digit !== digit)) return answers.map((each) => `${each.name} says ${each.digit}.`).join(" ");
  return `${answers.length > 2 ? "All three" : "Both"} say ${digit}.`;
}

/** Show a probability in each cell, as a bar and in percent. */
function fill(cells, probabilities) {
  const best = probabilities === null ? null : indexOfLargest(probabilities);
  cells.forEach((cell, digit) => {
    cell.classList.toggle("best", digit === best);
    const length = (probabilities?.[digit] ?? 0).toFixed(3);
    if (cell.dataset.length !== length) cell.style.setProperty("--p", (cell.dataset.length = length));
    write(cell, probabilities === null ? "" : percent(probabilities[digit]));
  });
}
