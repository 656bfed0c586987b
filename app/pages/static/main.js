// Connects the parts of the page: what is drawn or opened is read, and what was read is shown.

import { FRESH, decodeStrokes, encodeStrokes, fragment, parseFragment, setAddress } from "./address.js";
import { Answer, wordFor } from "./answer.js";
import { fetchWithKey, whenKeyAccepted } from "./api_key.js";
import { Boxes, around, nearestTo, smallestAt } from "./boxes.js";
import { byId, element, loadStyle } from "./dom.js";
import { Drawing } from "./drawing.js";
import { exampleFile, followFiles } from "./files.js";
import { NumberText } from "./number.js";
import { ReadingRequests } from "./requests.js";
import { isUnsure, problemSentence } from "./verdict.js";

const UNREACHABLE = problemSentence({ status: 0 }, false);

const answer = new Answer();
const number = new NumberText(select);
const requests = new ReadingRequests(showReading, (problem, retries) => showProblem(problemSentence(problem, retries)));
const drawing = new Drawing(byId("canvas"), {
  onChange: onDrawingChange,
  digitAt: (point) => (isNumber() ? smallestAt(boxes.places, point) : -1),
  onTap: select,
});
const boxes = new Boxes(byId("boxes"), (box) => drawing.toCanvas(box));

let changes = 0; // a file that was opened before the last change is ignored
let pictureBefore = null;
let opened = null; // the picture of the file that was opened last, null for a refused file, undefined until it is prepared
let reading = null; // the service's reply that is shown
let selected = 0; // the index of the digit whose details are shown
let describedVersion = null; // the model version that the page describes
let saliency = null; // the explanations, once a version has answered that offers them
let lab = null; // once it was opened
let stack = null; // the stack of pictures, once several files have arrived
let outside = ""; // the view to return to from the lab
let panel = null; // of the lab, when it was left

// What is on the paper

function onDrawingChange() {
  const { picture, isBlank } = drawing;
  changes++;
  byId("taken").textContent = "";
  const name = picture?.shown ? picture.name : `${picture?.name} (cannot be shown here)`;
  byId("drawing").style.setProperty("--ratio", drawing.ratio);
  byId("views").classList.toggle("used", !isBlank);
  byId("caption").hidden = picture === null;
  byId("caption").replaceChildren(element("span", { textContent: name }));
  byId("undo").setAttribute("aria-disabled", String(!drawing.canUndo));
  byId("redo").setAttribute("aria-disabled", String(!drawing.canRedo));
  byId("clear").setAttribute("aria-disabled", String(isBlank));
  setAddress(FRESH); // what it says is not what is drawn now
  if (!drawing.isPenDown) history.replaceState(picture ? null : { strokes: drawing.strokes, ratio: drawing.ratio }, ""); // for a reload
  if (drawing.strokes.length > 0 || picture !== opened) leaveDesk();
  if (isBlank) {
    requests.cancel();
    hideReading();
    answer.showEmpty();
  } else if (picture !== null) {
    hideReading();
    answer.showWaiting();
    requestReading({ now: true });
  } else {
    if (pictureBefore !== null) {
      requests.cancel();
      hideReading();
    }
    // A number keeps its answer until the stroke ends, and a dot may become a stroke.
    if (!drawing.isPenDown || !(isNumber() || drawing.isDot)) requestReading();
  }
  pictureBefore = picture;
}

/** Request a reading of the visible picture or drawing. */
function requestReading(options) {
  const { picture } = drawing;
  requests.request(async () => {
    const ignoresSeparators = byId("ignore").checked;
    if (picture !== null) return { ...picture, ignoresSeparators, isUnfinished: false };
    const isUnfinished = drawing.isPenDown && !isNumber();
    return { body: await drawing.toBlob(), type: "image/png", ignoresSeparators, isUnfinished };
  }, options);
}

/** Read everything again, because the switch has changed. */
function readAgain() {
  setAddress({ ignoresSeparators: byId("ignore").checked });
  if (!drawing.isBlank) requestReading({ now: true });
  stack?.readAgain();
}

function isNumber() {
  return reading !== null && reading.digits.length > 1;
}

// What was read

function showReading(newReading, milliseconds) {
  reading = newReading;
  const { digits, marks, model } = reading;
  if (drawing.isPenDown && !isNumber()) digits[0].isUnfinished = true; // the reply is for an earlier stroke
  const hasBoxes = isNumber() || marks.length > 0 || (view() === "desk" && "box" in digits[0]);
  if (view() === "desk" && hasBoxes) drawing.zoom(around([...digits, ...marks].map(({ box }) => box), drawing.picture));
  showBoxes(hasBoxes ? digits : [], marks);
  if (isNumber()) number.show(reading);
  else number.hide();
  const point = drawing.lastPoint;
  const doubtful = (view() === "desk" && digits[stack.digit]) || digits.find(isUnsure);
  select(isNumber() && point ? nearestTo(boxes.places, point) : Math.max(0, digits.indexOf(doubtful)));
  answer.showTime(milliseconds);
  reveal("restoring");
  byId("look-note").textContent = ""; // the service can be reached
  byId("take").hidden = false;
  byId("share").hidden = drawing.picture !== null && parseFragment(location.hash).example === null; // a link holds no picture
  describeIfNew(model.version);
}

/** Show the details of a digit. */
function select(index) {
  selected = index;
  number.select(index);
  boxes.select(index);
  answer.show(reading, index);
  saliency?.show(reading.digits[index]);
  showInLab();
}

/** Show what the sliders of the lab have made of the selected digit. */
function showDistorted(digit) {
  answer.show({ ...reading, digits: reading.digits.map((each, index) => (index === selected ? digit : each)) }, selected);
  if (!digit.isUnfinished) saliency?.show(digit);
}

function showBoxes(digits, marks = []) {
  boxes.show(digits, marks);
  byId("paper").classList.toggle("boxed", digits.length > 0);
}

function hideReading() {
  // A page that becomes shorter would scroll, and the paper with it.
  byId("answer").style.minHeight = scrollY > 0 ? `${byId("answer").offsetHeight}px` : "";
  reading = null;
  showBoxes([]);
  number.hide();
  saliency?.hide();
  byId("take").hidden = true;
  showInLab();
}

/** Say why there is no answer. The answer before would contradict it. */
function showProblem(sentence) {
  hideReading();
  answer.showProblem(sentence);
  reveal("restoring");
}

/** Say why nothing was done. */
function refuse(sentence) {
  requests.cancel();
  showProblem(sentence);
}

/** Return the served version's manifest, or null. */
async function manifest() {
  const reply = await fetchWithKey("model").catch(() => null);
  return reply?.ok ? reply.json().catch(() => null) : null;
}

/** @param {number | null} version the version that has answered, or null before the first answer */
async function describeModel(version) {
  describedVersion = version;
  const model = await manifest();
  const hasSaliency = model?.outputs.some(({ name }) => name === "saliency") ?? false;
  const module = hasSaliency ? await import("./saliency.js").catch(() => null) : null;
  if (describedVersion !== version) return;
  if (model?.version !== version || (hasSaliency && !module)) describedVersion = null; // ask again after the next answer
  if (module) saliency ??= new module.Saliency(() => (describedVersion = null)); // the service has switched to another version
  saliency?.offer(hasSaliency);
  answer.showModel(model);
  if (reading?.model.version === version) select(selected); // with the names of the classes
}

function describeIfNew(version) {
  return describedVersion === version ? undefined : describeModel(version);
}

// Files

async function openFile(file) {
  const change = ++changes;
  opened = undefined;
  requests.cancel();
  answer.showWaiting();
  const pictures = await import("./pictures.js").catch(() => null);
  if (pictures === null) return refuse(UNREACHABLE);
  try {
    const picture = await pictures.preparePicture(file);
    if (change !== changes) return;
    opened = picture;
    drawing.showPicture(picture);
  } catch (error) {
    if (!(error instanceof pictures.NotAPicture)) throw error;
    if (change !== changes) return;
    opened = null;
    drawing.clear(); // otherwise the refusal would stand beside the previous picture
    refuse(error.message);
  }
}

/** Show one file on the paper, or read several as a stack. */
async function openFiles(files) {
  if (files.length === 1) {
    leaveDesk();
    return openFile(files[0]);
  }
  const module = await loadPart(() => import("./stack.js"), "stack.css", stack);
  if (module === null) return refuse(UNREACHABLE);
  stack ??= new module.Stack({
    ...{ open: openFile, describe: describeIfNew, show, isOpen: () => view() === "desk" },
    select: (index) => reading?.digits[index] && select(index),
  });
  stack.add(files);
}

/** Load a part of the page with its style. Returns null if the service cannot be reached. */
async function loadPart(load, style, loaded) {
  const [module] = await Promise.all([load().catch(() => null), loaded ? null : loadStyle(style)]);
  return module;
}

// The views: "" for drawing, "lab", and "desk" for checking a stack

function view() {
  return byId("views").dataset.view ?? "";
}

async function show(name, place = {}) {
  const module = name === "lab" ? await loadPart(loadLab, "lab.css", lab) : null;
  reveal("opening");
  byId("look-note").textContent = module === null && name === "lab" ? `The lab could not be loaded. ${UNREACHABLE}` : "";
  if (name === "lab" && module === null) return;
  if (view() === "lab") {
    panel = parseFragment(location.hash).panel;
    lab.leave();
  } else outside = view();
  byId("views").dataset.view = name;
  document.documentElement.classList.toggle("large", name === "lab");
  byId("look").setAttribute("aria-pressed", String(name === "lab"));
  byId("lab").hidden = name !== "lab";
  byId("desk").hidden = name !== "desk";
  setAddress({ lab: name === "lab", ...place });
  if (name === "lab") lab ??= new module.Lab(showDistorted, (box) => drawing.toCanvas(box));
  showInLab();
}

/** Return the module of the lab, once its elements are on the page. */
async function loadLab() {
  const [module, reply] = await Promise.all([import("./lab.js"), fetch(new URL("lab.html", import.meta.url))]);
  if (!reply.ok) throw new TypeError(`expected the lab, received the status ${reply.status}`);
  const text = await reply.text();
  if (byId("lab").childElementCount === 0) byId("lab").innerHTML = text;
  return module;
}

/** The paper no longer shows the picture of the desk. */
function leaveDesk() {
  outside = "";
  if (view() === "desk") show("");
}

function showInLab() {
  if (view() === "lab") lab?.show(reading?.digits[selected] ?? null, reading?.model.version);
}

byId("look").addEventListener("click", () => (view() === "lab" ? show(outside) : show("lab", { panel })));
byId("ignore").addEventListener("change", readAgain);

// The address remembers what is open and switched on, and holds the drawing while somebody looks at another page

function followAddress() {
  const place = parseFragment(location.hash);
  const { lab: isLab, ignoresSeparators, strokes, example } = place;
  if (isLab !== (view() === "lab")) show(isLab ? "lab" : outside);
  if (ignoresSeparators !== byId("ignore").checked) {
    byId("ignore").checked = ignoresSeparators;
    readAgain();
  }
  if (example !== null) return openExample(example, place);
  if (strokes === null) return showInLab();
  const shared = decodeStrokes(strokes);
  if (shared) drawing.restore(shared); // which removes much from the address
  setAddress({ ...place, strokes: shared && strokes });
  if (!shared) refuse("This link holds no drawing that can be shown. A part of it may be missing.");
}

/** Show an example, which the address then names beside what it says already. */
async function openExample(name, place = {}) {
  const file = await exampleFile(name);
  if (file === null) return refuse("This example could not be loaded.");
  await openFiles([file]);
  setAddress({ ...place, example: name });
}

/** Show what a link or a reload has restored, once all has its place. */
function reveal(hidden) {
  requestAnimationFrame(() => requestAnimationFrame(() => document.body.classList.remove(hidden)));
}

/** Return the address with the strokes of the drawing or the name of the example, or null without them. */
function sharedUrl() {
  const place = { ...parseFragment(location.hash), strokes: encodeStrokes(drawing) };
  return (place.strokes ?? place.example) && new URL(fragment(place), location.href).href;
}

document.addEventListener("click", (event) => {
  /** @type {HTMLAnchorElement | null} */
  const link = /** @type {Element} */ (event.target).closest("a[href]");
  if (!link) return;
  setAddress({ strokes: encodeStrokes(drawing) });
  if (link.matches('[href^="model/card"]')) link.hash = location.hash; // the card's link back has it too
});

// Buttons and keys

for (const command of ["undo", "redo", "clear"]) byId(command).addEventListener("click", () => drawing[command]());
byId("take").addEventListener("click", async ({ target }) => {
  const take = await import("./take.js").catch(() => null);
  if (target.id === "share") take?.copyLink(sharedUrl());
  else if (target.id === "copy") take?.copyAnswer(reading);
  else if (target.id === "save") take?.savePng(reading);
});

document.addEventListener("keydown", (event) => {
  const { key, ctrlKey, metaKey, shiftKey, altKey } = event;
  const command = { z: shiftKey ? "redo" : "undo", y: shiftKey ? null : "redo" }[key.toLowerCase()];
  const isTyping = /** @type {Element} */ (event.target).closest("input:not([type=range]), textarea, select, [contenteditable]") != null;
  if (!command || !(ctrlKey || metaKey) || altKey || isTyping || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  drawing[command]();
});
byId("canvas").addEventListener("keydown", (event) => {
  if (!["Delete", "Backspace", "Escape"].includes(event.key)) return;
  event.preventDefault();
  drawing.clear();
});

byId("quality").addEventListener("toggle", showQuality, { once: true });

async function showQuality() {
  const [module, model] = await Promise.all([import("./quality.js").catch(() => null), manifest()]);
  module?.showQuality(model);
}

whenKeyAccepted(() => {
  byId("canvas").focus();
  onDrawingChange();
  stack?.resume();
  if (byId("quality").open) showQuality();
});

// The first impression

const hasOwnClasses = document.documentElement.dataset.classes === "own";
const before = history.state; // what was drawn before a reload
followFiles(openFiles, openExample, refuse);
addEventListener("hashchange", followAddress);
document.body.classList.toggle("opening", parseFragment(location.hash).lab); // until the lab is open
followAddress();
if (drawing.isBlank && before?.strokes.length) drawing.restore(before);
document.body.classList.toggle("restoring", !drawing.isBlank || parseFragment(location.hash).example !== null); // until the answer
if (hasOwnClasses) {
  wordFor({ ownClasses: true });
  if (drawing.isBlank) answer.showEmpty();
  describeModel(null);
} else if (view() === "" && byId("answer").dataset.state === "empty" && matchMedia("(prefers-reduced-motion: no-preference)").matches) {
  const module = await import("./welcome.js").catch(() => null);
  module?.welcome((prediction) => answer.showWelcome(prediction));
}
