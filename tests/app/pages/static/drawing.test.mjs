// Strokes, taps, pictures, undo and the geometry of the drawing area, without a browser.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Drawing } from "../../../../app/pages/static/drawing.js";

// What Drawing needs of a browser. Nothing is painted here.
globalThis.matchMedia = () => new EventTarget();
globalThis.ResizeObserver = class {
  observe() {}
};
globalThis.requestAnimationFrame = () => 1;

const [LEFT, TOP, WIDTH, HEIGHT] = [10, 20, 300, 200];
const NO_DIGIT = () => -1;

let canvas, drawing, digitAt, changes, tapped;

beforeEach(() => {
  canvas = Object.assign(new EventTarget(), {
    ...{ clientWidth: WIDTH, clientHeight: HEIGHT, style: {} },
    setPointerCapture() {},
    getBoundingClientRect: () => ({ left: LEFT, top: TOP }),
  });
  [digitAt, changes, tapped] = [NO_DIGIT, 0, []];
  const onChange = () => changes++;
  drawing = new Drawing(canvas, { onChange, digitAt: (point) => digitAt(point), onTap: (index) => tapped.push(index) });
});

function send(type, [x, y], { pointerId = 1, pointerType = "mouse", button = 0 } = {}) {
  const fields = { clientX: LEFT + x, clientY: TOP + y, pointerId, pointerType, button };
  canvas.dispatchEvent(Object.assign(new Event(type), fields));
}

/** Draw a stroke through points in pixels of the canvas. */
function stroke(first, ...others) {
  send("pointerdown", first);
  for (const point of others) send("pointermove", point);
  send("pointerup", others.at(-1) ?? first);
}

const picture = (width, height, name = "a.png") => ({ shown: {}, name, width, height });
const state = () => ({ isBlank: drawing.isBlank, canUndo: drawing.canUndo, last: drawing.lastPoint });

test("a stroke ends where the pointer lifts, and each part of it is a change", () => {
  send("pointerdown", [60, 80]);
  assert.equal(drawing.isPenDown, true);
  send("pointermove", [90, 120]);
  send("pointermove", [90.1, 120.1]); // too close to matter
  assert.equal(changes, 2);

  send("pointerup", [90, 120]);

  assert.deepEqual([drawing.isPenDown, changes], [false, 3]);
  assert.deepEqual(state(), { isBlank: false, canUndo: true, last: { x: 90, y: 120 } });
});

test("undo removes one stroke at a time and restores what was cleared", () => {
  stroke([10, 10], [20, 20]);
  stroke([30, 30], [40, 40]);
  drawing.clear();
  drawing.clear(); // of a blank area, which is no step
  assert.deepEqual(state(), { isBlank: true, canUndo: true, last: null });

  drawing.undo();
  assert.deepEqual(drawing.lastPoint, { x: 40, y: 40 });
  drawing.undo();
  assert.deepEqual(drawing.lastPoint, { x: 20, y: 20 });
  drawing.undo();
  assert.deepEqual(state(), { isBlank: true, canUndo: false, last: null });
  drawing.undo();
});

test("redo does again what was undone, until something else is drawn", () => {
  stroke([10, 10], [20, 20]);
  stroke([30, 30], [40, 40]);
  drawing.clear();
  for (let step = 0; step < 3; step++) drawing.undo();

  drawing.redo();
  assert.deepEqual([drawing.lastPoint, drawing.canRedo], [{ x: 20, y: 20 }, true]);
  drawing.redo();
  drawing.redo();
  drawing.redo(); // of nothing
  assert.deepEqual([drawing.isBlank, drawing.canRedo], [true, false]);
  drawing.undo();
  stroke([50, 50], [60, 60]);
  assert.equal(drawing.canRedo, false);
});

test("a drawing of a link replaces what is visible, and undo removes its strokes one by one", () => {
  drawing.showPicture(picture(200, 200));

  drawing.restore({ ratio: 1.25, strokes: [[{ x: 0.1, y: 0.2 }], [{ x: 0.3, y: 0.4 }]] });

  assert.deepEqual([drawing.picture, drawing.ratio, drawing.strokes.length, changes], [null, 1.25, 2, 2]);
  drawing.undo();
  assert.deepEqual([drawing.strokes, drawing.ratio], [[[{ x: 0.1, y: 0.2 }]], 1.25]);
  drawing.undo();
  assert.equal(drawing.picture.name, "a.png");
});

test("a stroke on a picture starts a new drawing in the same area, and undo restores the picture", () => {
  stroke([10, 10], [20, 20]);
  drawing.showPicture(picture(200, 200));
  assert.deepEqual([drawing.picture.name, drawing.ratio, drawing.lastPoint], ["a.png", 1, null]);
  canvas.clientWidth = HEIGHT; // the area follows the ratio

  stroke([50, 50], [60, 60]);

  assert.deepEqual([drawing.picture, drawing.ratio, drawing.lastPoint], [null, 1, { x: 60, y: 60 }]);
  drawing.undo();
  assert.equal(drawing.picture.name, "a.png");
  drawing.undo();
  assert.deepEqual([drawing.picture, drawing.ratio, drawing.lastPoint], [null, 1.5, { x: 20, y: 20 }]);
});

test("eight pictures can be undone, because each takes memory", () => {
  for (let number = 1; number <= 9; number++) drawing.showPicture(picture(300, 200, `${number}`));

  for (let step = 0; step < 7; step++) drawing.undo();

  assert.deepEqual([drawing.picture.name, drawing.canUndo], ["2", true]);
  drawing.undo();
  assert.deepEqual(state(), { isBlank: true, canUndo: false, last: null });
});

test("a box of the reply lies on the canvas where the digit is", () => {
  const box = { x: 20, y: 20, width: 24, height: 240 };
  stroke([10, 10], [20, 20]);
  const { x, y, width, height } = drawing.toCanvas(box); // a drawing is sent 240 pixels high, with a margin of 20
  assert.deepEqual([x, y, width, height].map(Math.round), [0, 0, 20, 200]);

  drawing.showPicture(picture(600, 200)); // half as large on the canvas, and centred

  assert.deepEqual(drawing.toCanvas(box), { x: 10, y: 60, width: 12, height: 120 });
});

test("a tap on a digit that was read selects it, but a pointer that moves by more than 6 pixels draws", () => {
  digitAt = ({ x, y }) => (x === 50 && y === 50 ? 3 : -1);

  stroke([50, 50], [56, 50]);
  assert.deepEqual([tapped, drawing.isBlank], [[3], true]);
  send("pointerdown", [50, 50]);
  send("pointercancel", [50, 50]);
  assert.deepEqual([tapped, drawing.isBlank], [[3], true]);
  stroke([50, 50], [57, 50], [90, 50]);

  assert.deepEqual([tapped, drawing.isBlank, drawing.isDot], [[3], false, false]);
});

test("a second finger and other buttons draw nothing", () => {
  send("pointerdown", [50, 50], { button: 2 });
  assert.equal(drawing.isBlank, true);
  send("pointerdown", [50, 50], { pointerType: "touch" });

  send("pointerdown", [90, 90], { pointerType: "touch", pointerId: 2 });
  send("pointermove", [99, 99], { pointerType: "touch", pointerId: 2 });
  send("pointerup", [99, 99], { pointerType: "touch", pointerId: 2 });

  assert.deepEqual([drawing.lastPoint, drawing.isPenDown], [{ x: 50, y: 50 }, true]);
});

test("a pen replaces the touch of the hand that holds it, and nothing replaces a pen", () => {
  const [pen, other] = ["pen", "touch"].map((pointerType) => ({ pointerType, pointerId: pointerType.length }));
  send("pointerdown", [290, 190], other);
  send("pointermove", [280, 190], other);

  send("pointerdown", [50, 50], pen);
  send("pointerdown", [290, 190], { ...other, pointerId: 9 });
  send("pointermove", [60, 60], pen);
  send("pointerup", [60, 60], pen);

  assert.deepEqual(drawing.lastPoint, { x: 60, y: 60 });
  drawing.undo();
  assert.equal(drawing.isBlank, true);
});
