// A panel of the lab: which units and which pixels speak for the answer, and which for another class.

import { byId, element, write } from "./dom.js";
import { drawHeat } from "./heat.js";
import { strongest } from "./network.js";
import { label, decimal } from "./verdict.js";

const SHOWN_UNITS = 8; // for the answer, and as many against it

export class Evidence {
  /** @param {(unit: number) => void} onChoose called when a unit is chosen from a list */
  constructor(onChoose) {
    for (const id of ["supporting", "opposing"]) {
      const items = Array.from({ length: SHOWN_UNITS }, () => {
        const button = element("button", { type: "button" });
        button.addEventListener("click", () => onChoose(Number(button.dataset.unit)));
        button.append(element("canvas", { ariaHidden: "true" }), element("span"), element("span", { className: "unseen" }));
        return element("li", {}, button);
      });
      byId(id).replaceChildren(...items);
    }
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
    list("supporting", network, supporting, `For ${label(best)}`);
    list("opposing", network, opposing, `For ${label(rival)}`);
  }
}

function list(id, network, units, title) {
  write(byId(`${id}-title`), title);
  [...byId(id).children].forEach((item, index) => {
    item.hidden = index >= units.length;
    if (item.hidden) return;
    const { unit, value, share } = units[index];
    const button = item.firstElementChild;
    const [canvas, percentage, unseen] = button.children;
    button.dataset.unit = unit;
    drawHeat(canvas, network.weights(unit));
    write(percentage, `${(100 * share).toFixed(1)}\u00a0%`);
    write(unseen, ` of the evidence, unit ${unit}, ${decimal(value)}`);
  });
}
