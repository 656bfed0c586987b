// The results of a stack of pictures: what the table says about each, and all of them as a CSV file.

import { place } from "./answer.js";
import { character, isUnsure, label, leftOutSentence, summary, verdict } from "./verdict.js";

// Those of `digits read --output`, or of `digits predict --output` if the model's classes are not the digits, and who decided.
const NUMBER_COLUMNS =
  "path text digit_count least_probability ambiguous_count non_digit_count left_out accept version error checked_by".split(" ");
const CLASS_COLUMNS =
  "path digit class_name probability prediction_set coverage calibration is_known novelty accept preprocessing left_out version error checked_by".split(" ");
const FLOATS = ["least_probability", "probability", "coverage", "novelty"];

const LINE_BREAK = " / "; // in the table, as `digits read` prints it

/**
 * @typedef {{text: string, state: string, isSure: boolean, reason: string, cells: object}} Result `state` is "sure",
 *   "check", "failed" or "checked"; `cells` has the values of the CSV file by column, except for the path
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
    return result(reply.class_name ?? label(reply.digit), !isUnsure(reply), verdict(reply).sentence, { ...reply, version });
  }
  const { digits, left_out, accept } = reply;
  const count = (field, isCounted) => (field in digits[0] ? digits.filter(isCounted).length : null);
  const cells = {
    text: reply.text,
    digit_count: digits.length,
    least_probability: Math.min(...digits.map(({ probability }) => probability)),
    ambiguous_count: count("prediction_set", ({ digit, prediction_set: set }) => set.length !== 1 || set[0] !== digit),
    non_digit_count: count("is_digit", ({ is_digit: isDigit }) => !isDigit),
    left_out,
    accept,
    version,
  };
  const lines = reply.lines.map((_, line) => digits.filter((digit) => digit.line === line).map(character).join(""));
  return result(lines.join(LINE_BREAK), !isUnsure(reply), reasonFor(reply), cells);
}

/** Return the result of an answer, on which the model itself has decided if it is sure. */
function result(text, isSure, reason, cells) {
  return { text, state: isSure ? "sure" : "check", isSure, reason, cells: { ...cells, checked_by: isSure ? "model" : "" } };
}

/**
 * Return the result of a picture without an answer.
 *
 * @param {string} reason a sentence
 * @param {string} error the message of the service, if it has answered
 * @returns {Result}
 */
export function failed(reason, error = reason) {
  return { text: "", state: "failed", isSure: false, reason, cells: { error } };
}

/**
 * Return the result of a picture that a person has read.
 *
 * @param {string} text as the table shows it
 * @param {Result | null} reading what the service has said
 * @returns {Result}
 */
export function corrected(text, reading) {
  const lines = text.split("/").map((line) => line.trim());
  const { version, error } = reading?.cells ?? {};
  const cells = { text: lines.join("\n"), class_name: text, accept: true, version, error, checked_by: "person" };
  if (!isOfClass(reading)) cells.digit_count = text.replace(/\D/g, "").length;
  return { text, state: "checked", isSure: true, reason: "by you", cells };
}

/**
 * @param {{path: string, result: Result | null}[]} rows without a result if the picture was not read
 * @returns {string} a CSV file as RFC 4180 describes it, and as the command writes it
 */
export function toCsv(rows) {
  const hasClasses = rows.some(({ result }) => isOfClass(result));
  const columns = hasClasses ? CLASS_COLUMNS : NUMBER_COLUMNS;
  const lines = rows.map(({ path, result }) => {
    const cells = { path, ...(result?.cells ?? { error: "not read" }) };
    return columns.map((column) => quoted(cell(column, cells[column])));
  });
  return [columns, ...lines].map((cells) => `${cells.join(",")}\r\n`).join("");
}

/** Say how sure the answer is, or which digit is in doubt and what else was left out. */
function reasonFor(reading) {
  const { digits, left_out: leftOut } = reading;
  const unsure = digits.findIndex(isUnsure);
  let words = summary(reading, "");
  if (digits.length === 1) words = verdict(digits[0]).sentence;
  else if (digits.filter(isUnsure).length === 1) words = `${place(reading, unsure)}. ${verdict(digits[unsure]).sentence}`;
  return `${words} ${leftOutSentence(leftOut)}`.trim();
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
