// The expected answers of a stack: one for all pictures, or one for each, and which of the answers are right.

import { linesIn, refusal } from "./rows.js";

const HEADINGS = ["path", "picture", "file", "name"]; // of the first column, if the first line names the columns

/**
 * Return what the table should compare its answers with.
 *
 * @param {string} text of one answer, or of a CSV file: its first column names pictures, and its column `expected`, or
 *   otherwise the second one, has their answers
 * @returns {{of: (path: string) => string | undefined, problem: string}} the answer of a picture, and why a row is not used
 */
export function expectedAnswers(text) {
  const rows = cells(text.trim());
  if (rows.length === 1 && rows[0].length === 1) {
    const [answer] = rows[0];
    const problem = refusal(answer);
    return { of: () => (problem ? undefined : answer || undefined), problem: problem && `Not used: ${problem}` };
  }
  const hasHeadings = HEADINGS.includes(rows[0][0].toLowerCase());
  const column = hasHeadings ? Math.max(1, rows[0].indexOf("expected")) : 1;
  const [paths, names] = [new Map(), new Map()];
  let problem = "";
  for (const [index, row] of rows.entries()) {
    const [path, answer = ""] = [row[0], row[column]];
    if ((hasHeadings && index === 0) || answer === "") continue;
    const refused = refusal(answer) || (paths.has(path) ? `“${path}” has an answer already.` : "");
    if (refused) {
      problem ||= `Row ${index + 1} is not used: ${refused}`;
      continue;
    }
    paths.set(path, answer);
    names.set(baseName(path), names.has(baseName(path)) ? undefined : answer);
  }
  // Only a picture of a folder has one in its path: the browser does not tell where a chosen file is from.
  return { of: (path) => paths.get(path) ?? (path.includes("/") ? paths.get(baseName(path)) : names.get(path)), problem };
}

/**
 * @param {import("./rows.js").Result | null} result of a picture
 * @param {string | undefined} expected answer
 * @returns {"" | "right" | "wrong" | "open"} An answer that a person should check is open.
 */
export function grade(result, expected) {
  if (expected === undefined) return "";
  if (!["sure", "checked"].includes(result?.state)) return "open";
  return linesIn(result.guess).join() === linesIn(expected).join() ? "right" : "wrong";
}

/** Return the name of a file at the end of its path. */
export function baseName(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Return the rows of a CSV file. The first line tells which sign is between its cells. */
function cells(text) {
  const separator = ["\t", ";"].find((sign) => text.split("\n", 1)[0].includes(sign)) ?? ",";
  const cell = new RegExp(`(?:"((?:[^"]|"")*)"|([^${separator}\r\n]*))(${separator}|\r?\n|\r|$)`, "y");
  const rows = [[]];
  for (;;) {
    const [, quoted, plain, end] = cell.exec(text);
    rows.at(-1).push((quoted?.replaceAll('""', '"') ?? plain).trim());
    if (end === "") return rows;
    if (end !== separator) rows.push([]);
  }
}
