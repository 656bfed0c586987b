// The section "Look inside": the network as dots, what one unit does, which units speak for the answer, and sliders that mislead it.

import { drawGrey } from "./answer.js";
import { Comparison } from "./comparison.js";
import { distort } from "./distort.js";
import { fitToScreen, typeScale } from "./drawing.js";
import { drawHeat } from "./heat.js";
import { kilobytes, loadNetwork } from "./layers.js";
import {
  Network,
  arrange,
  indexOfLargest,
  largestDifference,
  neighbour,
  strongest,
} from "./network.js";
import { askAboutPixels } from "./requests.js";
import { hasOwnClasses, label, percent } from "./verdict.js";

const COLUMNS = 32; // of dots
const SHOWN_UNITS = 8; // for the answer, and as many against it
const ANY_VERSION = "any"; // before the first answer
const TOLERANCE = 1e-3; // float16 changes a probability by at most half of it

const byId = (id) => document.getElementById(id);

export class Inside {
  #comparison = new Comparison();
  #network = null;
  #version; // of the network; undefined before the first answer tells it
  #loads = null; // the version of the layers that are being loaded, or null
  #lacking = null; // a version that was released without its layers
  #original = null; // the digit of the service's reply
  #digit = null; // that digit, or what the sliders have made of it
  #request = null; // the AbortController of the request about what the sliders have made
  #onDistorted;
  #pass = null; // the forward pass of the digit
  #places = [];
  #rows = 0;
  #hovered = null; // the index of a place
  #chosen = null; // the index of a place, or null for the strongest unit
  #rival = null; // the class that the answer is compared with, or null for the second most probable

  /** @param {(digit: object) => void} onDistorted called with a digit of other pixels when a slider moves and when it rests */
  constructor(onDistorted) {
    this.#onDistorted = onDistorted;
    byId("sliders").addEventListener("input", () => this.#distort());
    byId("sliders").addEventListener("change", () => this.#askService());
    byId("restore").addEventListener("click", () => {
      this.#restoreSliders();
      this.#adopt(this.#original);
    });
    const canvas = byId("units");
    canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.#hover(this.#placeAt(event)));
    canvas.addEventListener("pointerleave", () => this.#hover(null));
    canvas.addEventListener("click", (event) => this.#choose(this.#placeAt(event)));
    canvas.addEventListener("keydown", (event) => {
      const place = neighbour(event.key, this.#places, this.#place);
      if (place === null || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#choose(place);
    });
    new ResizeObserver(() => this.#drawUnits()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#render());
  }

  /**
   * @param {object | null} digit of the service's reply, or null if nothing is drawn
   * @param {number | undefined} version that has answered
   */
  show(digit, version) {
    this.#restoreSliders();
    this.#original = digit;
    this.#setDigit(digit);
    this.#version ??= version;
    const isCurrent = this.#network !== null && (version === undefined || version === this.#version);
    if (isCurrent) this.#render();
    else this.#load(version);
  }

  #setDigit(digit) {
    if (digit?.digit !== this.#digit?.digit) this.#rival = null;
    this.#digit = digit;
  }

  async #load(version) {
    const load = version ?? ANY_VERSION;
    if ([load, ANY_VERSION].includes(this.#loads) || this.#lacking === load) return;
    this.#loads = load;
    this.#network = null;
    this.#render();
    this.#say("Loading the weights.");
    const result = await loadNetwork("model/layers", (received, total) => {
      if (this.#loads !== load) return;
      byId("loading").hidden = false;
      byId("loading").value = received / total;
      this.#say(`Loading the weights: ${kilobytes(received)} of ${kilobytes(total)} KB.`);
    });
    if (this.#loads !== load) return;
    this.#loads = null;
    byId("loading").hidden = true;
    if (result instanceof Network) {
      this.#network = result;
      this.#version = version;
      const { places, rows } = arrange(result.groups(), COLUMNS);
      [this.#places, this.#rows, this.#chosen, this.#hovered] = [places, rows, null, null];
      byId("units").style.setProperty("--rows", rows);
      byId("layer-sizes").textContent = `${result.inputs} pixels → ${result.units} hidden units → ${result.classes} outputs`;
      makeOutputs(result.classes, (digit) => this.#compareWith(digit));
    } else if (result === 501) {
      this.#lacking = load;
      this.#say("This version of the model was released without its layers, so the page cannot look inside.");
    } else {
      this.#say("The layers could not be loaded. Your next stroke tries again.");
    }
    this.#render();
  }

  #render() {
    const network = this.#network;
    byId("network").hidden = network === null;
    byId("explained").hidden = network === null || this.#digit === null;
    if (network === null) return;
    this.#pass = network.forward(this.#digit?.pixels.flat() ?? new Array(network.inputs).fill(0));
    if (this.#digit === null) this.#say(`Draw a ${hasOwnClasses() ? "picture" : "digit"}, and see which units light up.`);
    else if (this.#digit.isUnfinished) this.#say("Computed in your browser. The service answers when the slider rests.");
    else this.#check();
    this.#drawUnits();
    if (this.#digit === null) return;
    this.#renderEvidence();
    this.#renderUnit();
    this.#comparison.show(this.#digit, this.#pass.probabilities, this.#version);
  }

  /** Say whether this page computes what the service has answered. */
  #check() {
    const difference = largestDifference(this.#pass.probabilities, this.#digit.probabilities);
    const figure = difference < 1e-4 ? "less than 0.0001" : difference.toFixed(4);
    this.#say(
      difference <= TOLERANCE
        ? `Computed in your browser. Its probabilities differ from the service's by ${figure}, because the weights are rounded.`
        : `Careful: what this page computes differs from the service's probabilities by ${figure}. Reload the page.`,
    );
  }

  #say(words) {
    if (byId("inside-state").textContent !== words) byId("inside-state").textContent = words;
  }

  get #best() {
    return this.#digit.digit;
  }

  get #against() {
    return this.#rival ?? indexOfLargest(this.#pass.logits, this.#best);
  }

  /** The index of the place that is shown: the one below the mouse, the chosen one, or that of the strongest unit. */
  get #place() {
    if (this.#digit === null) return this.#hovered ?? this.#chosen ?? 0;
    const [first] = strongest(this.#network.unitEvidence(this.#pass, this.#best, this.#against), 1).supporting;
    return this.#hovered ?? this.#chosen ?? Math.max(0, this.#places.findIndex(({ unit }) => unit === first?.unit));
  }

  #hover(place) {
    if (place === this.#hovered) return;
    this.#hovered = place;
    this.#drawUnits();
    if (this.#digit !== null) this.#renderUnit();
  }

  #choose(place) {
    if (place === null) return;
    [this.#chosen, this.#hovered] = [place, null];
    this.#drawUnits();
    if (this.#digit !== null) this.#renderUnit();
  }

  #compareWith(digit) {
    this.#rival = digit;
    this.#renderEvidence();
    this.#renderUnit();
  }

  // The sliders

  #restoreSliders() {
    this.#request?.abort();
    this.#request = null;
    for (const slider of sliders()) slider.value = slider.defaultValue;
  }

  #adopt(digit) {
    this.#setDigit(digit);
    this.#render();
    this.#onDistorted(digit);
  }

  /** Compute the answer here, without waiting for the service, which alone can say whether it accepts the answer. */
  #distort() {
    this.#request?.abort();
    const changes = Object.fromEntries(sliders().map((slider) => [slider.name, slider.valueAsNumber]));
    const pixels = distort(this.#original.pixels, changes);
    const probabilities = [...this.#network.forward(pixels.flat()).probabilities];
    const digit = indexOfLargest(probabilities);
    const probability = probabilities[digit];
    this.#adopt({ digit, probability, probabilities, pixels, accept: false, isUnfinished: true, line: this.#original.line });
  }

  async #askService() {
    const { pixels, line } = this.#digit;
    const controller = (this.#request = new AbortController());
    const reply = await askAboutPixels(pixels, controller.signal);
    const prediction = reply?.ok ? await reply.json().catch(() => null) : null;
    if (this.#request !== controller || controller.signal.aborted) return;
    if (prediction === null) this.#say("The service could not answer. Move a slider to ask it again.");
    else this.#adopt({ ...prediction, pixels, line });
  }

  // The dots

  #geometry() {
    const canvas = byId("units");
    const names = parseFloat(getComputedStyle(canvas).getPropertyValue("--names"));
    return { names, cell: (canvas.clientWidth - names) / COLUMNS };
  }

  #placeAt({ offsetX, offsetY }) {
    const { names, cell } = this.#geometry();
    const [column, row] = [Math.floor((offsetX - names) / cell), Math.floor(offsetY / cell)];
    const index = this.#places.findIndex((place) => place.column === column && place.row === row);
    return index < 0 ? null : index;
  }

  #drawUnits() {
    const canvas = byId("units");
    if (this.#network === null || canvas.clientWidth === 0) return;
    canvas.style.setProperty("--names", `${typeScale(canvas) * (hasOwnClasses() ? 72 : 20)}px`);
    fitToScreen(canvas);
    const { names, cell } = this.#geometry();
    const context = canvas.getContext("2d");
    context.setTransform(canvas.width / canvas.clientWidth, 0, 0, canvas.height / canvas.clientHeight, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    const style = getComputedStyle(canvas);
    const [accent, track, text] = ["--accent", "--track", "--text"].map((name) => style.getPropertyValue(name));
    const most = Math.max(...this.#pass.hidden) || 1;
    context.font = `600 ${Math.min(13 * typeScale(canvas), cell + 1)}px ${style.fontFamily}`;
    context.textBaseline = "middle";
    const shown = this.#place;
    this.#places.forEach(({ unit, group, column, row }, index) => {
      const [x, y] = [names + (column + 0.5) * cell, (row + 0.5) * cell];
      if (column === 0 && this.#places[index - 1]?.group !== group) {
        context.fillStyle = text;
        context.fillText(label(group), 0, y, names - 4);
      }
      const strength = this.#digit === null ? 0 : this.#pass.hidden[unit] / most;
      for (const [colour, opacity] of [[track, 1], [accent, strength]]) {
        context.globalAlpha = opacity;
        context.fillStyle = colour;
        context.beginPath();
        context.arc(x, y, 0.42 * cell, 0, 2 * Math.PI);
        context.fill();
      }
      context.globalAlpha = 1;
      if (index !== shown) return;
      context.strokeStyle = text;
      context.lineWidth = 2;
      context.stroke();
    });
    canvas.setAttribute("aria-valuemax", this.#places.length);
    canvas.setAttribute("aria-valuenow", shown + 1);
    const { unit, group } = this.#places[shown];
    canvas.setAttribute("aria-valuetext", `Unit ${unit}, supports ${label(group)}, activation ${number(this.#pass.hidden[unit])}`);
  }

  // One unit

  #renderUnit() {
    const { unit, group } = this.#places[this.#place];
    const { x, sums, hidden, logits, probabilities } = this.#pass;
    const [best, rival] = [this.#best, this.#against];
    const weights = this.#network.weights(unit);
    const products = weights.map((weight, pixel) => weight * x[pixel]);
    const outputWeights = this.#network.outputWeights(unit);
    const pixels = this.#digit.pixels.flat();
    byId("unit-name").textContent = `Unit ${unit} supports ${label(group)} most`;
    drawGrey(byId("input"), this.#digit.pixels);
    drawHeat(byId("weights"), weights, pixels);
    drawHeat(byId("products"), products, pixels);
    for (const [digit, { added, bar, value }] of outputs.entries()) {
      const addition = hidden[unit] * outputWeights[digit];
      added.textContent = signed(addition);
      const widest = Math.max(...outputWeights.map(Math.abs)) * hidden[unit] || 1;
      bar.style.transform = `scaleX(${addition / widest})`;
      bar.classList.toggle("negative", addition < 0);
      value.textContent = number(logits[digit]);
    }
    const bias = this.#network.bias(unit);
    const effect = (digit) =>
      `${number(hidden[unit])} × ${number(outputWeights[digit])} = ${number(hidden[unit] * outputWeights[digit])} to the logit of ${label(digit)}`;
    const steps = [
      `${this.#network.inputs} products of a weight and a pixel add up to ${number(sums[unit] - bias)}.`,
      `The bias ${number(bias)} makes it ${number(sums[unit])}.`,
      `relu ${sums[unit] > 0 ? "keeps it" : "makes every negative sum zero"}: the activation is ${number(hidden[unit])}.`,
      `Times its weights in the outputs, it adds ${effect(best)}, and ${effect(rival)}.`,
      `With all ${this.#network.units} units and the biases, the logits are ${number(logits[best])} for ${label(best)} and ` +
        `${number(logits[rival])} for ${label(rival)}.`,
      `softmax raises e to each logit, and divides by the sum: ${percent(probabilities[best])} for ${label(best)}, and ` +
        `${percent(probabilities[rival])} for ${label(rival)}.`,
    ];
    byId("arithmetic").replaceChildren(...steps.map((text) => element("li", { textContent: text })));
  }

  // The answer and its rival

  #renderEvidence() {
    const [best, rival] = [this.#best, this.#against];
    const evidence = this.#network.unitEvidence(this.#pass, best, rival);
    const { logits } = this.#pass;
    byId("comparison").textContent = `Why ${label(best)} and not ${label(rival)}?`;
    byId("difference").textContent =
      `The logit of ${label(best)} is larger by ${number(logits[best] - logits[rival])}. Each unit's evidence is what it adds to ` +
      `${label(best)} minus what it adds to ${label(rival)}. These are the strongest units, with their share of all evidence.`;
    byId("evidence-title").textContent =
      `The same for each pixel, through all active units: blue speaks for ${label(best)}, orange for ${label(rival)}.`;
    drawHeat(byId("evidence"), this.#network.pixelEvidence(this.#pass, best, rival), this.#digit.pixels.flat());
    const { supporting, opposing } = strongest(evidence, SHOWN_UNITS);
    this.#listUnits("supporting", supporting, `For ${label(best)}`);
    this.#listUnits("opposing", opposing, `For ${label(rival)}`);
    outputs.forEach(({ button, name }, digit) => {
      name.textContent = label(digit);
      button.disabled = digit === best;
      button.classList.toggle("best", digit === best);
      button.setAttribute("aria-pressed", String(digit === rival));
      button.querySelector(".unseen").textContent = digit === best ? " is the answer. " : ` Why not ${label(digit)}? `;
    });
  }

  #listUnits(id, units, title) {
    byId(`${id}-title`).textContent = title;
    const items = units.map(({ unit, value, share }) => {
      const button = element("button", { type: "button" });
      const canvas = element("canvas");
      canvas.setAttribute("aria-hidden", "true");
      const words = element("span", { textContent: `${(100 * share).toFixed(1)}\u00a0%` });
      const unseen = element("span", { className: "unseen", textContent: ` of the evidence, unit ${unit}, ${signed(value)}` });
      button.append(canvas, words, unseen);
      button.addEventListener("click", () => this.#choose(this.#places.findIndex((place) => place.unit === unit)));
      return { button, canvas, unit };
    });
    byId(id).replaceChildren(...items.map(({ button }) => inList(button)));
    for (const { canvas, unit } of items) drawHeat(canvas, this.#network.weights(unit)); // with the colours of the page
  }
}

let outputs = []; // the parts of the list of outputs

function makeOutputs(count, onChoose) {
  outputs = Array.from({ length: count }, (_, digit) => {
    const button = element("button", { type: "button" });
    const [name, bar, value, added] = ["name", "bar", "logit", "added"].map((className) => element("span", { className }));
    const track = element("span", { className: "track" });
    track.append(bar);
    button.append(name, element("span", { className: "unseen" }), value, track, added);
    button.addEventListener("click", () => onChoose(digit));
    return { button, name, bar, value, added };
  });
  byId("outputs").replaceChildren(...outputs.map(({ button }) => inList(button)));
}

function sliders() {
  return [...byId("sliders").querySelectorAll("input")];
}

function number(value) {
  return value.toFixed(2).replace("-", "−");
}

function signed(value) {
  return value > 0 ? `+${number(value)}` : number(value);
}

function inList(button) {
  const item = element("li");
  item.append(button);
  return item;
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}
