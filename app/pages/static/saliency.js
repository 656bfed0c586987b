// The explanation of an answer: which pixels support it, and which contradict it.

import { byId } from "./dom.js";
import { drawHeat } from "./heat.js";
import { askAboutPixels } from "./requests.js";
import { label } from "./verdict.js";

const PLACES = [
  ...["at the upper left", "at the top", "at the upper right"],
  ...["on the left", "in the middle", "on the right"],
  ...["at the lower left", "at the bottom", "at the lower right"],
];

export class Saliency {
  #isOn = false; // stays on for the next drawings
  #pixels = null; // of the digit that is shown
  #request = null; // the AbortController of the current request
  #onMissing;

  /** @param {() => void} onMissing called when the served version turns out to have no saliency */
  constructor(onMissing) {
    this.#onMissing = onMissing;
    byId("why").addEventListener("click", () => {
      this.#toggle(!this.#isOn);
      this.#explain();
    });
  }

  /** @param {object} digit of the service's reply, with its pixels if the service replied them */
  show({ pixels }) {
    if (pixels === this.#pixels) return;
    this.#pixels = pixels;
    this.#explain();
  }

  hide() {
    this.show({ pixels: null });
  }

  /** Ask for the saliency of the pixels, if it is wanted. The last one is shown until the reply arrives. */
  async #explain() {
    this.#request?.abort();
    this.#request = null;
    if (!this.#isOn || !this.#pixels) {
      this.#reveal(false);
      return;
    }
    const controller = new AbortController();
    this.#request = controller;
    const answer = await askAboutPixels(this.#pixels, controller, "&include=saliency").catch((problem) => problem);
    if (this.#request !== controller) return;
    if (answer.saliency) {
      this.#show(answer);
      return;
    }
    this.#reveal(false);
    if (answer.status === 422) {
      this.#toggle(false);
      this.offer(false);
      this.#onMissing();
    } else {
      byId("unexplained").textContent = "The explanation could not be loaded.";
    }
  }

  #show({ digit, saliency }) {
    this.#reveal(true);
    drawHeat(byId("saliency"), saliency.flat(), this.#pixels.flat());
    byId("saliency").setAttribute("aria-label", describe(label(digit), saliency));
    byId("for").textContent = `supports ${label(digit)}`;
    byId("against").textContent = `speaks against ${label(digit)}`;
  }

  #reveal(isExplained) {
    byId("seen").classList.toggle("explained", isExplained);
    for (const id of ["saliency", "legend"]) byId(id).hidden = !isExplained;
    byId("unexplained").textContent = "";
  }

  /** @param {boolean} isOffered whether the served version has saliency, so that the button is shown */
  offer(isOffered) {
    byId("why").hidden = !isOffered;
  }

  #toggle(isOn) {
    this.#isOn = isOn;
    byId("why").setAttribute("aria-pressed", String(isOn));
  }
}

/** Describe the colours for screen readers: the ninths of the picture with the largest and the smallest sum. */
export function describe(digit, saliency) {
  const sums = new Array(9).fill(0);
  saliency.forEach((row, y) =>
    row.forEach((value, x) => {
      sums[3 * Math.floor((3 * y) / 28) + Math.floor((3 * x) / 28)] += value;
    }),
  );
  const [most, least] = [Math.max(...sums), Math.min(...sums)];
  const [mostAt, leastAt] = [PLACES[sums.indexOf(most)], PLACES[sums.indexOf(least)]];
  const supports = most > 0 ? `Blue supports ${digit}, mostly ${mostAt}.` : `Nothing supports ${digit}.`;
  const opposes = least < 0 ? `Orange speaks against ${digit}, mostly ${leastAt}.` : `Nothing speaks against ${digit}.`;
  return `${supports} ${opposes}`;
}
