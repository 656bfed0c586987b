// A panel of the lab: the smallest change of the pixels after which a network gives another answer, found by its own slopes
// (Goodfellow, Shlens and Szegedy 2015; Moosavi-Dezfooli, Fawzi and Frossard 2016).

import { rowsOf } from "./distort.js";
import { byId, element, write } from "./dom.js";
import { drawGrey, drawHeat } from "./heat.js";
import { indexOfLargest } from "./network.js";
import { askAboutPixels } from "./requests.js";
import { a, decimal, label, percent, verdict } from "./verdict.js";

const GROWTH = 0.2; // grey values a pixel by which a step makes the change larger
const RATE = 0.2; // the share of a step's own direction in that of the change
const MAX_STEPS = 400;
const FULL = 64; // grey values that are shown in full colour

/**
 * Return a change of a size, in the direction that favours the wished class most: that of the change before, turned towards the
 * slope that the network has there. The slope is another one at each place, so the change keeps a part of the earlier ones.
 *
 * @param {import("./network.js").Network} network
 * @param {number[]} pixels grey values of the digit
 * @param {Float64Array} before the change before, in grey values
 * @param {number} wished class
 * @param {number} size as of `sizeOf`
 * @returns {Float64Array}
 */
export function nextChange(network, pixels, before, wished, size) {
  const changed = pixels.map((grey, index) => grey + before[index]);
  const pass = network.forward(changed);
  const left = 1 - pass.probabilities[wished];
  // By its share, each other logit counts as in the logarithm of the odds.
  const shares = pass.probabilities.map((p, digit) => (digit === wished ? 1 : -p / left));
  // A pixel can be neither darker than black nor lighter than white.
  const slope = network.slope(pass, shares).map((each, index) => ((each > 0 ? changed[index] < 255 : changed[index] > 0) ? each : 0));
  const [old, own] = [sizeOf(before) || 1, sizeOf(slope) || 1];
  const direction = slope.map((each, index) => ((1 - RATE) * before[index]) / old + (RATE * each) / own);
  const factor = size / (sizeOf(direction) || 1);
  return direction.map((each, index) => Math.min(255 - pixels[index], Math.max(-pixels[index], factor * each)));
}

/** Return the size of a change as the root of the mean square, in grey values. */
export function sizeOf(change) {
  return Math.sqrt(change.reduce((sum, each) => sum + each * each, 0) / change.length);
}

export class Adversarial {
  #columns;
  #about = []; // the digit, the wish and the networks of the searches
  #searches = [];
  #pixels = [];
  #wished = 0;
  #frame = 0;
  #controller = new AbortController(); // of the questions about what was found

  constructor() {
    this.#columns = Array.from({ length: 2 }, () => {
      const [title, state, service] = [element("h3"), element("p"), element("p", { className: "aside" })];
      const [seen, change] = ["The changed pixels", "The change"].map((ariaLabel) => element("canvas", { role: "img", ariaLabel }));
      const part = element("div", {}, title, seen, change, state, service);
      return { part, title, seen, change, state, service };
    });
    byId("searches").replaceChildren(...this.#columns.map(({ part }) => part));
    byId("search").addEventListener("click", () => this.#begin());
  }

  /** @param {import("./lab.js").View} view */
  show({ network, digit, pixels, best, rival: wished, others }) {
    others.load(digit);
    write(byId("wish"), `Turn this ${label(best)} into ${a(wished)}`);
    write(byId("search-state"), others.state);
    const networks = [{ name: "This model", network }, others.rival].filter(({ network }) => network !== null);
    const about = [digit.pixels, wished, ...networks.map(({ name }) => name)]; // the visitor's own may go on learning
    const isNew = about.length !== this.#about.length || about.some((part, index) => part !== this.#about[index]);
    [this.#about, this.#pixels, this.#wished] = [about, pixels, wished];
    if (isNew) {
      this.#searches = networks.map((each) => ({ ...each, service: "" }));
      this.#begin();
    } else {
      this.#render();
      this.#advance(); // it waits while another panel is open
    }
  }

  /** Search again from the digit as it is. */
  #begin() {
    this.#controller.abort();
    this.#controller = new AbortController();
    for (const search of this.#searches) {
      Object.assign(search, { change: new Float64Array(this.#pixels.length), steps: 0, service: "" });
      this.#look(search);
    }
    this.#render();
    this.#advance();
  }

  /** Let each search go a step in each frame, or all the way at once for who wants no motion. */
  #advance() {
    if (this.#frame !== 0 || this.#searches.every(({ isDone }) => isDone)) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      if (byId("adversarial").offsetParent === null) return; // it is not seen
      const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
      for (const search of this.#searches) {
        while (!search.isDone) {
          search.steps++;
          search.change = nextChange(search.network, this.#pixels, search.change, this.#wished, GROWTH * search.steps);
          this.#look(search);
          if (!isStill) break;
        }
      }
      this.#render();
      this.#advance();
    });
  }

  /** Let the network read the changed pixels, which are whole grey values, and the service too at the end. */
  #look(search) {
    search.seen = this.#pixels.map((grey, index) => Math.round(grey + search.change[index]));
    search.probabilities = search.network.forward(search.seen).probabilities;
    search.answer = indexOfLargest(search.probabilities);
    search.isDone = search.answer === this.#wished || search.steps === MAX_STEPS;
    if (search.isDone) this.#ask(search, this.#controller);
  }

  async #ask(search, controller) {
    const prediction = await askAboutPixels(rowsOf(search.seen), controller).catch(() => null);
    if (this.#controller !== controller) return;
    search.service = "The service could not answer.";
    if (prediction !== null) {
      const { accept, novelty } = prediction;
      search.service = `The service: ${verdict(prediction).sentence} accept is ${accept}, novelty ${decimal(novelty)}.`;
    }
    this.#render();
  }

  #render() {
    this.#columns.forEach(({ part, title, seen, change, state, service }, index) => {
      const search = this.#searches[index];
      part.hidden = search === undefined;
      if (part.hidden) return;
      const { answer, probabilities, steps } = search;
      write(title, search.name);
      drawGrey(seen, rowsOf(search.seen));
      drawHeat(change, search.change, this.#pixels, FULL);
      const size = `${sizeOf(search.change).toFixed(1)} grey values a pixel`;
      const found = steps === MAX_STEPS ? `No change was found, up to ${size}.` : `Changed by ${size}.`;
      write(state, `${label(answer)}, ${percent(probabilities[answer])} sure. ${found}`);
      write(service, search.service);
    });
  }
}
