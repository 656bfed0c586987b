// The drawing area: strokes and pictures, undo and clear, and the drawing as a PNG.

// Lengths in a drawing are fractions of the area's side.
const STROKE_WIDTH = 0.065; // about the ratio of MNIST's strokes to its digits
const MIN_DISTANCE = 0.002; // a point closer to the last one adds nothing
const MAX_STEPS = 500;
const MAX_PICTURES = 8; // each takes several megabytes

const dark = matchMedia("(prefers-color-scheme: dark)");

const SENT_SIDE = 280; // pixels, ten times the network's input
const SENT_MARGIN = 20; // keeps ink away from the edge

export class Drawing {
  /**
   * The steps that can be undone: {points, startsNew}, {picture} or {blank}.
   * A stroke with `startsNew` begins a new drawing in place of a picture.
   */
  #steps = [];
  #stroke = null;
  #pointer = null; // the event that started the current stroke
  #canvas;
  #onChange;
  #frame = 0;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} onChange called whenever the visible content changes
   */
  constructor(canvas, onChange) {
    this.#canvas = canvas;
    this.#onChange = onChange;
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
    dark.addEventListener("change", () => this.#renderSoon());
  }

  /** The picture in the area, or null for a drawing. */
  get picture() {
    return this.#visible().picture;
  }

  get isBlank() {
    const { picture, strokes } = this.#visible();
    return picture === null && strokes.length === 0;
  }

  get canUndo() {
    return this.#steps.length > 0;
  }

  clear() {
    if (!this.isBlank) this.#addStep({ blank: true });
  }

  undo() {
    if (!this.canUndo) return;
    this.#stroke = null;
    this.#pointer = null;
    this.#steps.pop();
    this.#update();
  }

  /** @param {{shown: CanvasImageSource | null, name: string, body: Blob, type: string}} picture */
  showPicture(picture) {
    this.#addStep({ picture });
  }

  /** Return the drawing as a PNG: black ink on white, or white on black in dark mode, as it is seen. */
  toBlob() {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SENT_SIDE;
    const context = canvas.getContext("2d", { alpha: false });
    const [paper, ink] = dark.matches ? ["#000", "#fff"] : ["#fff", "#000"];
    context.fillStyle = paper;
    context.fillRect(0, 0, SENT_SIDE, SENT_SIDE);
    const side = SENT_SIDE - 2 * SENT_MARGIN;
    context.translate(SENT_MARGIN, SENT_MARGIN);
    context.beginPath();
    context.rect(0, 0, side, side);
    context.clip(); // a stroke may leave the area, and only its visible part counts
    drawStrokes(context, this.#visible().strokes, side, ink);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  #visible() {
    const start = this.#steps.findLastIndex(({ blank, picture, startsNew }) => blank || picture || startsNew);
    const strokes = this.#steps.slice(Math.max(0, start)).flatMap(({ points }) => (points ? [points] : []));
    return { picture: this.#steps[start]?.picture ?? null, strokes };
  }

  #addStep(step) {
    this.#stroke = null;
    this.#pointer = null;
    this.#steps.push(step);
    while (this.#steps.length > MAX_STEPS || this.#steps.filter(({ picture }) => picture).length > MAX_PICTURES) {
      this.#steps.shift();
    }
    this.#update();
  }

  #update() {
    this.#renderSoon();
    this.#onChange();
  }

  #down(event) {
    if (event.button !== 0) return;
    if (this.#pointer !== null) {
      // The first pointer draws until it lifts. But a pen replaces a touch, which is then the hand that holds it.
      if (event.pointerType !== "pen" || this.#pointer.pointerType === "pen") return;
      this.#steps.pop();
    }
    this.#pointer = event;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#stroke = [];
    this.#steps.push({ points: this.#stroke, startsNew: this.picture !== null });
    this.#addPoint(event);
    event.preventDefault();
  }

  #move(event) {
    if (event.pointerId !== this.#pointer?.pointerId) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.#addPoint(each);
  }

  #up(event) {
    if (event.pointerId !== this.#pointer?.pointerId) return;
    this.#pointer = null;
    this.#stroke = null;
  }

  #addPoint(event) {
    const box = this.#canvas.getBoundingClientRect();
    const point = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
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
    const side = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    if (this.#canvas.width !== side || this.#canvas.height !== side) this.#canvas.width = this.#canvas.height = side;
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, side, side);
    const { picture, strokes } = this.#visible();
    if (picture?.shown) {
      const { width, height } = picture.shown;
      const scale = side / Math.max(width, height);
      context.imageSmoothingEnabled = scale < 4; // show the pixels of a tiny picture as squares
      context.imageSmoothingQuality = "high";
      const [w, h] = [width * scale, height * scale];
      context.drawImage(picture.shown, (side - w) / 2, (side - h) / 2, w, h);
    }
    drawStrokes(context, strokes, side, getComputedStyle(this.#canvas).getPropertyValue("--ink"));
  }
}

function drawStrokes(context, strokes, side, colour) {
  context.lineWidth = STROKE_WIDTH * side;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = context.fillStyle = colour;
  for (const points of strokes) {
    const [first, ...rest] = points.map(({ x, y }) => ({ x: x * side, y: y * side }));
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
