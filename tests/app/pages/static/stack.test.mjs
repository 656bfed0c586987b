// A stack of pictures: how many are asked about at once, what each row says, and the file of all rows.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { expectedAnswers, grade } from "../../../../app/pages/static/expected.js";
import { Queue } from "../../../../app/pages/static/queue.js";
import { Problem } from "../../../../app/pages/static/requests.js";
import { answered, corrected, failed, refusal, toCsv } from "../../../../app/pages/static/rows.js";
import { nameClasses } from "../../../../app/pages/static/verdict.js";
import { uniquePaths } from "../../../../app/pages/static/zip.js";

const settle = () => new Promise(setImmediate);
const plain = (text) => text.replaceAll("\u00a0", " ");

let asked, problems, queue;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  [asked, problems] = [[], []];
  queue = new Queue(
    (item, { signal }) =>
      new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => reject(new Problem(0)));
        asked.push({ item, answer: () => settle(resolve()), fail: (...problem) => settle(reject(new Problem(...problem))) });
      }),
    (item, { status }) => problems.push([item, status]),
    () => {},
  );
});

afterEach(() => mock.timers.reset());

const items = () => asked.map(({ item }) => item).join("");

async function wait(milliseconds) {
  mock.timers.tick(milliseconds);
  await settle();
}

test("three items are asked about at once, and the next when one has its answer", async () => {
  queue.add([..."abcdef"]);
  assert.equal(items(), "abc");

  asked[1].answer();
  await settle();

  assert.equal(items(), "abcd");
  queue.add(["g"]);
  for (let index = 0; index < 7; index++) {
    asked[index].answer();
    await settle();
  }
  assert.deepEqual([items(), queue.isBusy], ["abcdefg", false]);
});

for (const [status, retryAfter, seconds] of [[0, null, 1], [429, 7, 7], [503, 3, 3], [503, 90, 30]]) {
  test(`all items wait ${seconds} s after a status of ${status} with Retry-After ${retryAfter}`, async () => {
    queue.add([..."abcde"]);
    for (const index of [0, 1, 2]) asked[index].fail(status, "", retryAfter);
    await settle();

    await wait(1000 * seconds - 1);
    assert.deepEqual([items(), queue.problem.status], ["abc", status]);
    await wait(1);

    assert.equal(items(), "abcdea"); // the items that failed come last
    asked[3].answer();
    await settle();
    assert.deepEqual([queue.problem, problems], [null, []]);
  });
}

test("a service that stays away is asked after 1, 2 and 4 seconds, however many requests fail at once", async () => {
  queue.add([..."abc"]);

  for (const [round, seconds] of [1, 2, 4].entries()) {
    for (const each of asked.slice(3 * round)) each.fail(502);
    await settle();
    await wait(1000 * seconds - 1);
    assert.equal(asked.length, 3 * round + 3);
    await wait(1);
    assert.equal(asked.length, 3 * round + 6);
  }
});

for (const [what, end] of [["a stop", () => queue.stop()], ["a missing key", () => asked[0].fail(401)]]) {
  test(`nothing is asked after ${what} until the queue is resumed`, async () => {
    queue.add([..."abcd"]);
    end();
    await settle();
    await wait(60_000);
    assert.deepEqual([items(), queue.isStopped, queue.isBusy, problems], ["abc", true, true, []]);

    queue.resume();

    assert.deepEqual([...items()].slice(3).sort().join(""), "abc");
  });
}

test("a queue that was cleared asks about new items only", async () => {
  queue.add([..."abcd"]);
  queue.clear();
  await settle();

  queue.add(["e"]);

  assert.equal(items(), "abce");
});

const MODEL = { name: "mnist-dense", version: 3 };
const digit = (value, fields = {}) => {
  const probabilities = Array.from({ length: 10 }, (_, each) => Number(each === value));
  return { digit: value, probability: 1, probabilities, prediction_set: [value], coverage: 0.99, is_digit: true, accept: true, ...fields };
};
const unsure = { prediction_set: [4, 9], probability: 0.5, accept: false };

/** Return a reply of `POST /read` with these lines of digits. */
function number(...lines) {
  const digits = lines.flatMap((each, line) => each.map((one) => ({ ...one, line })));
  const texts = lines.map((each) => each.map((one) => one.digit).join(""));
  const accept = digits.every((one) => one.accept);
  return { text: texts.join("\n"), lines: texts, digits, marks: [], left_out: 0, model: MODEL, accept };
}

/** Return the reply with a mark at these places, which is not accepted. */
function beside(reply, kind, ...places) {
  const marks = places.map(([line, after]) => ({ kind, line, after, box: { x: 0, y: 0, width: 9, height: 9 } }));
  return { ...reply, marks, left_out: kind === "other" ? marks.length : 0, accept: false };
}

const NOT_SURE = "Not sure: it looks most like a 4 (60.0 %), but this model's calibration cannot rule out a 9.";

const MORE = "Not sure: it looks most like a 7 (>99.9 %), but the picture shows more than that.";

const nine = { 4: 0.6, 9: 0.4 };
const probabilities = Array.from({ length: 10 }, (_, each) => nine[each] ?? 0);

for (const [reply, words] of [
  [number([digit(7)]), "7 sure: A 7, >99.9 % sure."],
  [number([digit(4, { ...unsure, probabilities })]), `4? check: ${NOT_SURE}`],
  [number([digit(5, { is_digit: false, accept: false })]), "□? check: This does not look like a digit."],
  [number([digit(4), digit(2)]), "42 sure: 2 digits, none of them unsure."],
  [
    number([digit(2), digit(4, { ...unsure, probabilities })], [digit(1)]),
    `24? / 1 check: Line 1, digit 2. ${NOT_SURE}`,
  ],
  [number([digit(4, unsure), digit(2, unsure), digit(1)]), "4?2?1 check: 3 digits. 2 of them are unsure, marked with “?”."],
  [beside(number([digit(7)]), "other", [0, 1]), `7? check: ${MORE} 1 mark was not read.`],
  [beside(number([digit(7)]), "separator", [0, 0], [0, 1]), `7? check: ${MORE} 2 marks were not read.`],
  [{ ...number([digit(7)]), accept: false }, `7? check: ${MORE}`],
  [beside(number([digit(7), digit(7)]), "other", [0, 1]), "77 check: 2 digits, none of them unsure. 1 mark was not read."],
  [beside(number([digit(7), digit(7)]), "separator", [0, 1]), "77 check: 2 digits, none of them unsure. 1 separator was not read."],
  [
    { ...beside(number([digit(7), digit(7)]), "separator", [0, 1]), accept: true, ignoresSeparators: true },
    "77 sure: 2 digits, none of them unsure. 1 separator was ignored.",
  ],
  [
    number([digit(4), digit(5, { is_digit: false, accept: false })]),
    "4□? check: Digit 2 of 2. This does not look like a digit.",
  ],
]) {
  test(`a row has the text, the verdict and its reason: ${words}`, () => {
    const { text, state, reason } = answered(reply);

    assert.equal(plain(`${text} ${state}: ${reason}`), words);
  });
}

for (const [what, result, guess, parts] of [
  ["every digit that is not accepted", answered(number([digit(2), digit(4, unsure)], [digit(1, { is_digit: false, accept: false })])), "24 / 1", ["4", "1"]],
  ["a digit beside a mark that was not read", answered(beside(number([digit(7)]), "other", [0, 1])), "7", ["7"]],
  ["the whole text if the doubt is about no digit of it", answered(beside(number([digit(4), digit(2)]), "separator", [0, 1])), "42", ["42"]],
  ["nothing of a text that is accepted", answered(number([digit(7)])), "7", []],
  ["the empty text of a failure", failed("This picture cannot be read."), "", [""]],
]) {
  test(`a person is asked about ${what}`, () => {
    const { doubts } = result;

    assert.equal(result.guess, guess);
    assert.deepEqual(doubts.map(({ start, end }) => guess.slice(start, end)), parts);
  });
}

for (const [text, isSaved] of [["9525", true], ["27 / 18", true], ["27/18", true], ["27\n18", true], ["", true], ["/", false], [" / ", false], ["9//5", false], ["9525/", false], ["/9525", false], ["abc", false], ["95□5", false], ["95?", false], ["-4", false], ["95 25", false], ["１２", false]]) {
  test(`the text “${text}” is ${isSaved ? "saved" : "refused"}`, () => {
    assert.equal(refusal(text), isSaved ? "" : `expected only digits, and “/” between lines, received “${text}”.`);
  });
}

test("a separator is shown between its digits, and is no part of the text", () => {
  const reply = number([digit(1), digit(2, { accept: false }), digit(0)], [digit(7), digit(8), digit(9)]);

  const { text, shown, guess, cells } = answered(beside(reply, "separator", [0, 0], [0, 2], [1, 1], [1, 1], [1, 3]));

  assert.deepEqual(shown, ["12?", "0 / 7", "89"]);
  assert.deepEqual([text, guess, cells.text], ["12?0 / 789", "120 / 789", "12?0\n789"]);
});

test("lines are saved in one spelling", () => {
  for (const text of ["27/18", "27 / 18", "27  /18"]) {
    const { text: shown, cells } = corrected(text, null);

    assert.deepEqual([shown, cells.text], ["27 / 18", "27\n18"]);
  }
});

test("a person may name only a class of a model of other classes", () => {
  nameClasses(["circle", "square", "n/a"]);

  assert.deepEqual(["square", "n/a", ""].map(refusal), ["", "", ""]);
  assert.equal(corrected("n/a", null).text, "n/a");
  assert.equal(refusal("abc"), "expected the name of a class, such as “circle”, received “abc”.");
  nameClasses([..."0123456789"]);
});

test("a file has the columns of digits read and who decided, quoted as RFC 4180 says", () => {
  const old = number([{ digit: 7, probability: 1, probabilities: digit(7).probabilities }]);
  const rows = [
    { path: 'a "b", c.png', result: answered(number([digit(0), digit(4, unsure)], [digit(1)])) },
    { path: "=1+1.png", result: answered(number([digit(7)])) },
    { path: "no.png", result: failed("This picture shows no digit.", "found no ink") },
    { path: "diary.txt", result: failed("“diary.txt” is empty.") },
    { path: "seven.png", result: corrected("04 / 7", answered(number([digit(4, unsure)]))) },
    { path: "empty.png", result: corrected("", failed("This picture shows no digit.", "found no ink")) },
    { path: "later.png", result: null },
    { path: "old.png", result: answered({ ...old, accept: undefined }) },
    { path: "marks.png", result: answered(beside(number([digit(7)]), "other", [0, 1])) },
    { path: "dates.png", result: answered({ ...beside(number([digit(1), digit(2)]), "separator", [0, 1]), accept: true }) },
  ];

  assert.equal(
    toCsv(rows),
    [
      "path,text,digit_count,least_probability,ambiguous_count,non_digit_count,mark_count,left_out,accept,version,error,checked_by",
      '"a ""b"", c.png","04?\n1",3,0.5,1,0,0,0,false,3,,',
      "'=1+1.png,7,1,1.0,0,0,0,0,true,3,,model",
      "no.png,,,,,,,,,,found no ink,",
      "diary.txt,,,,,,,,,,“diary.txt” is empty.,",
      'seven.png,"04\n7",3,,,,,,true,3,,person',
      "empty.png,,0,,,,,,true,,found no ink,person",
      "later.png,,,,,,,,,,not read,",
      "old.png,7?,1,1.0,,,0,0,,3,,",
      "marks.png,7?,1,1.0,0,0,1,1,false,3,,",
      "dates.png,12,2,1.0,0,0,1,0,true,3,,model",
      "",
    ].join("\r\n"),
  );
});

test("a file about other classes has the columns of digits predict and who decided", () => {
  const reply = { digit: 1, class_name: "square", probability: 0.75, probabilities: [0.25, 0.75], prediction_set: [0, 1] };
  const reading = answered({ ...reply, coverage: 0.99, calibration: "mnist", preprocessing: ["inverted", "resized"], model: MODEL });

  const [columns, ...lines] = toCsv([
    { path: "a.png", result: reading },
    { path: "b.png", result: corrected("circle", reading) },
    { path: "c.png", result: corrected("circle", failed("This picture cannot be read.")) },
  ]).split("\r\n");

  const [{ isStranger }] = answered({ ...reply, is_known: false, accept: false, model: MODEL }).doubts;
  assert.deepEqual([reading.doubts[0].isStranger, isStranger], [false, true]); // a person may delete its text
  assert.match(columns, /^path,digit,class_name,probability,prediction_set,.*,checked_by$/);
  assert.equal(lines[0], "a.png,1,square,0.75,0 1,0.99,mnist,,,,inverted resized,,3,,");
  assert.equal(lines[1], "b.png,,circle,,,,,,,true,,,3,,person");
  assert.equal(lines[2], "c.png,,circle,,,,,,,true,,,,This picture cannot be read.,person");
  const [checked] = toCsv([{ path: "b.png", result: corrected("circle", reading) }]).split("\r\n");
  assert.equal(checked, columns);
});

test("a file has the expected answers and the grades of a stack that has them", () => {
  const lines = toCsv([
    { path: "a.png", result: corrected("27/18", null), expected: "27 / 18", grade: "right" },
    { path: "b.png", result: null, expected: undefined, grade: "" },
  ]).split("\r\n");

  assert.match(lines[0], /,error,checked_by,expected,grade$/);
  assert.match(lines[1], /,person,"27\n18",right$/);
  assert.match(lines[2], /,not read,,,$/);
});

for (const [text, answers] of [
  ["", {}],
  [" 42 ", { "a.png": "42", "b.png": "42", "circle/a.png": "42", "square/a.png": "42" }],
  ["a.png,42", { "a.png": "42", "circle/a.png": "42", "square/a.png": "42" }],
  ["\ufeffb.png;42\r\na.png;\r\ncircle/a.png;7", { "a.png": "7", "b.png": "42", "circle/a.png": "7" }],
  ["b.png\t07\nc.png\t42", { "b.png": "07" }],
  ['Picture,Answer\n"b.png","42"', { "b.png": "42" }],
  ['path,text,expected\nc.png,41,42\nb.png,7,"27\n18"', { "b.png": "27\n18" }],
  ["circle/a.png,7\nsquare/a.png,8", { "circle/a.png": "7", "square/a.png": "8" }],
]) {
  test(`the expected answers of ${JSON.stringify(text)} are found by path, or by name without a folder`, () => {
    const { of, problem } = expectedAnswers(text);

    const found = ["a.png", "b.png", "circle/a.png", "square/a.png"].flatMap((path) => (of(path) ? [[path, of(path)]] : []));
    assert.deepEqual(Object.fromEntries(found), answers);
    assert.equal(problem, "");
  });
}

const WANTED = "expected only digits, and “/” between lines, received";

for (const [text, words] of [
  ["x", `Not used: ${WANTED} “x”.`],
  ["a.png,42\nb.png,seven\nc.png,eight", `Row 2 is not used: ${WANTED} “seven”.`],
  ["a.png;7,5", `Row 1 is not used: ${WANTED} “7,5”.`],
  ["path,expected\na.png,42\na.png,43", "Row 3 is not used: “a.png” has an answer already."],
]) {
  test(`an expected answer that cannot be used is named: ${words}`, () => {
    assert.equal(expectedAnswers(text).problem, words);
  });
}

for (const [what, result, expected, mark] of [
  ["an accepted answer", answered(number([digit(7)], [digit(1)])), "7/1", "right"],
  ["another accepted answer", answered(number([digit(7)])), "07", "wrong"],
  ["a checked text", corrected("27 / 18", null), "27\n18", "right"],
  ["a doubtful answer", answered(number([digit(4, unsure)])), "4", "open"],
  ["a failure", failed("This picture cannot be read."), "4", "open"],
  ["a picture that was not read", null, "4", "open"],
  ["a picture without an expected answer", null, undefined, ""],
]) {
  test(`${what} is graded “${mark}”`, () => {
    assert.equal(grade(result, expected), mark);
  });
}

test("files get different paths, also where capitals do not count", () => {
  const paths = ["p/a.png", "p/A.png", "p/a.png", "p/a-2.png", "q/a.png", "p/b", "p/b", "p.d/c", "p.d/c"];

  const unique = ["p/a.png", "p/A-2.png", "p/a-3.png", "p/a-2-2.png", "q/a.png", "p/b", "p/b-2", "p.d/c", "p.d/c-2"];
  assert.deepEqual(uniquePaths(paths), unique);
});
