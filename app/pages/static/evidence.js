// A panel of the lab: which units and which pixels speak for the answer, and which for another class.

import { byId, element, write } from "./dom.js";
import { drawHeat } from "./heat.js";
import { strongest } from "./network.js";
import { label, decimal } from "./verdict.js";

const SHOWN_UNITS = 8; // for the answer, and as many against it

export class Evidence {
  #network = null; // whose weights the pictures show
  #pictures = new Map(); // a canvas with the weights of each unit that was listed

  /** @param {(unit: number) => void} onChoose called when a unit is chosen from a list */
  constructor(onChoose) {
    for (const id of ["supporting", "opposing"]) {
      const items = Array.from({ length: SHOWN_UNITS }, () => {
        const button = element("button", { type: "button" });
        button.addEventListener("click", () => onChoose(Number(button.dataset.unit)));
        button.append(element("span"), element("span", { className: "unseen" }));
        return element("li", {}, button);
      });
      byId(id).replaceChildren(...items);
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#pictures.clear());
  }

  /** @param {import("./lab.js").View} view */
  show({ network, pass, pixels, best, rival, evidence }) {
    const { logits } = pass;
    write(byId("comparison"), `Why ${label(best)} and not ${label(rival)}?`);
    byId("difference").textContent =
      `The logit of ${label(best)} is larger by ${decimal(logits[best] - logits[rival])}. These units add most to the difference, ` +
      "with their share of all evidence.";
    write(byId("evidence-title"), `Blue pixels speak for ${label(best)}, orange ones for ${label(rival)}`);
    drawHeat(byId("evidence-picture"), network.pixelEvidence(pass, best, rival), pixels);
    const { supporting, opposing } = strongest(evidence, SHOWN_UNITS);
    if (network !== this.#network) this.#pictures.clear();
    this.#network = network;
    this.#list("supporting", supporting, `For ${label(best)}`);
    this.#list("opposing", opposing, `For ${label(rival)}`);
  }

  #list(id, units, title) {
    write(byId(`${id}-title`), title);
    [...byId(id).children].forEach((item, index) => {
      item.hidden = index >= units.length;
      if (item.hidden) return;
      const { unit, value, share } = units[index];
      const button = item.firstElementChild;
      const [percentage, unseen] = button.querySelectorAll("span");
      button.dataset.unit = unit;
      if (button.firstChild !== this.#picture(unit)) button.replaceChildren(this.#picture(unit), percentage, unseen);
      write(percentage, `${(100 * share).toFixed(1)}\u00a0%`);
      write(unseen, ` of the evidence, unit ${unit}, ${decimal(value)}`);
    });
  }

  #picture(unit) {
    if (!this.#pictures.has(unit)) {
      const canvas = element("canvas", { ariaHidden: "true" });
      drawHeat(canvas, this.#network.weights(unit));
      this.#pictures.set(unit, canvas);
    }
    return this.#pictures.get(unit);
  }
}
