// The hidden units as dots: their places never change, and the stronger its colour, the larger is a unit's activation.

import { colour, element } from "./dom.js";
import { fitToScreen } from "./drawing.js";
import { arrange, neighbour } from "./network.js";
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
  #cell = 1; // the side of a dot's place, in pixels of the canvas
  #ground = null; // a canvas with the names and a pale dot for each unit, which is copied each time

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
      const place = neighbour(event.key, this.#places, this.#shownPlace);
      if (place === null || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#choose(place);
    });
    const redraw = () => {
      this.#ground = null;
      this.#onChange();
    };
    new ResizeObserver(redraw).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  }

  /** @param {import("./network.js").Network} network whose units get their places */
  arrange(network) {
    ({ places: this.#places, rows: this.#rows } = arrange(network.groups(), COLUMNS));
    [this.#chosen, this.#hovered, this.#ground, this.#hidden] = [null, null, null, null];
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
    if (this.#ground === null) this.#drawGround();
    if (this.#ground === null) return;
    const context = this.#canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.drawImage(this.#ground, 0, 0);
    const most = this.#hidden === null ? 1 : Math.max(...this.#hidden) || 1;
    context.fillStyle = colour("--accent");
    for (const place of this.#places) {
      const strength = this.#hidden === null ? 0 : this.#hidden[place.unit] / most;
      if (strength < 0.01) continue; // most units
      context.globalAlpha = strength;
      this.#dot(context, place);
      context.fill();
    }
    context.globalAlpha = 1;
    context.strokeStyle = colour("--text");
    context.lineWidth = this.#cell / 5;
    this.#dot(context, this.shown);
    context.stroke();
    this.#describe();
  }

  #drawGround() {
    if (this.#places.length === 0 || this.#canvas.clientWidth === 0) return;
    fitToScreen(this.#canvas);
    const { width, height } = this.#canvas;
    this.#cell = width / (COLUMNS + this.#nameColumns);
    this.#ground = element("canvas", { width, height });
    const context = this.#ground.getContext("2d");
    context.font = `600 ${1.1 * this.#cell}px ${getComputedStyle(this.#canvas).fontFamily}`;
    context.textBaseline = "middle";
    this.#places.forEach((place, index) => {
      context.fillStyle = colour("--text");
      const isFirst = this.#places[index - 1]?.group !== place.group;
      const maxWidth = (this.#nameColumns - 0.3) * this.#cell;
      if (isFirst) context.fillText(label(place.group), 0, (place.row + 0.5) * this.#cell, maxWidth);
      context.fillStyle = colour("--track");
      this.#dot(context, place);
      context.fill();
    });
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
