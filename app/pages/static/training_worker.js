// Trains the visitor's network beside the page, and reports four times in an epoch how far it is.

import { distort, rowsOf } from "./distort.js";
import { Trainer, crossEntropy, freshWeights } from "./trainer.js";

const PIXELS = 784;
const [EACH, LEARNED] = [500, 400]; // digits of each class, and how many of them are trained on
const REPORT_AFTER = 1000; // pictures
const MAX_EPOCHS = 100; // a page that is forgotten does not train for ever
const SHOWN_MISTAKES = 8;

let [training, held] = [[], []];
let settings = { units: 0, learningRate: 0, batchSize: 0, distorts: false, isRunning: false };
let trainer = null;
let order = []; // the digits that are left of this epoch
let seen = 0; // pictures since the beginning
let timer;

/** A message changes some settings. `sheet` brings the digits, class by class, and `isNew` begins with fresh weights. */
onmessage = ({ data: { sheet, isNew, ...changes } }) => {
  Object.assign(settings, changes);
  if (sheet) {
    const digits = Array.from({ length: sheet.length / PIXELS }, (_, index) => {
      const pixels = sheet.subarray(index * PIXELS, (index + 1) * PIXELS);
      return { index, label: Math.floor(index / EACH), pixels };
    });
    training = digits.filter(({ index }) => index % EACH < LEARNED);
    held = digits.filter(({ index }) => index % EACH >= LEARNED);
  }
  if (isNew) {
    trainer = new Trainer(freshWeights(settings.units));
    [order, seen] = [[], 0];
    report(null);
  }
  clearTimeout(timer);
  timer = setTimeout(train);
};

/** Train until the next report, and let the messages that wait be heard. */
function train() {
  if (!settings.isRunning) return;
  const [sum, start] = [{ loss: 0, hits: 0 }, seen];
  while (seen < start + REPORT_AFTER) {
    if (order.length === 0) order = shuffled(training);
    const batch = order.splice(0, settings.batchSize);
    const pictures = batch.map(({ pixels }) => (settings.distorts ? distorted(pixels) : pixels));
    const { loss, hits } = trainer.step(pictures, batch.map(({ label }) => label), settings.learningRate);
    sum.loss += loss * batch.length;
    sum.hits += hits;
    seen += batch.length;
  }
  if (seen >= MAX_EPOCHS * training.length) settings.isRunning = false;
  report({ loss: sum.loss / (seen - start), accuracy: sum.hits / (seen - start) });
  timer = setTimeout(train);
}

/** @param {{loss: number, accuracy: number} | null} trained since the last report, or null before the first step */
function report(trained) {
  let loss = 0;
  const mistakes = [];
  for (const { index, label, pixels } of held) {
    const { probabilities } = trainer.network.forward(pixels);
    const sure = Math.max(...probabilities);
    loss += crossEntropy(probabilities[label]) / held.length;
    if (probabilities[label] < sure) mistakes.push({ index, label, answer: probabilities.indexOf(sure), sure });
  }
  postMessage({
    epoch: seen / training.length,
    trained,
    held: { loss, accuracy: 1 - mistakes.length / held.length },
    mistakes: mistakes.sort((a, b) => b.sure - a.sure).slice(0, SHOWN_MISTAKES),
    weights: trainer.weights,
    isRunning: settings.isRunning,
  });
}

/** Return the digit turned, moved and scaled a little, each time in another way. */
function distorted(pixels) {
  const upTo = (most) => most * (2 * Math.random() - 1);
  const changes = { turn: upTo(15), right: upTo(2), down: upTo(2), size: 100 + upTo(15), thickness: 0, noise: 0 };
  return distort(rowsOf(pixels), changes).flat();
}

function shuffled(values) {
  const keys = new Map(values.map((value) => [value, Math.random()]));
  return [...values].sort((a, b) => keys.get(a) - keys.get(b));
}
