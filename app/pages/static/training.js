// A panel of the lab: the visitor trains the lecture's network here, and watches it learn.

import { rowsOf } from "./distort.js";
import { byId, element, write } from "./dom.js";
import { drawGrey, drawHeat } from "./heat.js";
import { Network, indexOfLargest } from "./network.js";
import { a, percent } from "./verdict.js";

const [SIDE, PIXELS] = [28, 784];
const [SHOWN_UNITS, SHOWN_MISTAKES] = [8, 8];
const MIN_EPOCHS = 2; // the shortest axis

export class Training {
  #others;
  #onChange;
  #worker = null;
  #sheet = null; // the grey values of all digits, one digit after the other
  #reports = []; // of this training
  #fresh = null; // the network before its first step
  #isRunning = false;
  #units = parts("learned", SHOWN_UNITS);
  #mistakes = parts("mistakes", SHOWN_MISTAKES);

  /**
   * @param {import("./others.js").Others} others get the network as it learns
   * @param {() => void} onUse called when the visitor wants it beside the others
   * @param {() => void} onChange called when there is something new to show
   */
  constructor(others, onUse, onChange) {
    [this.#others, this.#onChange] = [others, onChange];
    byId("train").addEventListener("click", () => (this.#isRunning ? this.pause() : this.#run(this.#reports.length === 0)));
    byId("again").addEventListener("click", () => this.#run(true));
    byId("use").addEventListener("click", onUse);
    byId("recipe").addEventListener("change", ({ target }) => {
      if (target.name === "units" && this.#reports.length > 0) this.#run(true);
      else this.#send({});
    });
  }

  pause() {
    this.#isRunning = false;
    this.#send({});
    this.#onChange();
  }

  async #run(isNew) {
    this.#isRunning = true;
    this.#onChange();
    if (this.#sheet === null) {
      this.#say("Loading 5 000 digits, 0.8 MB.");
      this.#sheet = await loadSheet().catch(() => null);
      if (this.#sheet === null) {
        this.#isRunning = false;
        this.#onChange();
        this.#say("The digits could not be loaded. Start again to try it once more.");
        return;
      }
      this.#worker = new Worker(new URL("training_worker.js", import.meta.url), { type: "module" });
      this.#worker.addEventListener("message", ({ data }) => this.#hear(data));
      this.#worker.addEventListener("error", () => this.#say("The training has stopped with an error. Reload the page."));
      this.#worker.postMessage({ sheet: this.#sheet });
    }
    this.#send({ isNew });
  }

  #send(more) {
    const { rate, units, batch, distorts } = byId("recipe").elements;
    const [learningRate, batchSize] = [Number(rate.value), Number(batch.value)];
    const settings = { learningRate, batchSize, units: Number(units.value), distorts: distorts.checked };
    this.#worker?.postMessage({ ...settings, isRunning: this.#isRunning, ...more });
  }

  #hear({ weights, ...report }) {
    this.#others.own = new Network(weights);
    if (report.epoch === 0) [this.#reports, this.#fresh] = [[], this.#others.own];
    this.#reports.push(report);
    this.#isRunning &&= report.isRunning; // it ends by itself
    this.#onChange();
  }

  /** @param {import("./lab.js").View} view */
  show({ digit, pixels }) {
    const report = this.#reports.at(-1);
    write(byId("train"), this.#isRunning ? "Pause" : report ? "Go on" : "Start");
    byId("again").disabled = byId("use").disabled = byId("learning").hidden = report === undefined;
    if (report === undefined) return;
    const network = this.#others.own;
    const { probabilities } = network.forward(pixels);
    const answer = indexOfLargest(probabilities);
    const drawn = digit === null ? "" : ` It takes your drawing for ${a(answer)}, ${percent(probabilities[answer])} sure.`;
    this.#say(`Epoch ${report.epoch.toFixed(1)}: it reads ${percent(report.held.accuracy)} of 1 000 other digits.${drawn}`);
    this.#plot("loss", (value) => value.toFixed(2), [0, 2.5]);
    this.#plot("accuracy", percent, [0.5, 1]);
    this.#units.forEach(({ canvas }, unit) => {
      const before = this.#fresh.weights(unit);
      drawHeat(canvas, network.weights(unit).map((weight, pixel) => weight - before[pixel]));
    });
    this.#mistakes.forEach(({ item, canvas, text }, rank) => {
      const mistake = report.mistakes[rank];
      item.hidden = mistake === undefined;
      if (item.hidden) return;
      const { index, label, answer } = mistake;
      drawGrey(canvas, rowsOf(this.#sheet.subarray(index * PIXELS, (index + 1) * PIXELS)));
      write(text, `${label} as ${answer}`);
    });
  }

  /** Draw the curves of a figure over the epochs, and write their last values below them. */
  #plot(name, format, [low, high]) {
    const epochs = Math.max(MIN_EPOCHS, this.#reports.at(-1).epoch);
    for (const kind of ["trained", "held"]) {
      const values = this.#reports.flatMap((report) => (report[kind] ? [{ epoch: report.epoch, value: report[kind][name] }] : []));
      const points = values.map(({ epoch, value }) => `${(100 * epoch) / epochs},${(100 * (high - value)) / (high - low)}`);
      byId(`${name}-curves`).querySelector(`polyline.${kind}`).setAttribute("points", points.join(" "));
      write(byId(`${name}-curves`).querySelector(`span.${kind}`), values.length ? format(values.at(-1).value) : "–");
    }
  }

  #say(words) {
    write(byId("training-state"), words);
  }
}

/** Fill a list with as many canvases, each with a text below it. */
function parts(id, count) {
  const made = Array.from({ length: count }, () => {
    const [canvas, text] = [element("canvas", { ariaHidden: "true" }), element("span")];
    return { item: element("li", {}, canvas, text), canvas, text };
  });
  byId(id).replaceChildren(...made.map(({ item }) => item));
  return made;
}

/** Return the grey values of the digits of the sheet, one digit after the other. */
async function loadSheet() {
  const reply = await fetch(new URL("real-digits.png", import.meta.url));
  const picture = await createImageBitmap(await reply.blob());
  const { width, height } = picture;
  const context = element("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const columns = width / SIDE;
  return Uint8Array.from({ length: width * height }, (_, index) => {
    const [digit, pixel] = [Math.floor(index / PIXELS), index % PIXELS];
    const x = (digit % columns) * SIDE + (pixel % SIDE);
    const y = Math.floor(digit / columns) * SIDE + Math.floor(pixel / SIDE);
    return data[4 * (y * width + x)];
  });
}
