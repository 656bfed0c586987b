// What the page says: the digit, how sure, the ten bars, what the network saw; or, in a sentence, why not.

const UNSURE = 0.6; // below this the runner-up is named
const QUITE_SURE = 0.9;
const SETTLED = 500; // ms without a change before a screen reader is told

const WORDS = {
  inverted: "turned to light ink on dark",
  cropped: "cut out",
  thickened: "its strokes thickened",
  thinned: "its strokes thinned",
  centered: "centred",
};

const byId = (id) => document.getElementById(id);

export class Answer {
  #bars;
  #timer;

  constructor() {
    const items = Array.from({ length: 10 }, (_, digit) => {
      const item = document.createElement("li");
      const bar = element("span", "bar");
      const track = element("span", "track");
      track.setAttribute("aria-hidden", "true");
      track.append(bar);
      const value = element("span", "value");
      item.append(element("span", "name", String(digit)), track, value);
      return { item, bar, value };
    });
    this.#bars = items;
    byId("bars").append(...items.map(({ item }) => item));
    this.#showBars(null);
  }

  /** Nothing to answer. */
  empty() {
    this.#say("empty", "", "Draw a digit from 0 to 9. The answer changes while you draw.");
    this.#clear();
  }

  /** A picture is on its way. */
  waiting() {
    this.#say("waiting", "", "Reading the picture.");
    this.#clear();
  }

  /** @param {string} sentence why there is no answer */
  problem(sentence) {
    this.#say("problem", "", sentence);
    this.#clear();
  }

  /** @param {object} answer the service's reply */
  show(answer, milliseconds) {
    const order = answer.probabilities.map((_, digit) => digit).sort((a, b) => answer.probabilities[b] - answer.probabilities[a]);
    const [best, next] = order;
    const [p, q] = [best, next].map((digit) => answer.probabilities[digit]);
    if (p < UNSURE) {
      this.#say("unsure", `${best}?`, `Not sure: it may be a ${best} (${percent(p)}) or a ${next} (${percent(q)}).`);
    } else if (p < QUITE_SURE) {
      this.#say("answer", String(best), `Probably a ${best}: ${percent(p)} sure. Next comes ${next} with ${percent(q)}.`);
    } else {
      this.#say("answer", String(best), p > 0.999 ? `A ${best}, over 99.9\u00a0% sure.` : `A ${best}, ${percent(p)} sure.`);
    }
    this.#showBars(answer.probabilities, best);
    this.#showPixels(answer);
    const time = milliseconds < 10 ? milliseconds.toFixed(1) : milliseconds.toFixed(0);
    byId("facts").textContent = `${time}\u00a0ms there and back, ${answer.model.name} version ${answer.model.version}`;
  }

  #clear() {
    this.#showBars(null);
    byId("seen").hidden = true;
  }

  #say(state, digit, sentence) {
    byId("answer").dataset.state = state;
    byId("digit").textContent = digit;
    byId("sentence").textContent = sentence;
    // Read aloud once the hand rests: while it draws, the answer changes several times a second.
    clearTimeout(this.#timer);
    const announcement = byId("announcement");
    this.#timer = setTimeout(() => {
      if (announcement.textContent !== sentence) announcement.textContent = sentence;
    }, SETTLED);
  }

  #showBars(probabilities, best = -1) {
    this.#bars.forEach(({ item, bar, value }, digit) => {
      const p = probabilities?.[digit] ?? 0;
      item.classList.toggle("best", digit === best);
      bar.style.transform = `scaleX(${p})`;
      value.textContent = probabilities === null ? "" : percent(p);
    });
  }

  #showPixels({ pixels, preprocessing }) {
    byId("seen").hidden = !pixels;
    if (!pixels) return;
    const [height, width] = [pixels.length, pixels[0].length];
    const image = new ImageData(width, height);
    pixels.flat().forEach((grey, index) => image.data.set([grey, grey, grey, 255], 4 * index));
    byId("pixels").getContext("2d").putImageData(image, 0, 0);
    const done = preprocessing.map((step) => WORDS[step] ?? step.replaceAll("_", " "));
    byId("done").textContent = done.length ? sentenceOf(done) : "Taken as it came, pixel by pixel.";
  }
}

/** Never more than it is: 0.99996 is 99.9 %. */
function percent(p) {
  return `${(Math.floor(p * 1000 + 1e-6) / 10).toFixed(1)}\u00a0%`;
}

function sentenceOf(parts) {
  const text = parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}` : parts[0];
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
