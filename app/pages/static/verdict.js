// An answer in words that never claim more certainty than the service does.

const UNSURE_BELOW = 0.6; // probability below which the second digit is named too
const PROBABLE_BELOW = 0.9;

/**
 * @param {object} answer the service's reply; prediction_set, coverage and is_digit are optional
 * @returns {{state: string, digit: string, sentence: string, more: string}}
 */
export function verdict({ digit: best, probabilities, prediction_set: set, coverage, is_digit: isDigit }) {
  const p = probabilities[best];
  if (isDigit === false) {
    const more = `If it is one, the best guess is ${best} (${percent(p)}).`;
    return { state: "stranger", digit: `${best}`, sentence: "This does not look like a digit.", more };
  }
  if (set?.length === 0) {
    const sentence = `Not sure enough to name a digit at ${share(coverage)}.`;
    return { state: "unsure", digit: `${best}?`, sentence, more: `The best guess is ${best} (${percent(p)}).` };
  }
  const byProbability = (a, b) => probabilities[b] - probabilities[a];
  const others = (set ?? []).filter((digit) => digit !== best).sort(byProbability);
  const next = probabilities.map((_, digit) => digit).filter((digit) => digit !== best).sort(byProbability)[0];
  const q = percent(probabilities[next]);
  if (p < UNSURE_BELOW) {
    const either = others.length ? listed([best, ...others]) : `${a(best)} (${percent(p)}) or ${a(next)} (${q})`;
    return { state: "unsure", digit: `${best}?`, sentence: `Not sure: it may be ${either}.`, more: "" };
  }
  let sentence = `A${a(best).slice(1)}, ${p > 0.999 ? "over 99.9\u00a0%" : percent(p)} sure.`;
  let more = "";
  if (p < PROBABLE_BELOW) sentence = `Probably ${a(best)}: ${percent(p)} sure.`;
  if (others.length) more = `It may also be ${listed(others)}.`;
  else if (p < PROBABLE_BELOW) sentence += ` Next comes ${next} with ${q}.`;
  else if (set) more = `No other digit is plausible at ${share(coverage)}.`;
  return { state: "answer", digit: `${best}`, sentence, more };
}

/** Return the digits to mark, and the meaning of the mark. */
export function plausible({ prediction_set: set, coverage, is_digit: isDigit }) {
  if (!set?.length || isDigit === false) return { digits: [], meaning: "" };
  const meaning = `A ring marks a plausible digit. For digits like MNIST's, the right digit is ringed in ${share(coverage)} of cases.`;
  return { digits: set, meaning };
}

/** Round down: 0.99996 becomes 99.9 %. */
export function percent(p) {
  return `${(Math.floor(p * 1000 + 1e-6) / 10).toFixed(1)}\u00a0%`;
}

function share(coverage) {
  return `${Number((100 * coverage).toFixed(2))}\u00a0%`;
}

function listed(digits) {
  if (digits.length >= 9) return "any digit";
  return digits.length > 1 ? `${digits.slice(0, -1).join(", ")} or ${digits.at(-1)}` : `${digits[0]}`;
}

function a(digit) {
  return digit === 8 ? "an 8" : `a ${digit}`;
}
