// Answers and problems in words. An answer never claims more certainty than the service does.

const PROBABLE_BELOW = 0.9;
const MOST_IN_HEADING = 5; // names of classes
const STRANGER = "□"; // stands for what does not look like a digit
const DOUBT = "?"; // follows what a person should check

/** What a doubt of the service means, after “but”. */
const DOUBTS = {
  neighbour: "the picture shows more than that",
  dotted: "it has a dot above or below it",
  inside: "there are marks inside of it",
  edge: "an edge of the picture cuts it off",
  solid: "it is a solid shape",
  button: "it looks like a button",
};

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

/** Return the page's heading: the names of the classes as a question, or their number if they are many. */
export function heading() {
  if (names === null) return "Digits";
  if (names.length > MOST_IN_HEADING) return `Which of ${names.length} classes?`;
  return `${listed(names, "disjunction")}?`;
}

/** Return words with “or” (a disjunction) or “and” (a conjunction) before the last one, where British English has no comma. */
export function listed(words, type) {
  return new Intl.ListFormat("en-GB", { type }).format(words);
}

/** Return whether a text names a class. */
export function isClass(text) {
  return names?.includes(text) ?? false;
}

/** Return how a digit or a class is called everywhere on the page. */
export function label(digit) {
  return names?.[digit] ?? String(digit);
}

/** Return a digit of a reply as it is shown, copied, spoken and saved: with a sign of doubt unless the service accepts it. */
export function character(answer) {
  const sign = isStranger(answer) ? STRANGER : (answer.class_name ?? label(answer.digit));
  return isUnsure(answer) ? `${sign}${DOUBT}` : sign;
}

/**
 * Return the lines of a reading, the only text that the page makes of it.
 *
 * @param {object[]} digits of the service's reply
 * @param {(digit: object) => string} write returns the text of one digit
 * @returns {string[]}
 */
export function linesOf(digits, write = character) {
  const lines = Array.from({ length: lineCount(digits) }, () => "");
  for (const digit of digits) lines[digit.line] += write(digit);
  return lines;
}

/** Return a reading whose only digit is unsure if the reading is, because of marks or other doubts. */
export function withDoubt(reading) {
  const [digit, ...others] = reading.digits;
  if (others.length > 0 || !isUnsure(reading)) return reading;
  return { ...reading, digits: [{ ...digit, accept: false, doubts: reading.doubts }] };
}

/** Return a text with words for its signs of doubt, for the name of a file. */
export function inWords(text) {
  return text.replaceAll(`${STRANGER}${DOUBT}`, " no digit ").replaceAll(DOUBT, " unsure ");
}

/** Return how many lines a reading has. */
export function lineCount(digits) {
  return digits.at(-1).line + 1;
}

/** Return whether an answer does not look like a digit, or like none of the classes. */
export function isStranger({ is_digit: isDigit, is_known: isKnown = isDigit, isUnfinished }) {
  return isKnown === false && !isUnfinished;
}

/**
 * @param {object} answer a digit of the service's reply; prediction_set, coverage, is_digit or is_known, and accept are optional.
 *   `isUnfinished` says that it is still being drawn.
 * @returns {{state: string, digit: string, sentence: string, more: string}}
 */
export function verdict(answer) {
  const { digit: best, probabilities, prediction_set: set } = answer;
  const [digit, p] = [character(answer), percent(probabilities[best])];
  if (isStranger(answer)) {
    const sentence = names ? "This looks like none of the classes." : "This does not look like a digit.";
    return { state: "stranger", digit, sentence, more: `The nearest is ${label(best)}\u00a0(${p}).` };
  }
  if (isUnsure(answer)) return { state: "unsure", digit, sentence: doubt(answer), more: "" };
  let sentence = `${names ? label(best) : `A${a(best).slice(1)}`}, ${p} sure.`;
  if (probabilities[best] < PROBABLE_BELOW) sentence = `Probably ${a(best)}: ${p} sure.`;
  return { state: "answer", digit, sentence, more: set ? `Only ${label(best)} is plausible.` : "" };
}

/** Say what is plausible, and why a person should check it: because of the prediction set, or of the service's doubts. */
function doubt(answer) {
  const { digit: best, probabilities, prediction_set: set, doubts = [], isUnfinished } = answer;
  const guess = `${a(best)} (${percent(probabilities[best])})`;
  if (isUnfinished) return `So far, it may be ${guess}.`;
  const likeness = `it looks most like ${guess}`;
  if (!set) return `Check this: ${likeness}, and this model has no calibration that could rule out another ${kind()}.`;
  const rivals = others(answer, set);
  const isAny = rivals.length > 1 && rivals.length === probabilities.length - 1;
  let reason = `this model's calibration cannot rule out ${isAny ? `any other ${kind()}` : listed(rivals.map(a), "disjunction")}`;
  if (set.length === 0) reason = `no ${kind()} is probable enough for this model's calibration`;
  else if (!set.includes(best)) reason = `this model's calibration rules out all but ${listed(rivals.map(a), "disjunction")}`;
  else if (rivals.length === 0) reason = [...new Set(doubts)].map((word) => DOUBTS[word]).join(", and ") || DOUBTS.neighbour;
  return `Not sure: ${likeness}, but ${reason}.`;
}

/** Return the digits that are not the answer, the most probable first. */
function others({ digit: best, probabilities }, digits) {
  return digits.filter((digit) => digit !== best).sort((one, other) => probabilities[other] - probabilities[one]);
}

/** Return whether somebody should check the answer: every one that the service does not accept. */
export function isUnsure({ accept }) {
  return accept !== true;
}

/** Describe a number and its signs of doubt in a few sentences. */
export function summary({ digits }) {
  const unsure = digits.filter(isUnsure).length;
  const lines = lineCount(digits);
  const count = lines > 1 ? `${digits.length} digits in ${lines} lines` : `${digits.length} digits`;
  if (unsure === 0) return `${count}, none of them unsure.`;
  const strangers = digits.some(isStranger) ? ` “${STRANGER}” does not look like a digit.` : "";
  if (unsure === digits.length) return `${count}, all of them unsure.${strangers}`;
  return `${count}. ${unsure} of them ${unsure === 1 ? "is" : "are"} unsure, marked with “${DOUBT}”.${strangers}`;
}

/** Return the digit behind each separator that stands between two digits of a line. */
export function separated({ digits, marks }) {
  return marks.flatMap(({ kind, line, after }) => {
    const behind = digits.filter((digit) => digit.line === line)[after];
    return kind === "separator" && after > 0 && behind ? [behind] : [];
  });
}

/** Say how many marks beside the digits were not read, and what became of the separators between digits. */
export function marksSentence({ digits, marks, ignoresSeparators }) {
  const separators = separated({ digits, marks }).length;
  const count = (number, name, done) => (number > 0 ? `${number} ${name}${number === 1 ? " was" : "s were"} ${done}.` : "");
  const sentences = [count(marks.length - separators, "mark", "not read")];
  sentences.push(count(separators, "separator", ignoresSeparators ? "ignored" : "not read"));
  return sentences.filter(Boolean).join(" ");
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

/** Return what a digit is called with its article, as in "an 8". */
export function a(digit) {
  if (names) return label(digit);
  return `${digit === 8 ? "an" : "a"} ${label(digit)}`;
}
