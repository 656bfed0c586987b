// The results of a stack of pictures: what the table says about each, and all of them as a CSV file.

import { place } from "./answer.js";
import {
  character,
  hasOwnClasses,
  isClass,
  isStranger,
  isUnsure,
  label,
  linesOf,
  marksSentence,
  separated,
  summary,
  verdict,
  withDoubt,
} from "./verdict.js";

// Those of `digits read --output`, or of `digits predict --output` if the model's classes are not the digits, and who decided.
const NUMBER_COLUMNS =
  "path text digit_count least_probability ambiguous_count non_digit_count mark_count left_out accept version error checked_by".split(" ");
const CLASS_COLUMNS =
  "path digit class_name probability prediction_set coverage calibration is_known novelty accept preprocessing left_out version error checked_by".split(" ");
const FLOATS = ["least_probability", "probability", "coverage", "novelty"];

const LINE_BREAK = " / "; // in the table, as `digits read` prints it
const SEPARATOR = "·"; // in what the table shows

/**
 * @typedef {object} Doubt a part of a text that a person should look at
 * @property {number} start
 * @property {number} end
 * @property {string} reason
 * @property {number} [digit] its index in the reading, if the doubt is about one digit
 * @property {boolean} [isStranger] whether it does not look like a digit, or like none of the classes
 * @typedef {object} Result
 * @property {string} text with signs of doubt
 * @property {string[]} shown the parts of the text between separators, as the table shows them
 * @property {string} guess the text without them, as a person corrects it
 * @property {Doubt[]} doubts in the order of the guess
 * @property {string} state "sure", "check", "failed" or "checked"
 * @property {string} reason
 * @property {object} cells the values of the CSV file by column, except for the path
 */

/**
 * Return the result of a picture that was answered.
 *
 * @param {object} reply of `POST /read`, or of `POST /predict` if the model's classes are not the digits
 * @returns {Result}
 */
export function answered(reply) {
  const { version } = reply.model;
  if (!reply.digits) {
    const text = character(reply);
    const guess = reply.class_name ?? label(reply.digit);
    const { sentence: reason } = verdict(reply);
    return result(!isUnsure(reply), { text, guess, reason, isNoClass: isStranger(reply), cells: { ...reply, version } });
  }
  const reading = withDoubt(reply);
  const { digits, marks, left_out, accept } = reading;
  const count = (field, isCounted) => (field in digits[0] ? digits.filter(isCounted).length : null);
  const cells = {
    text: linesOf(digits).join("\n"),
    digit_count: digits.length,
    least_probability: Math.min(...digits.map(({ probability }) => probability)),
    ambiguous_count: count("prediction_set", ({ digit, prediction_set: set }) => set.length !== 1 || set[0] !== digit),
    non_digit_count: count("is_digit", ({ is_digit: isDigit }) => !isDigit),
    mark_count: marks.length,
    left_out,
    accept,
    version,
  };
  const text = linesOf(digits).join(LINE_BREAK);
  const behind = separated(reading);
  const signs = linesOf(digits, (digit) => `${behind.includes(digit) ? SEPARATOR : ""}${character(digit)}`);
  const shown = signs.join(LINE_BREAK).split(SEPARATOR);
  const guess = linesOf(digits, ({ digit }) => label(digit)).join(LINE_BREAK);
  const doubts = doubtsOf(digits);
  let words = digits.length === 1 ? verdict(digits[0]).sentence : summary({ digits });
  if (doubts.length === 1) words = doubts[0].reason;
  const reason = `${words} ${marksSentence(reading)}`.trim();
  return result(!isUnsure(reply), { text, shown, guess, doubts, reason, cells });
}

/** Return the result of an answer, on which the model itself has decided if it is sure. */
function result(isSure, { text, shown = [text], guess, doubts = [], reason, isNoClass = false, cells }) {
  if (!isSure && doubts.length === 0) doubts = [{ start: 0, end: guess.length, reason, isStranger: isNoClass }];
  const state = isSure ? "sure" : "check";
  return { text, shown, guess, doubts, reason, state, cells: { ...cells, checked_by: isSure ? "model" : "" } };
}

/** Return the digits that the service doubts, each with its place in the guess. */
function doubtsOf(digits) {
  return digits.flatMap((digit, index) => {
    if (!isUnsure(digit)) return [];
    const start = index + digit.line * LINE_BREAK.length;
    const where = digits.length > 1 ? `${place({ digits }, index)}. ` : "";
    const reason = `${where}${verdict(digit).sentence}`;
    return [{ start, end: start + 1, reason, digit: index, isStranger: isStranger(digit) }];
  });
}

/**
 * Return the result of a picture without an answer.
 *
 * @param {string} reason a sentence
 * @param {string} error the message of the service, if it has answered
 * @returns {Result}
 */
export function failed(reason, error = reason) {
  return { text: "", shown: [], guess: "", doubts: [{ start: 0, end: 0, reason }], state: "failed", reason, cells: { error } };
}

/** Return why a text cannot be an answer, or "". */
export function refusal(text) {
  const isAllowed = hasOwnClasses() ? isClass(text) : linesIn(text).every((line) => /^\d+$/.test(line));
  if (text === "" || isAllowed) return "";
  const expected = hasOwnClasses() ? `the name of a class, such as “${label(0)}”` : "only digits, and “/” between lines";
  return `expected ${expected}, received “${text}”.`;
}

/** Return the lines of a text that a person has written. The name of a class has one. */
export function linesIn(text) {
  return hasOwnClasses() ? [text] : text.split(/[/\n]/).map((line) => line.trim());
}

/**
 * Return the result of a picture that a person has read.
 *
 * @param {string} text that is not refused
 * @param {Result | null} reading what the service has said
 * @returns {Result}
 */
export function corrected(text, reading) {
  const lines = linesIn(text);
  const { version, error } = reading?.cells ?? {};
  const cells = { text: lines.join("\n"), class_name: text, accept: true, version, error, checked_by: "person" };
  if (!isOfClass(reading)) cells.digit_count = text.replace(/\D/g, "").length;
  text = lines.join(LINE_BREAK);
  return { text, shown: [text], guess: text, doubts: [], state: "checked", reason: "by you", cells };
}

/**
 * @param {{path: string, result: Result | null, expected?: string, grade?: string}[]} rows without a result if the picture
 *   was not read
 * @returns {string} a CSV file as RFC 4180 describes it, and as the command writes it
 */
export function toCsv(rows) {
  const hasClasses = rows.some(({ result }) => isOfClass(result));
  const grades = rows.some(({ grade }) => grade) ? ["expected", "grade"] : [];
  const columns = [...(hasClasses ? CLASS_COLUMNS : NUMBER_COLUMNS), ...grades];
  const lines = rows.map(({ path, result, expected, grade }) => {
    const cells = { path, ...(result?.cells ?? { error: "not read" }), expected: expected && linesIn(expected).join("\n"), grade };
    return columns.map((column) => quoted(cell(column, cells[column])));
  });
  return [columns, ...lines].map((cells) => `${cells.join(",")}\r\n`).join("");
}

/** Return whether a model of other classes than the digits has answered. */
function isOfClass(result) {
  return result !== null && "class_name" in result.cells && !("digit_count" in result.cells);
}

function cell(column, value) {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.join(" ");
  if (typeof value === "string" && /^[=+@-]/.test(value)) return `'${value}`; // which a spreadsheet would compute
  return FLOATS.includes(column) && Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function quoted(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
