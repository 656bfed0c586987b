// A panel of the lab: what one hidden unit computes, in numbers that can be checked by hand.

import { byId, element, write } from "./dom.js";
import { drawHeat } from "./heat.js";
import { label, percent, decimal } from "./verdict.js";

export class Arithmetic {
  #additions = []; // the parts of the list of what the unit adds to each output

  /** @param {import("./lab.js").View} view */
  show({ network, pass, pixels, best, rival, shown: { unit, group } }) {
    const { x, sums, hidden, logits, probabilities } = pass;
    const weights = network.weights(unit);
    const [bias, effects] = [network.bias(unit), network.outputWeights(unit)];
    write(byId("unit-name"), `Unit ${unit} supports ${label(group)} most`);
    drawHeat(byId("weights"), weights, pixels);
    drawHeat(byId("products"), weights.map((weight, pixel) => weight * x[pixel]), pixels);
    const effect = (digit) =>
      `${decimal(hidden[unit])} × ${decimal(effects[digit])} = ${decimal(hidden[unit] * effects[digit])} to the logit of ${label(digit)}`;
    const steps = [
      `${network.inputs} products of a weight and a pixel add up to ${decimal(sums[unit] - bias)}.`,
      `The bias ${decimal(bias)} makes it ${decimal(sums[unit])}.`,
      `relu ${sums[unit] > 0 ? "keeps it" : "makes every negative sum zero"}: the activation is ${decimal(hidden[unit])}.`,
      `Times its weights in the outputs, it adds ${effect(best)}, and ${effect(rival)}.`,
      `With all ${network.units} units and the biases, the logits are ${decimal(logits[best])} for ${label(best)} and ` +
        `${decimal(logits[rival])} for ${label(rival)}.`,
      `softmax raises e to each logit, and divides by the sum: ${percent(probabilities[best])} for ${label(best)}, and ` +
        `${percent(probabilities[rival])} for ${label(rival)}.`,
    ];
    const list = byId("arithmetic-steps");
    while (list.children.length < steps.length) list.append(element("li"));
    steps.forEach((text, index) => write(list.children[index], text));
    this.#showAdditions([...effects].map((weight) => hidden[unit] * weight));
  }

  #showAdditions(additions) {
    if (this.#additions.length !== additions.length) {
      this.#additions = additions.map(() => {
        const [name, bar, value] = ["name", "bar", "value"].map((className) => element("span", { className }));
        return { item: element("li", {}, name, element("span", { className: "track" }, bar), value), name, bar, value };
      });
      byId("additions").replaceChildren(...this.#additions.map(({ item }) => item));
    }
    const widest = Math.max(...additions.map(Math.abs)) || 1;
    this.#additions.forEach(({ name, bar, value }, digit) => {
      write(name, label(digit));
      bar.style.transform = `scaleX(${additions[digit] / widest})`;
      bar.classList.toggle("negative", additions[digit] < 0);
      write(value, `${additions[digit] > 0 ? "+" : ""}${decimal(additions[digit])}`);
    });
  }
}
