// Why it is the answer: which of the pixels that the network saw speak for it, and which against, where it can tell.

import { ask } from "./key.js";

const PLACES = [
  ...["at the upper left", "at the top", "at the upper right"],
  ...["on the left", "in the middle", "on the right"],
  ...["at the lower left", "at the bottom", "at the lower right"],
];

const byId = (id) => document.getElementById(id);

export class Why {
  #version = null; // of the model that is known to tell or not to
  #wanted = false; // kept until the page is left

  /** @param {() => void} changed called when another answer is needed: with saliency, or without */
  constructor(changed) {
    byId("why").addEventListener("click", () => {
      this.#want(!this.#wanted);
      changed();
    });
  }

  /** What the service is to reply besides the prediction. */
  get include() {
    return this.#wanted ? "pixels,saliency" : "pixels";
  }

  /** @param {object} answer the service's reply */
  show({ digit, saliency, model }) {
    const { name, version } = model;
    if (this.#version !== version) this.#find(version);
    const shown = this.#wanted && saliency !== undefined;
    byId("seen").classList.toggle("explained", shown);
    for (const id of ["saliency", "legend"]) byId(id).hidden = !shown;
    if (!shown) return;
    draw(saliency);
    byId("saliency").setAttribute("aria-label", inWords(digit, saliency));
    byId("for").textContent = `speaks for ${digit}`;
    byId("against").textContent = `speaks against ${digit}`;
  }

  /** The version that is served now cannot tell: there is nothing to switch on. */
  lose() {
    this.#version = null;
    this.#want(false);
    byId("why").hidden = true;
  }

  #want(wanted) {
    this.#wanted = wanted;
    byId("why").setAttribute("aria-pressed", String(wanted));
  }

  async #find(version) {
    this.#version = version;
    const reply = await ask("model").catch(() => null);
    const model = reply?.ok ? await reply.json() : null;
    if (this.#version !== version) return;
    if (model?.version !== version) this.#version = null; // replaced meanwhile, or not reached: the next answer tells
    byId("why").hidden = !model?.outputs.some((output) => output.name === "saliency");
  }
}

/** The strongest pixel in full colour, the others as strong as they are beside it. */
function draw(saliency) {
  const context = byId("saliency").getContext("2d");
  const style = getComputedStyle(byId("saliency"));
  const [pro, con] = ["--for", "--against"].map((name) => style.getPropertyValue(name));
  const strongest = Math.max(...saliency.flat().map(Math.abs)) || 1;
  context.clearRect(0, 0, 28, 28);
  saliency.forEach((row, y) =>
    row.forEach((value, x) => {
      context.globalAlpha = Math.abs(value) / strongest;
      context.fillStyle = value > 0 ? pro : con;
      context.fillRect(x, y, 1, 1);
    }),
  );
}

/** The same for whoever does not see it: the ninths of the picture where either outweighs the other most. */
function inWords(digit, saliency) {
  const sums = new Array(9).fill(0);
  saliency.forEach((row, y) =>
    row.forEach((value, x) => {
      sums[3 * Math.floor((3 * y) / 28) + Math.floor((3 * x) / 28)] += value;
    }),
  );
  const [most, least] = [Math.max(...sums), Math.min(...sums)];
  const pro = most > 0 ? `most ${PLACES[sums.indexOf(most)]}` : "nowhere";
  const con = least < 0 ? `most ${PLACES[sums.indexOf(least)]}` : "nowhere";
  return `Blue speaks for ${digit}, ${pro}; orange against it, ${con}.`;
}
