// A panel of the lab: which units and which pixels speak for the answer, and which for another class.

import { byId, element } from "./dom.js";
import { drawHeat } from "./heat.js";
import { strongest } from "./network.js";
import { label, decimal } from "./verdict.js";

const SHOWN_UNITS = 8; // for the answer, and as many against it

export class Evidence {
  #network = null; // whose weights the lists show

  /** @param {(unit: number) => void} onChoose called when a unit is chosen from a list */
  constructor(onChoose) {
    for (const id of ["supporting", "opposing"]) {
      const items = Array.from({ length: SHOWN_UNITS }, () => {
        const button = element("button", { type: "button" }, element("canvas"), element("span"), element("span", { className: "unseen" }));
        button.firstElementChild.setAttribute("aria-hidden", "true");
        button.addEventListener("click", () => onChoose(Number(button.dataset.unit)));
        return element("li", {}, button);
      });
      byId(id).replaceChildren(...items);
    }
  }

  /** @param {import("./lab.js").View} view */
  show({ network, pass, pixels, best, rival, evidence }) {
    const { logits } = pass;
    byId("comparison").textContent = `Why ${label(best)} and not ${label(rival)}?`;
    byId("difference").textContent =
      `The logit of ${label(best)} is larger by ${decimal(logits[best] - logits[rival])}. These units add most to the difference, ` +
      "with their share of all evidence.";
    byId("evidence-title").textContent = `Each pixel's share: blue speaks for ${label(best)}, orange for ${label(rival)}`;
    drawHeat(byId("evidence-picture"), network.pixelEvidence(pass, best, rival), pixels);
    const { supporting, opposing } = strongest(evidence, SHOWN_UNITS);
    const isOther = network !== this.#network;
    this.#network = network;
    this.#list("supporting", supporting, `For ${label(best)}`, isOther);
    this.#list("opposing", opposing, `For ${label(rival)}`, isOther);
  }

  #list(id, units, title, isOther) {
    byId(`${id}-title`).textContent = title;
    [...byId(id).children].forEach((item, index) => {
      item.hidden = index >= units.length;
      if (item.hidden) return;
      const { unit, value, share } = units[index];
      const [canvas, words, unseen] = item.firstElementChild.children;
      words.textContent = `${(100 * share).toFixed(1)}\u00a0%`;
      unseen.textContent = ` of the evidence, unit ${unit}, ${decimal(value)}`;
      if (item.firstElementChild.dataset.unit === String(unit) && !isOther) return;
      item.firstElementChild.dataset.unit = unit;
      drawHeat(canvas, this.#network.weights(unit));
    });
  }
}
