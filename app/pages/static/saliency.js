// The explanation of an answer: which pixels support it, and which contradict it.

const PLACES = [
  ...["at the upper left", "at the top", "at the upper right"],
  ...["on the left", "in the middle", "on the right"],
  ...["at the lower left", "at the bottom", "at the lower right"],
];

const byId = (id) => document.getElementById(id);

export class Saliency {
  #isOn = false; // stays on for the next drawings

  /** @param {() => void} onToggle called when another answer is needed, with or without saliency */
  constructor(onToggle) {
    byId("why").addEventListener("click", () => {
      this.#toggle(!this.#isOn);
      onToggle();
    });
  }

  /** The query parameter `include` of the next request. */
  get include() {
    return this.#isOn ? "pixels,saliency" : "pixels";
  }

  /** @param {object} answer the service's reply */
  show({ digit, saliency }) {
    const shown = this.#isOn && saliency !== undefined;
    byId("seen").classList.toggle("explained", shown);
    for (const id of ["saliency", "legend"]) byId(id).hidden = !shown;
    if (!shown) return;
    draw(saliency);
    byId("saliency").setAttribute("aria-label", describe(digit, saliency));
    byId("for").textContent = `supports ${digit}`;
    byId("against").textContent = `speaks against ${digit}`;
  }

  /** @param {object | null} model the served version's manifest; the button is shown if it has saliency */
  offer(model) {
    byId("why").hidden = !model?.outputs.some((output) => output.name === "saliency");
  }

  /** Remove the button, because the served version has no saliency. */
  disable() {
    this.#toggle(false);
    this.offer(null);
  }

  #toggle(isOn) {
    this.#isOn = isOn;
    byId("why").setAttribute("aria-pressed", String(isOn));
  }
}

/** Colour each pixel in proportion to its strength; the strongest pixel has full colour. */
function draw(saliency) {
  const context = byId("saliency").getContext("2d");
  const style = getComputedStyle(byId("saliency"));
  const [supports, opposes] = ["--for", "--against"].map((name) => style.getPropertyValue(name));
  const strongest = Math.max(...saliency.flat().map(Math.abs)) || 1;
  context.clearRect(0, 0, 28, 28);
  saliency.forEach((row, y) =>
    row.forEach((value, x) => {
      context.globalAlpha = Math.abs(value) / strongest;
      context.fillStyle = value > 0 ? supports : opposes;
      context.fillRect(x, y, 1, 1);
    }),
  );
}

/** Describe the colours for screen readers: the ninths of the picture with the largest and the smallest sum. */
function describe(digit, saliency) {
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
