// What the address of the page remembers after its `#`: what is on the paper, what is switched on, and in the lab the panel, the unit,
// the class that the answer is compared with and the sliders. No server sees it.

const GRID = 1000; // steps in the height of the drawing area
const MIN_STEP = 0.012; // in heights; a closer point changes a stroke, which is 0.05 wide, too little to be seen
const MAX_LENGTH = 8000; // characters, which browsers and messengers accept: about 3000 points
const MAX_STROKES = 500;
const PLACES = [-1, 3]; // in heights; a stroke may leave the area, which is up to 1.5 wide
const RATIOS = [1, 1.5]; // width to height of the area
const IGNORE = "ignore-separators";
const SLIDERS = ["turn", "size", "right", "down", "thickness", "noise"];
const OF_LAB = ["panel", "unit", "rival", ...SLIDERS];
const OF_PAPER = ["example", "strokes"];

/** What the address says of a paper that has just changed. */
export const FRESH = Object.fromEntries([...OF_PAPER, ...SLIDERS].map((name) => [name, null]));

/**
 * @param {string} hash of the address. Unknown parts are ignored.
 * @returns {any} `lab` and `ignoresSeparators`, and texts by their names, null for those that are not there
 */
export function parseFragment(hash) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const lab = ["lab", "inside", "lecture"].some((name) => parts.has(name)); // older links have the other names
  const texts = Object.fromEntries([...OF_LAB, ...OF_PAPER].map((name) => [name, parts.get(name) || null]));
  return { lab, ignoresSeparators: parts.has(IGNORE), ...texts };
}

/** Return the fragment with its `#`, or "" if there is nothing to remember. */
export function fragment({ lab, ignoresSeparators, ...texts }) {
  const named = [...(lab ? OF_LAB : []), ...OF_PAPER].filter((name) => (texts[name] ?? "") !== "").map((name) => `${name}=${texts[name]}`);
  const parts = [lab && "lab", ignoresSeparators && IGNORE, ...named].filter(Boolean);
  return parts.length ? `#${parts.join("&")}` : "";
}

/** @param {object} changes to what the address remembers */
export function setAddress(changes) {
  const { pathname, search, hash } = location;
  const changed = fragment({ ...parseFragment(hash), ...changes });
  if (changed !== hash) history.replaceState(history.state, "", `${pathname}${search}${changed}`);
}

/**
 * @param {{strokes: {x: number, y: number}[][], ratio: number}} drawing in heights of the drawing area
 * @returns {string | null} letters, digits, "-" and "_"; null if the drawing is too long or has no stroke
 */
export function encodeStrokes({ strokes, ratio }) {
  const values = [Math.round(100 * ratio)];
  let last = { x: 0, y: 0 };
  for (const points of strokes.map(thinned)) {
    values.push(points.length);
    for (const point of points) {
      values.push(point.x - last.x, point.y - last.y);
      last = point;
    }
  }
  const text = btoa(values.flatMap(toBytes).map((byte) => String.fromCharCode(byte)).join(""));
  if (strokes.length === 0 || strokes.length > MAX_STROKES || text.length > MAX_LENGTH) return null;
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** @returns {{strokes: {x: number, y: number}[][], ratio: number} | null} null if the text has no drawing */
export function decodeStrokes(text) {
  if (text.length > MAX_LENGTH || !/^[\w-]+$/.test(text)) return null;
  let values;
  try {
    values = toValues(atob(text.replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return null; // a part of the text is missing
  }
  const ratio = values.shift() / 100;
  const strokes = [];
  let [x, y] = [0, 0];
  while (values.length > 0) {
    const count = values.shift();
    const steps = values.splice(0, 2 * Math.max(0, count));
    if (count < 1 || steps.length < 2 * count) return null;
    strokes.push(Array.from({ length: count }, (_, i) => ({ x: (x += steps[2 * i]) / GRID, y: (y += steps[2 * i + 1]) / GRID })));
  }
  const places = strokes.flat().flatMap((point) => [point.x, point.y]);
  const isPossible = isWithin(RATIOS, ratio) && places.every((place) => isWithin(PLACES, place));
  return isPossible && places.length > 0 && strokes.length <= MAX_STROKES ? { strokes, ratio } : null;
}

/** Return the points that matter, on the grid. */
function thinned(points) {
  const kept = [points[0]];
  points.forEach((point, index) => {
    const distance = Math.hypot(point.x - kept.at(-1).x, point.y - kept.at(-1).y);
    if (distance >= MIN_STEP || (distance > 0 && index === points.length - 1)) kept.push(point);
  });
  return kept.map(({ x, y }) => ({ x: onGrid(x), y: onGrid(y) }));
}

/** Return a place on the grid. A pen may leave the area far behind. */
function onGrid(place) {
  return Math.round(GRID * Math.min(Math.max(place, PLACES[0]), PLACES[1]));
}

/** Return an integer as bytes of seven bits, the lowest first. The sign is the lowest bit, so that small steps take one byte. */
function toBytes(value) {
  const bytes = [];
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  for (; rest > 127; rest >>= 7) bytes.push((rest & 127) | 128);
  return [...bytes, rest];
}

/** Return the integers of a text with one character for each byte. */
function toValues(text) {
  const values = [];
  let [value, shift] = [0, 0];
  for (const character of text) {
    const byte = character.charCodeAt(0);
    value |= (byte & 127) << shift;
    shift += 7;
    if (byte > 127) {
      if (shift > 21) throw new RangeError("no such integer");
      continue;
    }
    values.push(value & 1 ? -(value + 1) / 2 : value / 2);
    [value, shift] = [0, 0];
  }
  if (shift > 0) throw new RangeError("an integer is cut off");
  return values;
}

/** @param {number[]} range @param {number} value */
function isWithin([low, high], value) {
  return value >= low && value <= high;
}
