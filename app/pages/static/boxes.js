// The boxes around the digits and the marks beside them, over the drawing or the picture.

import { colour } from "./dom.js";
import { cleared, typeScale } from "./drawing.js";
import { character, isUnsure } from "./verdict.js";

// Lengths are in pixels of the page, for type of the usual size.
const PADDING = 4; // between a digit and its box, but less for small digits
const LABEL_HEIGHT = 18;
const MIN_LABELLED_HEIGHT = 28; // a label would hide as much of the picture as a lower box

export class Boxes {
  #digits = []; // the digits that have a box
  #marks = [];
  #selected = 0;
  #canvas;
  #toCanvas;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(box: object) => object} toCanvas converts a box from pixels of the picture to pixels of the canvas
   */
  constructor(canvas, toCanvas) {
    this.#canvas = canvas;
    this.#toCanvas = toCanvas;
    new ResizeObserver(() => this.#render()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#render());
  }

  /** @param {object[]} digits of the service's reply @param {object[]} marks */
  show(digits, marks) {
    [this.#digits, this.#marks] = [digits, marks];
    this.#render();
  }

  /** @param {number} index of the digit whose details are shown */
  select(index) {
    this.#selected = index;
    this.#render();
  }

  /** The boxes in pixels of the canvas. */
  get places() {
    return this.#digits.map(({ box }) => this.#place(box));
  }

  #place(box) {
    return padded(this.#toCanvas(box));
  }

  #render() {
    const scale = typeScale(this.#canvas);
    const context = cleared(this.#canvas, scale);
    const [accent, paper, quiet] = [colour("--accent"), colour("--paper"), colour("--quiet")];
    context.font = `600 13px ${getComputedStyle(this.#canvas).fontFamily}`;
    const onPage = ({ x, y, width, height }) => ({ x: x / scale, y: y / scale, width: width / scale, height: height / scale });
    const boxes = this.places.map((place, index) => ({
      ...onPage(place),
      text: character(this.#digits[index]),
      isDashed: isUnsure(this.#digits[index]),
      isSelected: index === this.#selected && this.#digits.length > 1,
    }));
    const marks = this.#marks.map(({ box }) => onPage(this.#place(box)));
    for (const box of [...marks, ...boxes]) drawRim(context, box, paper);
    for (const box of marks) drawOutline(context, box, quiet);
    for (const box of boxes) drawOutline(context, box, accent);
    const ordered = [...boxes.splice(this.#selected, 1), ...boxes];
    const area = { width: this.#canvas.clientWidth / scale, height: this.#canvas.clientHeight / scale };
    for (const placed of labels(ordered, (text) => context.measureText(text).width, area)) {
      drawLabel(context, placed, accent, paper);
    }
  }
}

/** Return the part of a picture that shows all boxes with some space around them. */
export function around(boxes, { width, height }) {
  const margin = 0.3 * Math.max(...boxes.map((box) => box.height));
  const [left, top] = ["x", "y"].map((side) => Math.max(0, Math.min(...boxes.map((box) => box[side])) - margin));
  const right = Math.min(width, Math.max(...boxes.map((box) => box.x + box.width)) + margin);
  const bottom = Math.min(height, Math.max(...boxes.map((box) => box.y + box.height)) + margin);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** Return the box with some space around its digit. */
export function padded({ x, y, width, height }) {
  const padding = Math.min(PADDING, height / 10);
  return { x: x - padding, y: y - padding, width: width + 2 * padding, height: height + 2 * padding };
}

/** Return the index of the smallest box that contains a point, or -1. */
export function smallestAt(boxes, { x, y }) {
  const [hit] = boxes
    .filter((box) => x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height)
    .sort((a, b) => a.width * a.height - b.width * b.height);
  return boxes.indexOf(hit);
}

/** Return the index of the box that is nearest to a point. */
export function nearestTo(boxes, { x, y }) {
  const distances = boxes.map((box) =>
    Math.hypot(Math.max(box.x - x, 0, x - box.x - box.width), Math.max(box.y - y, 0, y - box.y - box.height)),
  );
  return distances.indexOf(Math.min(...distances));
}

/**
 * Return the labels that are shown: none for a low box, and none that would cover another label.
 *
 * @param {object[]} boxes those whose labels matter most first
 * @param {(text: string) => number} widthOf the width of a label's text
 * @param {{width: number, height: number}} area which labels do not leave
 */
export function labels(boxes, widthOf, area) {
  const placed = [];
  for (const box of boxes) {
    if (box.height < MIN_LABELLED_HEIGHT) continue;
    const free = labelPlaces(box, widthOf, area).filter((place) => !placed.some((other) => overlap(place, other)));
    const place = free.find((place) => !boxes.some((other) => other !== box && overlap(place, other))) ?? free[0];
    if (place) placed.push({ ...box, ...place });
  }
  return placed;
}

/** Draw what lies below the outline, so that it shows on a picture of any colour. */
function drawRim(context, box, colour) {
  context.strokeStyle = colour;
  context.lineWidth = lineWidth(box) + Math.min(2, box.height / 16);
  context.setLineDash([]);
  strokeRound(context, box);
}

/** Draw the outline of a box. That of an unsure digit is dashed, and the selected box is filled. */
function drawOutline(context, box, colour) {
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = lineWidth(box);
  context.setLineDash(box.isDashed ? [3 * lineWidth(box) + 1, 2 * lineWidth(box) + 1] : []);
  strokeRound(context, box);
  if (!box.isSelected) return;
  context.globalAlpha = 0.15;
  context.fill();
  context.globalAlpha = 1;
}

function lineWidth({ height, isSelected }) {
  return isSelected ? 3 : Math.min(1.5, height / 12);
}

function strokeRound(context, { x, y, width, height }) {
  context.beginPath();
  context.roundRect(x, y, width, height, Math.min(6, height / 6));
  context.stroke();
}

/** Return where the label of a box may go, the best place first: above the box or below, flush left or right, or inside. */
function labelPlaces({ x, y, width: boxWidth, height: boxHeight, text }, widthOf, area) {
  const [width, height] = [Math.max(LABEL_HEIGHT, widthOf(text) + 10), LABEL_HEIGHT];
  const [left, right] = [Math.min(Math.max(x, 0), area.width - width), Math.max(x + boxWidth - width, 0)];
  const [above, below, inside] = [y - height - 1, y + boxHeight + 1, y + 2];
  return [above, below, inside]
    .flatMap((y) => [left, right].map((x) => ({ x, y, width, height })))
    .filter(({ y }) => y >= 1 && y + height <= area.height - 1);
}

function drawLabel(context, { x, y, width, height, text, isDashed }, accent, paper) {
  context.fillStyle = isDashed ? paper : accent;
  context.strokeStyle = accent;
  context.lineWidth = 1.5;
  context.setLineDash([]);
  context.beginPath();
  context.roundRect(x, y, width, height, 6);
  context.fill();
  if (isDashed) context.stroke();
  context.fillStyle = isDashed ? accent : paper;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x + width / 2, y + height / 2 + 1);
}

function overlap(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}
