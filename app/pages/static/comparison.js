// Compares the answer with that of the lecture's network, which can be at any moment of its training.

import { byId, element } from "./dom.js";
import { drawHeat, largest } from "./heat.js";
import { kilobytes, loadNetwork } from "./layers.js";
import { Network, indexOfLargest, strongest } from "./network.js";
import { percent } from "./verdict.js";

const LAST = 7; // snapshot, at the end of the training
const SHOWN_UNITS = 8;

export class Comparison {
  #digit = null;
  #probabilities; // of the served version
  #snapshots = []; // the lecture's networks, as far as they are loaded
  #network = null; // the one that is shown
  #isBusy = false;
  #rows;

  /** @param {() => void} onTraining called when somebody moves through the training */
  constructor(onTraining) {
    this.#rows = Array.from({ length: 10 }, (_, digit) => {
      const cells = [element("td"), element("td")];
      byId("both").tBodies[0].append(element("tr", {}, element("th", { scope: "row", textContent: digit }), ...cells));
      return cells;
    });
    byId("snapshot").addEventListener("input", onTraining);
  }

  /** @param {import("./lab.js").View} view */
  show({ digit, pass }) {
    [this.#digit, this.#probabilities] = [digit, pass.probabilities];
    this.#update();
  }

  /** Show what is known, then fetch what is missing, one after the other. */
  async #update() {
    this.#render();
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (let fetchNext = this.#missing(); fetchNext !== null; fetchNext = this.#missing()) {
      const problem = await fetchNext();
      if (problem) {
        this.#say(problem);
        break;
      }
      this.#render();
    }
    this.#isBusy = false;
  }

  /** Return a function that fetches what the choice needs next, and returns what went wrong. */
  #missing() {
    const index = [LAST, byId("snapshot").valueAsNumber].find((index) => this.#snapshots[index] === undefined);
    return index === undefined ? null : () => this.#load(index);
  }

  async #load(index) {
    this.#say("Loading the lecture's network.");
    const network = await loadNetwork(new URL(`lecture-${index}.safetensors`, import.meta.url).href, (received, total) => {
      this.#say(`Loading the lecture's network: ${kilobytes(received)} of ${kilobytes(total)} KB.`);
    });
    if (!(network instanceof Network)) return "The lecture's network could not be loaded. Your next stroke tries again.";
    this.#snapshots[index] = network;
    return "";
  }

  #render() {
    fill(this.#rows.map(([cell]) => cell), this.#probabilities);
    this.#network = this.#snapshots[byId("snapshot").valueAsNumber] ?? this.#network;
    byId("drawn-weights").hidden = this.#network === null;
    const probabilities = this.#network?.forward(this.#digit.pixels.flat()).probabilities ?? null;
    fill(this.#rows.map(([, cell]) => cell), probabilities);
    this.#say(probabilities === null ? "" : agreement(this.#probabilities, probabilities));
    if (this.#network !== null) this.#renderSnapshot();
  }

  #renderSnapshot() {
    const { metadata } = this.#network;
    byId("snapshot").setAttribute("aria-valuetext", moment(metadata));
    byId("reached").textContent =
      `${moment(metadata)}, it reads ${percent(Number(metadata.test_accuracy))} of MNIST's test digits. ` +
      "It has seen no turned, bent or redrawn copies.";
    const last = this.#snapshots[LAST];
    const pass = last.forward(this.#digit.pixels.flat());
    const best = indexOfLargest(pass.logits);
    const evidence = last.unitEvidence(pass, best, indexOfLargest(pass.logits, best));
    const units = strongest(evidence, SHOWN_UNITS).supporting.map(({ unit }) => unit);
    const drawn = `${metadata.step} ${units}`;
    if (byId("strokes").dataset.drawn === drawn) return;
    byId("strokes").dataset.drawn = drawn;
    byId("strokes").setAttribute("aria-label", `The weights of units ${units.join(", ")}`);
    while (byId("strokes").children.length < units.length) byId("strokes").append(element("canvas"));
    units.forEach((unit, index) => {
      const strongest = largest(squared(last.weights(unit))); // for all snapshots, so that strokes grow out of the noise
      drawHeat(byId("strokes").children[index], squared(this.#network.weights(unit)), null, strongest);
    });
  }

  #say(words) {
    if (byId("beside-state").textContent !== words) byId("beside-state").textContent = words;
  }
}

/** Say whether two networks give the same answer. */
function agreement(probabilities, others) {
  const [one, other] = [indexOfLargest(probabilities), indexOfLargest(others)];
  return one === other ? `Both say ${one}.` : `This model says ${one}. The lecture's network says ${other}.`;
}

/** Say how far a training was. */
export function moment({ step, epoch }) {
  if (step === "0") return "Before its training";
  return Number(epoch) < 1 ? `After ${step} steps` : `After epoch ${epoch}`;
}

/** Square weights and keep their signs. The picture shows roots, which would make noise as visible as strokes. */
function squared(weights) {
  return weights.map((weight) => weight * Math.abs(weight));
}

/** Show a probability in each cell, as a bar and in percent. */
function fill(cells, probabilities) {
  const best = probabilities === null ? null : indexOfLargest(probabilities);
  cells.forEach((cell, digit) => {
    cell.classList.toggle("best", digit === best);
    cell.style.setProperty("--p", probabilities?.[digit] ?? 0);
    cell.textContent = probabilities === null ? "" : percent(probabilities[digit]);
  });
}
