// Compares the answer with that of the lecture's network, which can be at any moment of its training.

import { byId, element, write } from "./dom.js";
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
  #pictures = new Map(); // a canvas with the weights of each unit that was shown, at the moment that is shown

  /** @param {() => void} onTraining called when somebody moves through the training */
  constructor(onTraining) {
    this.#rows = Array.from({ length: 10 }, (_, digit) => {
      const cells = [element("td"), element("td")];
      byId("both").tBodies[0].append(element("tr", {}, element("th", { scope: "row", textContent: digit }), ...cells));
      return cells;
    });
    byId("snapshot").addEventListener("input", onTraining);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#pictures.clear());
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
    const network = this.#snapshots[byId("snapshot").valueAsNumber] ?? this.#network;
    if (network !== this.#network) this.#pictures.clear();
    this.#network = network;
    byId("drawn-weights").hidden = network === null;
    const pass = network?.forward(this.#digit.pixels.flat()) ?? null;
    const probabilities = pass?.probabilities ?? null;
    fill(this.#rows.map(([, cell]) => cell), probabilities);
    this.#say(probabilities === null ? "" : agreement(this.#probabilities, probabilities));
    if (network !== null) this.#renderSnapshot(pass);
  }

  #renderSnapshot(shown) {
    const { metadata } = this.#network;
    byId("snapshot").setAttribute("aria-valuetext", moment(metadata));
    const accuracy = `it reads ${percent(Number(metadata.test_accuracy))} of MNIST's test digits.`;
    write(byId("reached"), `${moment(metadata)}, ${accuracy} It has seen no turned, bent or redrawn copies.`);
    const last = this.#snapshots[LAST];
    const pass = this.#network === last ? shown : last.forward(this.#digit.pixels.flat());
    const best = indexOfLargest(pass.logits);
    const evidence = last.unitEvidence(pass, best, indexOfLargest(pass.logits, best));
    const units = strongest(evidence, SHOWN_UNITS).supporting.map(({ unit }) => unit);
    const pictures = units.map((unit) => this.#picture(unit, last));
    if (pictures.every((picture, index) => picture === byId("strokes").children[index])) return;
    byId("strokes").setAttribute("aria-label", `The weights of units ${units.join(", ")}`);
    byId("strokes").replaceChildren(...pictures);
  }

  #picture(unit, last) {
    if (!this.#pictures.has(unit)) {
      const canvas = element("canvas");
      const strongest = largest(squared(last.weights(unit))); // for all snapshots, so that strokes grow out of the noise
      drawHeat(canvas, squared(this.#network.weights(unit)), null, strongest);
      this.#pictures.set(unit, canvas);
    }
    return this.#pictures.get(unit);
  }

  #say(words) {
    write(byId("beside-state"), words);
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
    const length = (probabilities?.[digit] ?? 0).toFixed(3);
    if (cell.dataset.length !== length) cell.style.setProperty("--p", (cell.dataset.length = length));
    write(cell, probabilities === null ? "" : percent(probabilities[digit]));
  });
}
