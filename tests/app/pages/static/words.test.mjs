// What the page says: verdicts, problems and descriptions that never claim more than the service replied.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { place, preparation } from "../../../../app/pages/static/answer.js";
import { spoken } from "../../../../app/pages/static/number.js";
import { describe } from "../../../../app/pages/static/saliency.js";
import { fileName } from "../../../../app/pages/static/take.js";
import {
  label,
  linesOf,
  marksSentence,
  nameClasses,
  percent,
  plausible,
  problemSentence,
  summary,
  verdict,
  withDoubt,
} from "../../../../app/pages/static/verdict.js";

const DIGITS = [..."0123456789"];

const plain = (text) => text.replaceAll("\u00a0", " ");

/** Return a digit of a reply, from the probabilities of some classes. */
function answer(probabilities, fields = {}, count = 10) {
  const all = Array.from({ length: count }, (_, digit) => probabilities[digit] ?? 0);
  const probability = Math.max(...all);
  return { digit: all.indexOf(probability), probability, probabilities: all, ...fields };
}

/** Return a digit of a reply with its prediction set at a coverage of 99 %, accepted if it is the only plausible one. */
function answerWithSet(probabilities, set, fields = {}) {
  const { digit } = answer(probabilities);
  const accept = set.length === 1 && set[0] === digit && fields.is_digit !== false;
  return answer(probabilities, { prediction_set: set, coverage: 0.99, is_digit: true, accept, ...fields });
}

afterEach(() => nameClasses(DIGITS));

const ALL = [...Array(10).keys()];

for (const [reply, words] of [
  [answer({ 4: 0.6, 9: 0.4 }), "unsure: 4? Check this: it looks most like a 4 (60.0 %), and this model has no calibration that could rule out another digit."],
  [answer({ 7: 1 }), "unsure: 7? Check this: it looks most like a 7 (>99.9 %), and this model has no calibration that could rule out another digit."],
  [answer({ 4: 0.6, 9: 0.4 }, { accept: true }), "answer: 4 Probably a 4: 60.0 % sure."],
  [answer({ 4: 0.9, 9: 0.1 }, { accept: true }), "answer: 4 A 4, 90.0 % sure."],
  [answerWithSet({ 8: 0.99996 }, [8]), "answer: 8 An 8, >99.9 % sure. Only 8 is plausible."],
  [
    answerWithSet({ 4: 0.7, 7: 0.1, 9: 0.2 }, [4, 7, 9]),
    "unsure: 4? Not sure: it looks most like a 4 (70.0 %), but this model's calibration cannot rule out a 9 or a 7.",
  ],
  [
    answerWithSet({ 1: 0.997, 7: 0.001 }, [1, 4]),
    "unsure: 1? Not sure: it looks most like a 1 (99.7 %), but this model's calibration cannot rule out a 4.",
  ],
  [
    answerWithSet({ 7: 0.99996 }, [3, 7, 8]),
    "unsure: 7? Not sure: it looks most like a 7 (>99.9 %), but this model's calibration cannot rule out a 3 or an 8.",
  ],
  [
    answerWithSet({ 4: 0.7, 9: 0.3 }, [9]),
    "unsure: 4? Not sure: it looks most like a 4 (70.0 %), but this model's calibration rules out all but a 9.",
  ],
  [
    answerWithSet({ 7: 0.995 }, [7], { accept: false }),
    "unsure: 7? Not sure: it looks most like a 7 (99.5 %), but the picture shows more than that.",
  ],
  [
    answerWithSet({ 2: 0.995 }, [2], { accept: false, doubts: ["dotted", "dotted", "edge"] }),
    "unsure: 2? Not sure: it looks most like a 2 (99.5 %), but it has a dot above or below it, and an edge of the picture cuts it off.",
  ],
  [answerWithSet({ 4: 0.987 }, [4], { is_digit: false, isUnfinished: true }), "unsure: 4? So far, it may be a 4 (98.7 %)."],
  [
    answerWithSet(Array(10).fill(0.1), ALL),
    "unsure: 0? Not sure: it looks most like a 0 (10.0 %), but this model's calibration cannot rule out any other digit.",
  ],
  [
    answerWithSet({ 4: 0.651, 9: 0.302 }, []),
    "unsure: 4? Not sure: it looks most like a 4 (65.1 %), but no digit is probable enough for this model's calibration.",
  ],
  [
    answerWithSet({ 4: 0.987 }, [4], { is_digit: false }),
    "stranger: □? This does not look like a digit. The nearest is 4 (98.7 %).",
  ],
]) {
  test(`an answer is put into words: ${words}`, () => {
    const { state, digit, sentence, more } = verdict(reply);

    assert.equal(plain(`${state}: ${digit} ${sentence} ${more}`).trim(), words);
  });
}

test("a model of other classes is described by their names", () => {
  assert.equal(nameClasses(DIGITS), false);
  assert.equal(nameClasses(["circle", "square"]), true);

  const sure = answer({ 0: 0.05, 1: 0.95 }, { accept: true }, 2);
  const unchecked = answer({ 0: 0.05, 1: 0.95 }, {}, 2);
  const unsure = answer({ 0: 0.55, 1: 0.45 }, { prediction_set: [], coverage: 0.9, accept: false }, 2);

  assert.deepEqual([label(0), label(1)], ["circle", "square"]);
  assert.equal(plain(verdict(sure).sentence), "square, 95.0 % sure.");
  assert.equal(plain(verdict(unsure).sentence), "Not sure: it looks most like circle (55.0 %), but no class is probable enough for this model's calibration.");
  assert.equal(plain(verdict(unchecked).sentence), "Check this: it looks most like square (95.0 %), and this model has no calibration that could rule out another class.");
  assert.match(verdict({ ...unsure, prediction_set: [0, 1] }).sentence, /but this model's calibration cannot rule out square\.$/);
  assert.equal(verdict({ ...sure, is_digit: false }).sentence, "This looks like none of the classes.");
  assert.match(plausible({ prediction_set: [0], coverage: 0.9 }).meaning, /pictures like the training's has/);
  assert.match(problemSentence({ status: 422, detail: "no ink" }, false), /shows no drawing/);
});

test("a probability is rounded down and never to 100 %", () => {
  const shown = [0, 0.0009, 0.1234, 0.59999, 0.999, 0.9991, 1].map((p) => plain(percent(p)));

  assert.deepEqual(shown, ["0.0 %", "0.0 %", "12.3 %", "59.9 %", "99.9 %", ">99.9 %", ">99.9 %"]);
});

test("a number is summed up with its unsure digits", () => {
  const digits = (...unsure) => unsure.map((is) => ({ accept: !is, line: 0 }));
  const [one, other] = digits(true, true);
  const stranger = { ...other, is_digit: false };

  assert.equal(summary({ digits: digits(false, false) }), "2 digits, none of them unsure.");
  assert.equal(summary({ digits: [one, { ...other, line: 1 }] }), "2 digits in 2 lines, all of them unsure.");
  assert.match(summary({ digits: digits(true, false) }), /^2 digits\. 1 of them is unsure, marked with “\?”\.$/);
  assert.match(summary({ digits: digits(true, true, false) }), /2 of them are unsure/);
  assert.match(summary({ digits: [...digits(false), stranger] }), /marked with “\?”\. “□” does not look like a digit\.$/);
});

const at = (after, kind = "separator", line = 0) => ({ kind, line, after, box: { x: 0, y: 0, width: 1, height: 1 } });

for (const [what, marks, sentence, ignored = sentence] of [
  ["nothing", [], ""],
  ["a letter", [at(1, "other")], "1 mark was not read."],
  ["a letter and a dash before the first digit", [at(0, "other"), at(0)], "2 marks were not read."],
  ["a comma behind the last digit", [at(2)], "1 mark was not read."],
  ["a comma between digits", [at(1)], "1 separator was not read.", "1 separator was ignored."],
  ["two commas and a letter", [at(1), at(1, "separator", 1), at(0, "other")],
    "1 mark was not read. 2 separators were not read.", "1 mark was not read. 2 separators were ignored."],
]) {
  test(`a sentence says what was not read: ${what}`, () => {
    const digits = [0, 0, 1, 1].map((line) => ({ line }));

    const sentences = [false, true].map((ignoresSeparators) => marksSentence({ digits, marks, ignoresSeparators }));

    assert.deepEqual(sentences, [sentence, ignored]);
  });
}

test("a digit beside marks that were not read is unsure, and the digits of a number keep their own doubts", () => {
  const seven = { ...answerWithSet({ 7: 1 }, [7]), line: 0 };
  const shown = (reading) => linesOf(withDoubt(reading).digits);

  const [only] = withDoubt({ digits: [seven], accept: false }).digits;

  assert.equal(linesOf([only])[0], "7?");
  assert.equal(plain(verdict(only).sentence), "Not sure: it looks most like a 7 (>99.9 %), but the picture shows more than that.");
  assert.deepEqual(shown({ digits: [seven], accept: true }), ["7"]);
  assert.deepEqual(shown({ digits: [seven, seven], accept: false }), ["77"]);
});

test("a digit of a number has a place and a description for screen readers", () => {
  const digits = (...lines) => lines.map((line) => ({ line }));

  assert.equal(place({ digits: digits(0, 0, 0, 0, 0) }, 4), "Digit 5 of 5");
  assert.equal(place({ digits: digits(0, 0, 0, 1, 1) }, 4), "Line 2, digit 2");
  assert.equal(plain(spoken(answer({ 4: 1 }, { accept: true }))), "4: A 4, >99.9 % sure.");
  assert.match(plain(spoken(answerWithSet({ 4: 1 }, [4], { is_digit: false }))), /^□\?: This does not look like a digit\. The nearest/);
  const unsure = answerWithSet({ 0: 1 }, [0, 1], { accept: false });
  assert.match(plain(spoken(unsure)), /^0\?: Not sure: .* cannot rule out a 1\.$/);
});

test("the name of a file has all digits, with words for their doubts if it is short enough, or none", () => {
  const [ten, unsure] = ["0123456789", "0?1?2?3?4?5?6?7?8?9?"];

  for (const [text, name] of [
    ["304", "304"],
    ["3?□?4", "3-unsure-no-digit-4"],
    ["□?", "no-digit"],
    [unsure, [...ten].map((digit) => `${digit}-unsure`).join("-")],
    [unsure.repeat(6), ten.repeat(6)],
    [unsure.repeat(22), "drawing"],
  ]) {
    assert.equal(fileName(text), `${name}.png`);
  }
});

test("the preparation of a picture is one sentence", () => {
  assert.equal(preparation([]), "Used unchanged.");
  assert.equal(preparation(["resized"]), "Resized to 28x28.");
  assert.equal(preparation(["cropped", "centered"]), "Cropped and centred.");
  const sentence = "Inverted to light ink on dark, turned round and strokes thinned.";
  assert.equal(preparation(["inverted", "turned_round", "thinned"]), sentence);
});

test("a saliency is described by the ninths with the most support and opposition", () => {
  const side = [...Array(28).keys()];
  const saliency = (points) => side.map((y) => side.map((x) => points[`${x},${y}`] ?? 0));

  assert.equal(
    describe("4", saliency({ "25,2": 0.5, "14,26": -2 })),
    "Blue supports 4, mostly at the upper right. Orange speaks against 4, mostly at the bottom.",
  );
  const support = "Blue supports 4, mostly on the left. Nothing speaks against 4.";
  assert.equal(describe("4", saliency({ "9,14": 1 })), support);
  const against = "Nothing supports 4. Orange speaks against 4, mostly in the middle.";
  assert.equal(describe("4", saliency({ "10,14": -1 })), against);
});

test("a problem is explained with what the user can do", () => {
  const soon = " The page tries again soon, or immediately after your next stroke.";
  for (const [status, detail, retries, sentence] of [
    [0, "", true, `The service cannot be reached.${soon}`],
    [-1, "", false, "The service took too long to answer. Your next stroke tries again."],
    [401, "", false, "The service requires an API key."],
    [503, "", true, `The service is not ready yet.${soon}`],
    [503, "no usable version", true, `The service is not ready yet: no usable version.${soon}`],
    [413, "expected at most 9 digits", false, "This picture has too many digits: expected at most 9 digits."],
    [413, "at most 9 pixels", false, "This picture is too large: at most 9 pixels."],
    [415, "HEIC", false, "This kind of file cannot be read: HEIC. Save it as JPEG or PNG, and choose that file."],
    [422, "found no ink", false, "This picture shows no digit. Draw one that is large and clear."],
    [422, "found no digit", false, "This picture shows no digit. Draw one that is large and clear."],
    [422, "a broken PNG", false, "This picture cannot be read: a broken PNG."],
    [500, "a bug", false, "The service could not answer (status 500): a bug."],
    [502, "", true, `The service could not answer (status 502).${soon}`],
  ]) {
    assert.equal(problemSentence({ status, detail }, retries), sentence);
  }
});
