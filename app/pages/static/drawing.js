// The sheet that is drawn on: strokes and pictures, undo and clear, and what is sent of a drawing.

const STROKE = 0.065; // of the sheet's side; about what MNIST's pens were to the digits
const NEAR = 0.002; // points closer together than this say nothing new
const MOST_STEPS = 500;
const MOST_PICTURES = 8; // each takes some megabytes

const SENT_SIDE = 280; // pixels; ten times what the network sees
const SENT_MARGIN = 20; // so that no ink touches the edge

export class Paper {
  /** All that can be undone: {points, fresh}, {picture} or {blank}; `fresh` strokes begin a drawing on a new sheet. */
  #steps = [];
  #stroke = null;
  #pointer = null; // the event that began the stroke
  #canvas;
  #changed;
  #frame = 0;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} changed called whenever something else is to be seen
   */
  constructor(canvas, changed) {
    this.#canvas = canvas;
    this.#changed = changed;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, (event) => this.#up(event));
    }
    // Long presses and double taps are strokes here, not menus and selections.
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("selectstart", (event) => event.preventDefault());
    canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    new ResizeObserver(() => this.#render()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#renderSoon());
  }

  /** The picture that lies on the sheet, or null when it is drawn on. */
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
    if (!this.isBlank) this.#push({ blank: true });
  }

  undo() {
    if (!this.canUndo) return;
    this.#stroke = null;
    this.#pointer = null;
    this.#steps.pop();
    this.#done();
  }

  /** @param {{shown: CanvasImageSource | null, name: string, body: Blob, type: string}} picture */
  lay(picture) {
    this.#push({ picture });
  }

  /** The drawing as a PNG, dark ink on white whatever the colours of the screen. */
  toBlob() {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SENT_SIDE;
    const context = canvas.getContext("2d", { alpha: false });
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SENT_SIDE, SENT_SIDE);
    const side = SENT_SIDE - 2 * SENT_MARGIN;
    context.translate(SENT_MARGIN, SENT_MARGIN);
    context.beginPath();
    context.rect(0, 0, side, side);
    context.clip(); // only what is seen: a stroke may have left the sheet
    drawStrokes(context, this.#visible().strokes, side, "#000");
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  #visible() {
    const start = this.#steps.findLastIndex(({ blank, picture, fresh }) => blank || picture || fresh);
    const strokes = this.#steps.slice(Math.max(0, start)).flatMap(({ points }) => (points ? [points] : []));
    return { picture: this.#steps[start]?.picture ?? null, strokes };
  }

  #push(step) {
    this.#stroke = null;
    this.#pointer = null;
    this.#steps.push(step);
    while (this.#steps.length > MOST_STEPS || this.#steps.filter((each) => each.picture).length > MOST_PICTURES) {
      this.#steps.shift();
    }
    this.#done();
  }

  #done() {
    this.#renderSoon();
    this.#changed();
  }

  #down(event) {
    if (event.button !== 0) return;
    if (this.#pointer !== null) {
      // Whoever came first draws, until it lifts; but a pen is believed over the hand that rests beside it.
      if (event.pointerType !== "pen" || this.#pointer.pointerType === "pen") return;
      this.#steps.pop();
    }
    this.#pointer = event;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#stroke = [];
    this.#steps.push({ points: this.#stroke, fresh: this.picture !== null });
    this.#add(event);
    event.preventDefault();
  }

  #move(event) {
    if (event.pointerId !== this.#pointer?.pointerId) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.#add(each);
  }

  #up(event) {
    if (event.pointerId !== this.#pointer?.pointerId) return;
    this.#pointer = null;
    this.#stroke = null;
  }

  #add(event) {
    const box = this.#canvas.getBoundingClientRect();
    const point = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
    const last = this.#stroke.at(-1);
    if (last && Math.hypot(point.x - last.x, point.y - last.y) < NEAR) return;
    this.#stroke.push(point);
    this.#renderSoon();
    this.#changed();
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
      context.imageSmoothingEnabled = scale < 4; // of a tiny picture the pixels are shown as they are
      context.imageSmoothingQuality = "high";
      const [w, h] = [width * scale, height * scale];
      context.drawImage(picture.shown, (side - w) / 2, (side - h) / 2, w, h);
    }
    drawStrokes(context, strokes, side, getComputedStyle(this.#canvas).getPropertyValue("--ink"));
  }
}

function drawStrokes(context, strokes, side, colour) {
  context.lineWidth = STROKE * side;
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
    // Curves from the middle of one segment to the middle of the next: smooth through any number of points.
    context.moveTo(first.x, first.y);
    for (let i = 0; i < rest.length - 1; i++) {
      const [a, b] = [rest[i], rest[i + 1]];
      context.quadraticCurveTo(a.x, a.y, (a.x + b.x) / 2, (a.y + b.y) / 2);
    }
    context.lineTo(rest.at(-1).x, rest.at(-1).y);
    context.stroke();
  }
}
