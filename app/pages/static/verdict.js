// Answers and problems in words. An answer never claims more certainty than the service does.

const PROBABLE_BELOW = 0.9;
const STRANGER = "□"; // stands for what does not look like a digit

const DIGITS = [..."0123456789"];

let names = null; // of the model's classes, or null if they are the digits

/**
 * Call the classes by these names from now on.
 *
 * @param {string[]} classes the model's classes
 * @returns {boolean} whether they have changed
 */
export function nameClasses(classes) {
  const text = JSON.stringify(classes);
  if (text === JSON.stringify(names ?? DIGITS)) return false;
  names = text === JSON.stringify(DIGITS) ? null : classes;
  return true;
}

/** Return whether the classes are others than the digits. */
export function hasOwnClasses() {
  return names !== null;
}

/** Return how a digit or a class is called everywhere on the page. */
export function label(digit) {
  return names?.[digit] ?? String(digit);
}

/** Return the digit of a reply as a character, or a sign in its place if it does not look like a digit. */
export function character(answer) {
  return isStranger(answer) ? STRANGER : label(answer.digit);
}

/** Return a text that was read, as it should be corrected: without the signs that stand for strangers. */
export function withoutStrangers(text) {
  return text.replaceAll(STRANGER, "");
}

function isStranger({ is_digit: isDigit, is_known: isKnown = isDigit, isUnfinished }) {
  return isKnown === false && !isUnfinished;
}

/**
 * @param {object} answer a digit of the service's reply; prediction_set, coverage, is_digit or is_known, and accept are optional.
 *   `isUnfinished` says that it is still being drawn.
 * @returns {{state: string, digit: string, sentence: string, more: string}}
 */
export function verdict(answer) {
  const { digit: best, probabilities, prediction_set: set, accept, isUnfinished } = answer;
  const p = probabilities[best];
  const doubtful = { state: "unsure", digit: `${label(best)}?` };
  if (isUnfinished && isUnsure(answer)) {
    return { ...doubtful, sentence: `So far, it may be ${a(best)} (${percent(p)}).`, more: "" };
  }
  const byProbability = (a, b) => probabilities[b] - probabilities[a];
  const next = probabilities.map((_, digit) => digit).filter((digit) => digit !== best).sort(byProbability)[0];
  const q = percent(probabilities[next]);
  if (isStranger(answer)) {
    const sentence = names ? "This looks like none of the classes." : "This does not look like a digit.";
    return { state: "stranger", digit: "", sentence, more: `The nearest are ${label(best)}\u00a0(${percent(p)}) and ${label(next)}\u00a0(${q}).` };
  }
  const more = set ? plausibleSentence([...set].sort(byProbability), probabilities.length) : "";
  if (isUnsure(answer)) {
    let either = `${a(best)} (${percent(p)}) or ${a(next)} (${q})`;
    if (set?.length === probabilities.length) either = `any ${kind()}`;
    if (set?.length === 1 && set[0] === best) either = `${a(best)} (${percent(p)})`; // but marks were not read
    return { ...doubtful, sentence: `${accept === undefined ? "Check this" : "Not sure"}: it may be ${either}.`, more };
  }
  let sentence = `${names ? label(best) : `A${a(best).slice(1)}`}, ${percent(p)} sure.`;
  if (p < PROBABLE_BELOW) sentence = `Probably ${a(best)}: ${percent(p)} sure. Next comes ${label(next)} with ${q}.`;
  return { state: "answer", digit: label(best), sentence, more };
}

/** Return whether somebody should check the answer: every one that the service does not accept. */
export function isUnsure({ accept }) {
  return accept !== true;
}

/** Describe a number in a sentence or two. `mark` says how its unsure digits are marked. */
export function summary({ digits, lines }, mark = ", marked with “?”") {
  const unsure = digits.filter(isUnsure).length;
  const count = lines.length > 1 ? `${digits.length} digits in ${lines.length} lines` : `${digits.length} digits`;
  if (unsure === 0) return `${count}, none of them unsure.`;
  if (unsure === digits.length) return `${count}, all of them unsure.`;
  return `${count}. ${unsure} of them ${unsure === 1 ? "is" : "are"} unsure${mark}.`;
}

/** Say how many marks were not read. */
export function leftOutSentence(count) {
  if (count === 0) return "";
  return count === 1 ? "1 mark was not read." : `${count} marks were not read.`;
}

/** Return a sentence that explains why there is no answer, to a drawing or to a picture of a stack. */
export function problemSentence({ status, detail = "" }, retries, { isDrawing = true } = {}) {
  const sooner = isDrawing ? ", or immediately after your next stroke" : "";
  const retry = retries ? ` The page tries again soon${sooner}.` : "";
  const reason = detail ? `: ${detail}` : "";
  switch (status) {
    case 0:
      return `The service cannot be reached.${retry}`;
    case -1:
      return `The service took too long to answer.${isDrawing ? " Your next stroke tries again." : ""}`;
    case 401:
      return "The service requires an API key.";
    case 503:
      return `The service is not ready yet${reason}.${retry}`;
    case 413:
      if (/digits/.test(detail)) return `This picture has too many digits${reason}.`;
      return `This picture is too large${reason}.`;
    case 415:
      return `This kind of file cannot be read${reason}. Save it as JPEG or PNG, and choose that file.`;
    case 422:
      if (/no (ink|digit)/i.test(detail)) {
        return `This picture shows no ${names ? "drawing" : "digit"}.${isDrawing ? " Draw one that is large and clear." : ""}`;
      }
      return `This picture cannot be read${reason}.`;
    default:
      return `The service could not answer (status ${status})${reason}.${retry}`;
  }
}

function plausibleSentence(numbers, count) {
  const digits = numbers.map(label);
  const [last, ...others] = [...digits].reverse();
  if (last === undefined) return `No ${kind()} is probable enough.`;
  if (others.length === 0) return `Only ${last} is plausible.`;
  if (numbers.length === count) return `Every ${kind()} is plausible.`;
  return `${others.reverse().join(", ")} and ${last} are plausible.`;
}

/** Return the digits to mark, and an explanation of the mark that is "" if the version has no prediction sets. */
export function plausible({ prediction_set: set, coverage, calibration, is_digit: isDigit, is_known: isKnown = isDigit }) {
  if (!set || isKnown === false) return { digits: [], meaning: "" };
  const usual = names ? "the training's" : "MNIST's";
  const pictures = calibration === "normalized" ? `distorted copies of ${usual} pictures` : `pictures like ${usual}`;
  const meaning =
    `A ${kind()} is plausible, and has a ring, if its probability is high enough. The limit is set so that the right ` +
    `${kind()} of ${share(coverage)} of ${pictures} has a ring. For other pictures, the share may be lower.`;
  return { digits: set, meaning };
}

/** Round down, and never to 100 %: 0.99996 becomes >99.9 %. */
export function percent(p) {
  if (p > 0.999) return ">99.9\u00a0%";
  return `${(Math.floor(p * 1000 + 1e-6) / 10).toFixed(1)}\u00a0%`;
}

/** Return a number with two decimals and a real minus. */
export function decimal(value) {
  return value.toFixed(2).replace("-", "−");
}

function share(coverage) {
  return `${Number((100 * coverage).toFixed(2))}\u00a0%`;
}

function kind() {
  return names ? "class" : "digit";
}

function a(digit) {
  if (names) return label(digit);
  return `${digit === 8 ? "an" : "a"} ${label(digit)}`;
}
