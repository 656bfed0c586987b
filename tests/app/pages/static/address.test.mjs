// What the address remembers, and strokes as text, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FRESH, decodeStrokes, encodeStrokes, fragment, parseFragment } from "../../../../app/pages/static/address.js";

const dot = [[{ x: 0.1, y: 0.2 }]];
const line = (points, step = 0.02) => Array.from({ length: points }, (_, i) => ({ x: (i * step) % 1.5, y: 0.5 }));

test("a fragment names what is open, knows the names of older links, and ignores what it does not know", () => {
  const hashes = ["", "#lab", "#ignore-separators", "#strokes=abc", "#lab&strokes=abc", "#lab&ignore-separators&strokes=abc"];
  hashes.push("#example=photo", "#lab&panel=evidence&unit=0&rival=0&turn=-40&noise=12.5&strokes=abc");
  for (const hash of hashes) assert.equal(fragment(parseFragment(hash)), hash);
  assert.equal(fragment(parseFragment("#inside&lecture&strokes=abc")), "#lab&strokes=abc");
  assert.equal(fragment(parseFragment("#section-3&lecture&unit=")), "#lab");
});

test("without the lab, nothing is remembered of it", () => {
  assert.equal(fragment({ ...parseFragment("#lab&unit=3&turn=40&strokes=abc"), lab: false }), "#strokes=abc");
  assert.equal(fragment({ ...parseFragment("#lab&unit=0&turn=40&strokes=abc&example=photo"), ...FRESH }), "#lab&unit=0");
});

test("strokes come back as they were, to a pixel of a large screen", () => {
  const strokes = [[{ x: -0.0123, y: 0.9876 }, { x: 1.51, y: 0.5 }, { x: 0.7, y: 0.2504 }], ...dot];

  const { ratio, strokes: back } = decodeStrokes(encodeStrokes({ strokes, ratio: 1.25 }));

  assert.equal(ratio, 1.25);
  assert.deepEqual(back.map((points) => points.length), [3, 1]);
  back.flat().forEach((point, index) => {
    const { x, y } = strokes.flat()[index];
    assert.ok(Math.abs(point.x - x) <= 0.0005 && Math.abs(point.y - y) <= 0.0005);
  });
});

test("points that are too close to be seen are left out, but never the end of a stroke", () => {
  const [points] = decodeStrokes(encodeStrokes({ strokes: [line(1000, 0.001)], ratio: 1.5 })).strokes;

  assert.ok(points.length < 90);
  assert.equal(points.at(-1).x, 0.999);
  assert.ok(encodeStrokes({ strokes: [line(1000, 0.001)], ratio: 1.5 }).length < 240);
});

test("a stroke that ends far behind the paper has a link that can be opened", () => {
  const [points] = decodeStrokes(encodeStrokes({ strokes: [[{ x: 0.5, y: 0.5 }, { x: 9, y: -7 }]], ratio: 1.5 })).strokes;

  assert.deepEqual(points, [{ x: 0.5, y: 0.5 }, { x: 3, y: -1 }]);
});

test("a link is at most 8000 characters long, or there is none", () => {
  assert.ok(encodeStrokes({ strokes: [line(2900)], ratio: 1.5 }).length <= 8000);
  assert.equal(encodeStrokes({ strokes: [line(3100)], ratio: 1.5 }), null);
  assert.equal(encodeStrokes({ strokes: [], ratio: 1.5 }), null);
  assert.notEqual(encodeStrokes({ strokes: Array(500).fill(dot[0]), ratio: 1.5 }), null);
  assert.equal(encodeStrokes({ strokes: Array(501).fill(dot[0]), ratio: 1.5 }), null);
});

test("a text without a drawing is refused", () => {
  const good = encodeStrokes({ strokes: [line(9), ...dot], ratio: 1.5 });
  assert.notEqual(decodeStrokes(good), null);
  const bad = {
    empty: "",
    "other characters": `${good}!`,
    "a cut": good.slice(0, -2),
    "a ratio alone": encodeStrokes({ strokes: dot, ratio: 1.5 }).slice(0, 3),
    "too wide": encodeStrokes({ strokes: dot, ratio: 9 }),
    "far away": "rAIEAADQjAEA", // a point 9 heights to the right
    "too long": "A".repeat(8001),
    "a huge integer": "_____w",
    words: "hello",
  };
  for (const [name, text] of Object.entries(bad)) assert.equal(decodeStrokes(text), null, name);
});
