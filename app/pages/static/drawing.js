// The drawing area: strokes and pictures, undo, redo and clear, and the drawing as a PNG.

import { colour, element, sized } from "./dom.js";

// Lengths in a drawing are fractions of the area's height.
const STROKE_WIDTH = 0.05; // thin enough for five digits beside each other
const MIN_DISTANCE = 0.002; // a point closer to the last one adds nothing
const MAX_DOT = 0.1; // the service may take a smaller drawing for noise
const MAX_STEPS = 500;
const MAX_PICTURES = 8; // each takes several megabytes
const MAX_TAP_PIXELS = 6; // a pointer that moves further draws

const RATIO = 1.5; // width to height of the area for a drawing, and for the widest pictures
const MIN_RATIO = 1; // for the highest pictures

const SENT_HEIGHT = 280; // pixels, ten times the network's input
const SENT_MARGIN = 20; // keeps ink away from the edge

export class Drawing {
  /**
   * The steps that can be undone: {points, startsNew, ratio}, {picture, ratio} or {blank}.
   * A stroke with `startsNew` begins a new drawing in place of a picture, and keeps the ratio of its area.
   */
  #steps = [];
  #undone = []; // the steps that can be done again, the next one last
  #stroke = null;
  #pointer = null; // the event that started the current stroke
  #tap = null; // where the pointer went down on a digit, until it moves
  #canvas;
  #onChange;
  #digitAt;
  #onTap;
  #frame = 0;
  #zoom = null; // the box of the picture that fills the area, in pixels of the picture that is sent
  #dark = matchMedia("(prefers-color-scheme: dark)");

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {object} page
   * @param {() => void} page.onChange called whenever the visible content changes, and at the end of each stroke
   * @param {(point: {x: number, y: number}) => number} page.digitAt the index of the digit that was read at a place in
   *   pixels of the canvas, or -1. A tap on a digit draws nothing.
   * @param {(index: number) => void} page.onTap called when a digit is tapped
   */
  constructor(canvas, { onChange, digitAt, onTap }) {
    this.#canvas = canvas;
    this.#onChange = onChange;
    this.#digitAt = digitAt;
    this.#onTap = onTap;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, (event) => this.#up(event));
    }
    // A long press or double tap draws here. It must not open a menu or select text.
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("selectstart", (event) => event.preventDefault());
    canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    new ResizeObserver(() => this.#render()).observe(canvas);
    this.#dark.addEventListener("change", () => this.#renderSoon());
  }

  /** The picture in the area, or null for a drawing. */
  get picture() {
    return this.#visible().picture;
  }

  /** The ratio of width to height that the area should have. */
  get ratio() {
    return this.#visible().ratio;
  }

  get isBlank() {
    const { picture, strokes } = this.#visible();
    return picture === null && strokes.length === 0;
  }

  /** Whether the drawing is not larger than a dot. */
  get isDot() {
    const points = this.#visible().strokes.flat();
    return ["x", "y"].every((axis) => {
      const values = points.map((point) => point[axis]);
      return Math.max(...values) - Math.min(...values) < MAX_DOT;
    });
  }

  get canUndo() {
    return this.#steps.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  /** The strokes of the drawing, whose points are in heights of the area. None for a picture. */
  get strokes() {
    return this.#visible().strokes;
  }

  /** Whether a stroke is being drawn. */
  get isPenDown() {
    return this.#stroke !== null;
  }

  /** Where the last stroke ended, in pixels of the canvas. Null for a picture and for a blank area. */
  get lastPoint() {
    const last = this.#visible().strokes.at(-1)?.at(-1);
    const height = this.#canvas.clientHeight;
    return last ? { x: last.x * height, y: last.y * height } : null;
  }

  /** Return a box in pixels of the picture that was sent as a box in pixels of the canvas. */
  toCanvas({ x, y, width, height }) {
    const { left, top, scale } = this.#sentArea();
    return { x: left + x * scale, y: top + y * scale, width: width * scale, height: height * scale };
  }

  clear() {
    if (!this.isBlank) this.#addSteps([{ blank: true }]);
  }

  undo() {
    if (!this.canUndo) return;
    this.#release();
    this.#undone.push(this.#steps.pop());
    this.#update();
  }

  redo() {
    if (!this.canRedo) return;
    this.#release();
    this.#steps.push(this.#undone.pop());
    this.#update();
  }

  /** Show a drawing in place of what is visible. */
  restore({ strokes, ratio }) {
    this.#addSteps(strokes.map((points, index) => ({ points, startsNew: index === 0, ratio })));
  }

  /** @param {Awaited<ReturnType<typeof import("./pictures.js").preparePicture>>} picture */
  showPicture(picture) {
    const ratio = picture.shown ? Math.min(RATIO, Math.max(MIN_RATIO, picture.width / picture.height)) : RATIO;
    this.#addSteps([{ picture, ratio }]);
  }

  /** Let a box of the picture fill the area, until the content changes. */
  zoom(box) {
    this.#zoom = box;
    this.#renderSoon();
  }

  /** Return the drawing as a PNG: black ink on white, or white on black in dark mode, as it is seen. */
  toBlob() {
    const height = SENT_HEIGHT - 2 * SENT_MARGIN;
    const width = Math.round((height * this.#canvas.clientWidth) / this.#canvas.clientHeight);
    const canvas = element("canvas", { width: width + 2 * SENT_MARGIN, height: SENT_HEIGHT });
    const context = canvas.getContext("2d", { alpha: false });
    const [paper, ink] = this.#dark.matches ? ["#000", "#fff"] : ["#fff", "#000"];
    context.fillStyle = paper;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.translate(SENT_MARGIN, SENT_MARGIN);
    context.beginPath();
    context.rect(0, 0, width, height);
    context.clip(); // a stroke may leave the area, and only its visible part counts
    drawStrokes(context, this.#visible().strokes, height, ink);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  /** Return where the picture that is sent lies on the canvas, in pixels of the canvas. */
  #sentArea() {
    const { picture } = this.#visible();
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (picture === null) {
      const scale = height / (SENT_HEIGHT - 2 * SENT_MARGIN);
      return { left: -SENT_MARGIN * scale, top: -SENT_MARGIN * scale, scale };
    }
    const { x, y, ...part } = this.#zoom ?? { x: 0, y: 0, ...picture };
    const scale = Math.min(width / part.width, height / part.height);
    return { left: (width - part.width * scale) / 2 - x * scale, top: (height - part.height * scale) / 2 - y * scale, scale };
  }

  #visible() {
    const start = this.#steps.map(({ blank, picture, startsNew }) => Boolean(blank || picture || startsNew)).lastIndexOf(true);
    const strokes = this.#steps.slice(Math.max(0, start)).flatMap(({ points }) => (points ? [points] : []));
    return { picture: this.#steps[start]?.picture ?? null, strokes, ratio: this.#steps[start]?.ratio ?? RATIO };
  }

  #addSteps(steps) {
    this.#release();
    this.#undone = [];
    this.#steps.push(...steps);
    while (this.#steps.length > MAX_STEPS || this.#steps.filter(({ picture }) => picture).length > MAX_PICTURES) {
      this.#steps.shift();
    }
    this.#update();
  }

  #update() {
    this.#zoom = null;
    this.#renderSoon();
    this.#onChange();
  }

  #down(event) {
    if (event.button !== 0) return;
    if (this.#pointer !== null) {
      // The first pointer draws until it lifts. But a pen replaces a touch, which is then the hand that holds it.
      if (event.pointerType !== "pen" || this.#pointer.pointerType === "pen") return;
      if (this.isPenDown) this.#steps.pop();
      this.#release();
    }
    this.#pointer = event;
    this.#canvas.setPointerCapture(event.pointerId);
    if (this.#digitAt(this.#place(event)) >= 0) this.#tap = event;
    else this.#startStroke(event);
    event.preventDefault();
  }

  #startStroke(event) {
    this.#tap = null;
    this.#stroke = [];
    this.#undone = [];
    const startsNew = this.picture !== null;
    const ratio = startsNew ? this.#canvas.clientWidth / this.#canvas.clientHeight : RATIO;
    this.#steps.push({ points: this.#stroke, startsNew, ratio });
    this.#addPoint(event);
  }

  #move(event) {
    if (this.#pointer === null) this.#canvas.style.cursor = this.#digitAt(this.#place(event)) >= 0 ? "pointer" : "";
    if (event.pointerId !== this.#pointer?.pointerId) return;
    if (this.#tap !== null) {
      const distance = Math.hypot(event.clientX - this.#tap.clientX, event.clientY - this.#tap.clientY);
      if (distance <= MAX_TAP_PIXELS) return;
      this.#startStroke(this.#tap);
    }
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.#addPoint(each);
  }

  #up(event) {
    if (event.pointerId !== this.#pointer?.pointerId) return;
    const [tap, wasDrawing] = [this.#tap, this.isPenDown];
    this.#release();
    const index = tap !== null && event.type === "pointerup" ? this.#digitAt(this.#place(tap)) : -1;
    if (index >= 0) this.#onTap(index); // the digit may have gone meanwhile
    if (wasDrawing) this.#onChange();
  }

  #release() {
    this.#stroke = null;
    this.#pointer = null;
    this.#tap = null;
  }

  /** Return the place of a pointer in pixels of the canvas. */
  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #addPoint(event) {
    const { x, y } = this.#place(event);
    const height = this.#canvas.clientHeight;
    const point = { x: x / height, y: y / height };
    const last = this.#stroke.at(-1);
    if (last && Math.hypot(point.x - last.x, point.y - last.y) < MIN_DISTANCE) return;
    this.#stroke.push(point);
    this.#renderSoon();
    this.#onChange();
  }

  #renderSoon() {
    this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  #render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const context = cleared(this.#canvas);
    const { picture, strokes } = this.#visible();
    if (picture?.shown) {
      const { left, top, scale } = this.#sentArea();
      context.imageSmoothingEnabled = scale < 4; // show the pixels of a tiny picture as squares
      context.imageSmoothingQuality = "high";
      context.drawImage(picture.shown, left, top, picture.width * scale, picture.height * scale);
    }
    drawStrokes(context, strokes, this.#canvas.clientHeight, colour("--ink"));
  }
}

/** Clear a canvas, which gets one pixel for each pixel of the screen. Return its context, in pixels of the page times `scale`. */
export function cleared(canvas, scale = 1) {
  const sides = [canvas.clientWidth, canvas.clientHeight];
  const [width, height] = sides.map((side) => side / scale);
  const context = sized(canvas, ...sides.map((side) => Math.round(side * devicePixelRatio)));
  context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Return how much larger than usual the type of an element is, such as 1.5. */
export function typeScale(element) {
  return parseFloat(getComputedStyle(element).fontSize) / 16;
}

function drawStrokes(context, strokes, height, colour) {
  context.lineWidth = STROKE_WIDTH * height;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = context.fillStyle = colour;
  for (const points of strokes) {
    const [first, ...rest] = points.map(({ x, y }) => ({ x: x * height, y: y * height }));
    context.beginPath();
    if (rest.length === 0) {
      context.arc(first.x, first.y, context.lineWidth / 2, 0, 2 * Math.PI);
      context.fill();
      continue;
    }
    // A curve from the middle of each segment to the middle of the next makes a smooth line.
    context.moveTo(first.x, first.y);
    for (let i = 0; i < rest.length - 1; i++) {
      const [a, b] = [rest[i], rest[i + 1]];
      context.quadraticCurveTo(a.x, a.y, (a.x + b.x) / 2, (a.y + b.y) / 2);
    }
    context.lineTo(rest.at(-1).x, rest.at(-1).y);
    context.stroke();
  }
}
