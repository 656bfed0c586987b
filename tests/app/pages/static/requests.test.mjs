// Requests for readings: how many are sent, which reply counts, and when a failed one is repeated.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { ReadingRequests } from "../../../../app/pages/static/requests.js";

const [READ, PREDICT] = ["read?include=pixels", "predict?include=pixels"];
const MODEL = { name: "mnist-dense", version: 1 };
const MARK = { kind: "other", line: 0, after: 1, box: { x: 0, y: 0, width: 9, height: 9 } };
const STEP_MS = 10;

let sent, readings, problems, requests, now;

const settle = () => new Promise(setImmediate);

mock.method(performance, "now", () => now);
mock.method(globalThis, "fetch", (url, { body, signal }) => {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    const reply = (content, { status = 200, headers = {} } = {}) => {
      resolve(new Response(typeof content === "string" ? content : JSON.stringify(content), { status, headers }));
      return settle();
    };
    const fail = () => {
      reject(new TypeError("Failed to fetch"));
      return settle();
    };
    sent.push({ url, body, signal, reply, fail });
  });
});

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  [sent, readings, problems, now] = [[], [], [], 0];
  requests = new ReadingRequests(
    (reading) => readings.push(reading),
    (problem, retries) => problems.push([problem.status, problem.detail, retries]),
  );
});

afterEach(() => mock.timers.reset());

async function wait(milliseconds) {
  for (const end = now + milliseconds; now < end; ) {
    now += STEP_MS;
    mock.timers.tick(STEP_MS);
    await settle();
  }
}

const ask = (body = "drawing", { isUnfinished = false, ignoresSeparators = false, ...options } = {}) =>
  requests.request(async () => ({ body, type: "image/png", isUnfinished, ignoresSeparators }), options);
const urls = () => sent.map(({ url }) => url);
const prediction = (digit, fields = {}) => ({ digit, model: MODEL, doubts: [], ...fields });
const number = (...digits) => ({ digits: digits.map((digit) => ({ digit })), lines: ["1"], marks: [], model: MODEL });
const shown = () => readings.map(({ digits }) => digits.map(({ digit }) => digit));

test("changes within 150 ms are one request with the newest drawing", async () => {
  for (let change = 0; change < 14; change++) {
    ask(`drawing ${change}`);
    await wait(10);
  }
  assert.equal(sent.length, 0);

  await wait(10);

  assert.deepEqual(sent.map(({ url, body }) => [url, body]), [[READ, "drawing 13"]]);
});

test("several digits are one request, and one digit gets its prediction too", async () => {
  ask();
  await wait(150);
  await sent[0].reply(number(4, 2));
  assert.deepEqual([shown(), sent.length], [[[4, 2]], 1]);

  ask();
  await wait(150);
  await sent[1].reply({ ...number(7), marks: [MARK], accept: false });
  await sent[2].reply(prediction(7, { preprocessing: ["cropped"], accept: true, doubts: ["edge"] }));

  assert.deepEqual(urls(), [READ, READ, PREDICT]);
  const whole = { marks: [MARK], doubts: ["edge"], accept: false, model: MODEL, ink: undefined };
  const digit = { line: 0, ...prediction(7), doubts: ["edge"], preprocessing: ["cropped"], accept: false, isUnfinished: false };
  assert.deepEqual(readings.at(-1), { ...whole, digits: [digit] });
  assert.equal(readings.at(-2).digits[0].accept, false); // the page never shows it as sure
});

test("a reading says whether separators were ignored", async () => {
  ask("drawing", { ignoresSeparators: true });
  await wait(150);
  await sent[0].reply(number(4, 2));

  assert.deepEqual(urls(), [`${READ}&marks=ignore`]);
  assert.equal(readings[0].ignoresSeparators, true);
});

test("numbers are asked for again only after an answer about a digit", async () => {
  const answers = [
    [READ, { detail: "other classes" }, { status: 501 }],
    [PREDICT, prediction(1, { class_name: "square" })],
    [PREDICT, prediction(1)],
    [READ, number(4, 2)],
  ];
  for (const [index, [url, ...reply]] of answers.entries()) {
    if (index !== 1) ask(); // the refused request continues by itself
    await wait(150);
    assert.equal(sent[index].url, url);
    await sent[index].reply(...reply);
  }

  assert.deepEqual([shown(), problems], [[[1], [1], [4, 2]], []]);
});

test("a newer drawing waits for a young request and cancels it after 400 ms", async () => {
  ask("old");
  await wait(150);
  ask("new");
  await wait(390);
  assert.deepEqual([sent.length, sent[0].signal.aborted], [1, false]);

  await wait(10);

  assert.deepEqual([sent[0].signal.aborted, sent[1].body], [true, "new"]);
  await sent[0].reply(number(1, 1));
  await sent[1].reply(number(4, 2));
  assert.deepEqual([shown(), problems], [[[4, 2]], []]);
});

test("a newer drawing is sent as soon as the request in flight is answered", async () => {
  ask("old");
  await wait(150);
  ask("new");
  await wait(160);

  await sent[0].reply(number(1, 1));
  await wait(10);

  assert.deepEqual([sent.map(({ body }) => body), shown()], [["old", "new"], [[1, 1]]]);
});

test("a picture is sent at once and cancels the request in flight", async () => {
  ask("drawing");
  await wait(150);

  ask("picture", { now: true });
  await wait(10);

  assert.deepEqual([sent[0].signal.aborted, sent[1].body], [true, "picture"]);
});

test("an answer that arrives after the drawing was cleared is not shown", async () => {
  ask();
  await wait(150);
  ask();

  requests.cancel();
  await sent[0].reply(number(1, 1));
  await wait(60_000);

  assert.deepEqual([sent.length, sent[0].signal.aborted, readings, problems], [1, true, [], []]);
});

for (const [what, content, options, problem] of [
  ["a proxy's page", "<h1>Bad gateway</h1>", { status: 502 }, [502, "", true]],
  ["a proxy that waited in vain", "", { status: 504 }, [504, "", true]],
  ["a service that starts or ends", { detail: "no model" }, { status: 503 }, [503, "no model", true]],
  ["a busy service", { detail: "busy" }, { status: 429 }, [429, "busy", true]],
  ["a bug", { detail: "a bug" }, { status: 500 }, [500, "a bug", false]],
  ["a large picture", { detail: "at most 9 pixels" }, { status: 413 }, [413, "at most 9 pixels", false]],
  ["a sign-in page", "<h1>Sign in</h1>", {}, [502, "", true]],
  ["null", "null", {}, [502, "", true]],
]) {
  test(`a reply without an answer is a problem: ${what}`, async () => {
    ask();
    await wait(150);
    await sent[0].reply(content, options);
    await wait(1000);

    assert.deepEqual(problems, [problem]);
    assert.equal(sent.length, problem[2] ? 2 : 1);
    ask();
    await wait(550);
    await sent.at(-1).reply(number(4, 2));
    assert.deepEqual(shown(), [[4, 2]]);
  });
}

test("a service that cannot be reached is asked again after 1, 2, 4 and at most 30 seconds", async () => {
  ask();
  await wait(150);
  for (const [index, seconds] of [1, 2, 4, 8, 16, 30, 30].entries()) {
    await sent[index].fail();
    await wait(1000 * seconds - STEP_MS);
    assert.equal(sent.length, index + 1);
    await wait(STEP_MS);
    assert.equal(sent.length, index + 2);
  }
  await sent.at(-1).reply(number(4, 2));
  assert.deepEqual([shown(), problems.at(-1)], [[[4, 2]], [0, "", true]]);

  ask();
  await wait(150);
  await sent.at(-1).fail();
  await wait(1000);

  assert.equal(sent.length, 10); // the first delay again
});

for (const [seconds, after] of [["3", 3], ["0", 1], ["90", 30], ["soon", 1]]) {
  test(`a service that says Retry-After: ${seconds} is asked again after ${after} s`, async () => {
    ask();
    await wait(150);
    await sent[0].reply({}, { status: 503, headers: { "Retry-After": seconds } });

    await wait(1000 * after - STEP_MS);
    assert.equal(sent.length, 1);
    await wait(STEP_MS);
    assert.equal(sent.length, 2);
  });
}

test("a request without an answer ends after 30 s and is not repeated", async () => {
  ask();
  await wait(150 + 30_000 - STEP_MS);
  assert.deepEqual(problems, []);

  await wait(STEP_MS);
  await wait(60_000);

  assert.deepEqual([problems, sent.length], [[[-1, "", false]], 1]);
});
