// The lab: the pixels, the hidden units and the outputs of the network beside the paper, and sliders that mislead it.

import { parseFragment, setAddress } from "./address.js";
import { Adversarial } from "./adversarial.js";
import { Arithmetic } from "./arithmetic.js";
import { Comparison } from "./comparison.js";
import { distort } from "./distort.js";
import { byId, element, write } from "./dom.js";
import { Evidence } from "./evidence.js";
import { showGhost } from "./ghost.js";
import { drawGrey } from "./heat.js";
import { loadNetwork } from "./layers.js";
import { drawLines } from "./lines.js";
import { Network, indexOfLargest, largestDifference } from "./network.js";
import { Others } from "./others.js";
import { askAboutPixels } from "./requests.js";
import { Training } from "./training.js";
import { Units } from "./units.js";
import { a, hasOwnClasses, label, percent, decimal } from "./verdict.js";

const ANY_VERSION = "any"; // before the first answer
const TOLERANCE = 1e-3; // float16 changes a probability by at most half of it
const OF_DIGITS = ["beside", "adversarial", "training"]; // panels that need digits as classes
const SIGNS = { degrees: "°", percent: "\u00a0%", pixels: "\u00a0px", "grey values": "" }; // of the sliders' units
const BLANK = Array.from({ length: 28 }, () => new Array(28).fill(0));

/**
 * @typedef {object} View what the panels show
 * @property {Network} network
 * @property {ReturnType<Network["forward"]>} pass of the digit
 * @property {object | null} digit null for the panel that needs none
 * @property {number[]} pixels 784 grey values of the digit
 * @property {number} best the class that is the answer
 * @property {number} rival the class that the answer is compared with
 * @property {Float64Array} evidence what each unit adds to the difference of their logits
 * @property {{unit: number, group: number}} shown the unit that is shown, and the class that it supports most
 * @property {Others} others the networks beside this one
 */

export class Lab {
  #units = new Units(byId("units"), () => {
    if (this.#units.chosen !== null) setAddress({ unit: this.#units.chosen });
    this.#renderSoon();
  });
  #others = new Others(() => this.#renderSoon());
  #training = new Training(this.#others, () => this.#choosePanel("beside"), () => this.#renderSoon());
  #panels = {
    ...{ arithmetic: new Arithmetic(), evidence: new Evidence((unit) => this.#units.choose(unit)), beside: new Comparison() },
    ...{ adversarial: new Adversarial(), training: this.#training },
  };
  #network = null;
  #version; // of the network; undefined before the first answer tells it
  #loads = null; // the version of the layers that are being loaded, or null
  #lacking = null; // a version that was released without its layers
  #original = null; // the digit of the service's reply
  #digit = null; // that digit, or what the sliders have made of it
  #isMoving = false; // whether a slider has moved since the last frame
  #frame = 0;
  #request = null; // the AbortController of the request about what the sliders have made
  #onDistorted;
  #onPaper;
  #rival = null; // the class that the answer is compared with, or null for the second most probable
  #outputs = []; // the parts of the list of outputs

  /**
   * @param {(digit: object) => void} onDistorted called with a digit of other pixels when a slider moves and when it rests
   * @param {(box: object) => any} onPaper converts a box from pixels of the picture to pixels of the paper
   */
  constructor(onDistorted, onPaper) {
    [this.#onDistorted, this.#onPaper] = [onDistorted, onPaper];
    byId("tabs").addEventListener("click", ({ target }) => {
      const name = target.closest("button")?.getAttribute("aria-controls");
      if (name) this.#choosePanel(name);
    });
    byId("sliders").addEventListener("input", () => {
      this.#request?.abort();
      this.#isMoving = true;
      this.#renderSoon();
    });
    byId("sliders").addEventListener("change", () => {
      rememberSliders();
      this.#askService();
    });
    byId("restore").addEventListener("click", () => this.#restore());
  }

  /**
   * @param {object | null} digit of the service's reply, or null if nothing is drawn
   * @param {number | undefined} version that has answered
   */
  show(digit, version) {
    this.#stopSliders();
    if (this.#original !== null && digit?.digit !== this.#original.digit) setAddress({ rival: null });
    this.#original = this.#digit = digit;
    this.#version ??= version;
    const isCurrent = this.#network !== null && (version === undefined || version === this.#version);
    if (isCurrent) this.#followAddress();
    else this.#load(version);
  }

  /** Show what the address says: a panel, a unit, the class to compare with, and what the sliders make of the digit. */
  #followAddress() {
    const { panel, unit, rival, ...texts } = parseFragment(location.hash);
    this.#open(Object.hasOwn(this.#panels, panel) ? panel : "arithmetic");
    this.#units.choose(Number(unit ?? NaN));
    this.#rival = [...Array(this.#network.classes).keys()].find((digit) => String(digit) === rival) ?? null;
    for (const slider of sliders()) {
      const value = Number(texts[slider.name] ?? NaN);
      slider.value = Number.isNaN(value) ? slider.defaultValue : String(value);
    }
    this.#isMoving = this.#original !== null && sliders().some(({ value, defaultValue }) => value !== defaultValue);
    if (this.#isMoving) this.#askService();
    this.#renderSoon();
  }

  /** The page shows something else. */
  leave() {
    this.#training.pause();
    this.#restore();
  }

  /** Show the digit of the service's reply in place of what the sliders have made of it. */
  #restore() {
    this.#stopSliders();
    for (const slider of sliders()) slider.value = slider.defaultValue;
    rememberSliders();
    if (this.#digit !== this.#original) this.#adopt(this.#original);
  }

  #stopSliders() {
    this.#request?.abort();
    this.#request = null;
    this.#isMoving = false;
  }

  async #load(version) {
    const load = version ?? ANY_VERSION;
    if ([load, ANY_VERSION].includes(this.#loads) || this.#lacking === load) return;
    this.#loads = load;
    this.#network = null;
    this.#renderSoon();
    const result = await loadNetwork("model/layers", "the weights", (words, share) => {
      if (this.#loads !== load) return;
      byId("loading").hidden = share === undefined;
      byId("loading").value = share ?? 0;
      this.#say(words);
    });
    if (this.#loads !== load) return;
    this.#loads = null;
    byId("loading").hidden = true;
    if (result instanceof Network) {
      this.#network = result;
      this.#version = version;
      this.#units.arrange(result);
      byId("input-size").textContent = `${result.inputs} pixels`;
      byId("unit-count").textContent = `${result.units} hidden units`;
      byId("output-count").textContent = `${result.classes} outputs`;
      this.#makeOutputs(result.classes);
      this.#followAddress();
    } else if (result === 501) {
      this.#lacking = load;
      this.#say("This version of the model was released without its layers, so the page cannot look inside.");
    } else {
      this.#say("The layers could not be loaded. Your next stroke tries again.");
    }
    this.#renderSoon();
  }

  #renderSoon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.#isMoving) this.#distort();
      this.#render();
    });
  }

  #render() {
    const [network, digit] = [this.#network, this.#digit];
    byId("lab").classList.toggle("ready", network !== null);
    byId("panels").hidden = network === null;
    byId("controls").hidden = network === null || digit === null;
    byId("ghost").hidden = network === null || digit === this.#original;
    if (network === null) return;
    const rows = digit?.pixels ?? BLANK;
    const pixels = rows.flat();
    const pass = digit?.pass ?? network.forward(pixels);
    const best = digit?.digit ?? indexOfLargest(pass.logits);
    const rival = this.#rival === null || this.#rival === best ? indexOfLargest(pass.logits, best) : this.#rival;
    const evidence = network.unitEvidence(pass, best, rival);
    this.#units.show(digit && pass.hidden, indexOfLargest(evidence));
    drawGrey(byId("input"), rows);
    this.#showOutputs(digit && pass, best, rival);
    const additions = [...network.outputWeights(this.#units.shown.unit)].map((weight) => weight * pass.hidden[this.#units.shown.unit]);
    drawLines(byId("lines"), this.#units.place, this.#outputs.map(({ item }) => item), digit ? additions : []);
    if (!byId("ghost").hidden) showGhost(rows, this.#original.pixels, this.#original.box ? this.#onPaper(this.#original.box) : null);
    for (const slider of sliders()) describe(slider);
    if (digit === null) this.#say(`Draw a ${hasOwnClasses() ? "picture" : "digit"}, and see which units light up.`);
    else if (digit.pass) this.#say("Computed in your browser. The service answers when the slider rests.");
    else this.#check(pass);
    write(byId("evidence-tab"), `Why not ${label(rival)}?`);
    write(byId("adversarial-tab"), `Turn it into ${a(rival)}`);
    const view = { network, pass, digit, pixels, best, rival, evidence, shown: this.#units.shown, others: this.#others };
    for (const tab of byId("tabs").children) {
      const name = tab.getAttribute("aria-controls");
      const isOpen = tab.getAttribute("aria-expanded") === "true";
      tab.hidden = (hasOwnClasses() && OF_DIGITS.includes(name)) || (digit === null && name !== "training");
      byId(name).hidden = tab.hidden || !isOpen;
      if (!byId(name).hidden) this.#panels[name].show(view);
    }
  }

  /** Open a panel in place of the one that is open. */
  #open(name) {
    for (const tab of byId("tabs").children) tab.setAttribute("aria-expanded", String(tab.getAttribute("aria-controls") === name));
    this.#renderSoon();
  }

  #choosePanel(name) {
    setAddress({ panel: name });
    this.#open(name);
  }

  /** Say whether this page computes what the service has answered. */
  #check({ probabilities }) {
    const difference = largestDifference(probabilities, this.#digit.probabilities);
    const figure = difference < 1e-4 ? "less than 0.0001" : difference.toFixed(4);
    this.#say(
      difference <= TOLERANCE
        ? `Computed in your browser. Its probabilities differ from the service's by ${figure}.`
        : `Careful: what this page computes differs from the service's probabilities by ${figure}. Reload the page.`,
    );
  }

  #say(words) {
    write(byId("lab-state"), words);
  }

  // The outputs

  #makeOutputs(count) {
    this.#outputs = Array.from({ length: count }, (_, digit) => {
      const [name, logit, bar, value] = ["name", "logit", "bar", "value"].map((className) => element("span", { className }));
      const unseen = element("span", { className: "unseen" });
      const button = element("button", { type: "button" }, name, unseen, logit, element("span", { className: "track" }, bar), value);
      button.addEventListener("click", () => {
        this.#rival = digit;
        setAddress({ rival: digit });
        this.#choosePanel(byId("adversarial").hidden ? "evidence" : "adversarial");
      });
      return { item: element("li", {}, button), button, name, unseen, logit, bar, value };
    });
    byId("outputs").replaceChildren(...this.#outputs.map(({ item }) => item));
    byId("outputs").classList.toggle("named", hasOwnClasses());
  }

  #showOutputs(pass, best, rival) {
    this.#outputs.forEach(({ button, name, unseen, logit, bar, value }, digit) => {
      const isBest = pass !== null && digit === best;
      write(name, label(digit));
      write(logit, pass === null ? "" : decimal(pass.logits[digit]));
      bar.style.transform = `scaleX(${pass?.probabilities[digit] ?? 0})`;
      write(value, pass === null ? "" : percent(pass.probabilities[digit]));
      button.disabled = pass === null || isBest;
      button.classList.toggle("best", isBest);
      button.setAttribute("aria-pressed", String(pass !== null && digit === rival));
      write(unseen, isBest ? " is the answer. " : ` Why not ${label(digit)}? `);
    });
  }

  // The sliders

  #adopt(digit) {
    this.#digit = digit;
    this.#renderSoon();
    this.#onDistorted(digit);
  }

  /** Compute the answer here, without waiting for the service, which alone can say whether it accepts the answer. */
  #distort() {
    this.#isMoving = false;
    /** @type {any} */
    const changes = Object.fromEntries(sliders().map((slider) => [slider.name, slider.valueAsNumber]));
    const pixels = distort(this.#original.pixels, changes);
    const pass = this.#network.forward(pixels.flat());
    const probabilities = [...pass.probabilities];
    const digit = indexOfLargest(probabilities);
    const probability = probabilities[digit];
    const { line } = this.#original;
    this.#digit = { digit, probability, probabilities, pixels, pass, accept: false, isUnfinished: true, line };
    this.#onDistorted(this.#digit);
  }

  async #askService() {
    if (this.#isMoving) this.#distort(); // the last move has not had its frame
    const { pixels, line } = this.#digit;
    const controller = (this.#request = new AbortController());
    const prediction = await askAboutPixels(pixels, controller).catch(() => null);
    if (this.#request !== controller || controller.signal.aborted) return;
    if (prediction === null) this.#say("The service could not answer. Move a slider to ask it again.");
    else this.#adopt({ ...prediction, pixels, line });
  }
}

/** @returns {HTMLInputElement[]} */
function sliders() {
  return [...byId("sliders").querySelectorAll("input")];
}

function rememberSliders() {
  setAddress(Object.fromEntries(sliders().map(({ name, value, defaultValue }) => [name, value === defaultValue ? null : value])));
}

/** Say what a slider is at, as "40°" beside it and as "40 degrees" to screen readers. */
function describe(slider) {
  const { value, dataset } = slider;
  write(slider.nextElementSibling, `${value.replace("-", "−")}${SIGNS[dataset.unit]}`);
  slider.setAttribute("aria-valuetext", `${value} ${dataset.unit}`);
}
