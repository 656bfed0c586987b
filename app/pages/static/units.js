// The hidden units as dots: their places never change, and the stronger its colour, the larger is a unit's activation.

import { colour } from "./dom.js";
import { cleared } from "./drawing.js";
import { arrange } from "./network.js";
import { destination } from "./number.js";
import { hasOwnClasses, label } from "./verdict.js";

const COLUMNS = 32;
const [DIGIT_COLUMNS, NAME_COLUMNS] = [1.5, 7]; // the width of the groups' names, in dots

export class Units {
  #canvas;
  #onChange;
  #places = [];
  #rows = 1;
  #hidden = null; // the activations, or null if nothing is drawn
  #strongest = 0; // the place that is shown unless one is chosen
  #hovered = null; // the place below the mouse
  #chosen = null;
  #cell = 1; // the side of a dot's place, in pixels of the page

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} onChange called when another unit is shown
   */
  constructor(canvas, onChange) {
    [this.#canvas, this.#onChange] = [canvas, onChange];
    canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.#hover(this.#placeAt(event)));
    canvas.addEventListener("pointerleave", () => this.#hover(null));
    canvas.addEventListener("click", (event) => this.#choose(this.#placeAt(event)));
    canvas.addEventListener("keydown", (event) => {
      const place = destination(event.key, this.#places, this.#shownPlace);
      if (place === null || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#choose(place);
    });
    new ResizeObserver(onChange).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  }

  /** @param {import("./network.js").Network} network whose units get their places */
  arrange(network) {
    ({ places: this.#places, rows: this.#rows } = arrange(network.groups(), COLUMNS));
    [this.#chosen, this.#hovered, this.#hidden] = [null, null, null];
    this.#canvas.style.aspectRatio = `${COLUMNS + this.#nameColumns} / ${this.#rows}`;
  }

  /**
   * @param {ArrayLike<number> | null} hidden the activations
   * @param {number | undefined} strongest the unit that is shown unless one is chosen
   */
  show(hidden, strongest) {
    this.#hidden = hidden;
    this.#strongest = Math.max(0, this.#places.findIndex(({ unit }) => unit === strongest));
    this.#draw();
  }

  /** @param {number} unit that is shown from now on. If there is none of this number, the strongest is. */
  choose(unit) {
    const place = this.#places.findIndex((place) => place.unit === unit);
    this.#chosen = place < 0 ? null : place;
    this.#onChange();
  }

  /** The unit that was chosen, or null. */
  get chosen() {
    return this.#places[this.#chosen]?.unit ?? null;
  }

  /** Where the dot of the unit that is shown is, in pixels from the corner of the part of the page around the canvas. */
  get place() {
    const { column, row } = this.shown;
    const cell = this.#canvas.clientWidth / (COLUMNS + this.#nameColumns);
    return { x: this.#canvas.offsetLeft + (this.#nameColumns + column + 0.5) * cell, y: this.#canvas.offsetTop + (row + 0.5) * cell };
  }

  /** The unit that is shown, with the class that it supports most. */
  get shown() {
    return this.#places[this.#shownPlace];
  }

  get #shownPlace() {
    return this.#hovered ?? this.#chosen ?? this.#strongest;
  }

  get #nameColumns() {
    return hasOwnClasses() ? NAME_COLUMNS : DIGIT_COLUMNS;
  }

  #hover(place) {
    if (place === this.#hovered) return;
    this.#hovered = place;
    this.#onChange();
  }

  #choose(place) {
    if (place === null) return;
    [this.#chosen, this.#hovered] = [place, null];
    this.#onChange();
  }

  #placeAt({ offsetX, offsetY }) {
    const cell = this.#canvas.clientWidth / (COLUMNS + this.#nameColumns);
    const [column, row] = [Math.floor(offsetX / cell - this.#nameColumns), Math.floor(offsetY / cell)];
    const index = this.#places.findIndex((place) => place.column === column && place.row === row);
    return index < 0 ? null : index;
  }

  #draw() {
    if (this.#canvas.clientWidth === 0) return;
    this.#cell = this.#canvas.clientWidth / (COLUMNS + this.#nameColumns);
    const context = cleared(this.#canvas);
    context.font = `600 ${1.1 * this.#cell}px ${getComputedStyle(this.#canvas).fontFamily}`;
    context.textBaseline = "middle";
    const most = this.#hidden === null ? 1 : Math.max(...this.#hidden) || 1;
    this.#places.forEach((place, index) => {
      context.fillStyle = colour("--text");
      const isFirst = this.#places[index - 1]?.group !== place.group;
      const maxWidth = (this.#nameColumns - 0.3) * this.#cell;
      if (isFirst) context.fillText(label(place.group), 0, (place.row + 0.5) * this.#cell, maxWidth);
      this.#dot(context, place);
      context.fillStyle = colour("--track");
      context.fill();
      context.globalAlpha = this.#hidden === null ? 0 : this.#hidden[place.unit] / most;
      context.fillStyle = colour("--accent");
      context.fill();
      context.globalAlpha = 1;
    });
    context.strokeStyle = colour("--text");
    context.lineWidth = this.#cell / 5;
    this.#dot(context, this.shown);
    context.stroke();
    this.#describe();
  }

  #dot(context, { column, row }) {
    const [x, y] = [this.#nameColumns + column + 0.5, row + 0.5];
    context.beginPath();
    context.arc(x * this.#cell, y * this.#cell, 0.42 * this.#cell, 0, 2 * Math.PI);
  }

  #describe() {
    const { unit, group } = this.shown;
    const activation = (this.#hidden?.[unit] ?? 0).toFixed(2);
    this.#canvas.setAttribute("aria-valuemax", String(this.#places.length));
    this.#canvas.setAttribute("aria-valuenow", String(this.#shownPlace + 1));
    this.#canvas.setAttribute("aria-valuetext", `Unit ${unit}, supports ${label(group)}, activation ${activation}`);
  }
}
