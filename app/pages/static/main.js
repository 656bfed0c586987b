// The page's parts tied together: what is drawn or chosen is asked about, what is answered is shown.

import { Answer } from "./answer.js";
import { ask, open, openPage, whenGiven } from "./key.js";
import { Paper } from "./paper.js";
import { NotAPicture, prepare } from "./pictures.js";
import { Questions } from "./questions.js";
import { Why } from "./why.js";

const byId = (id) => document.getElementById(id);

const answer = new Answer();
const why = new Why(() => question({ now: true }));
const questions = new Questions(answered, failed);
const paper = new Paper(byId("canvas"), changed);

let newest = 0; // of the files that are being opened; a stroke in the meantime counts more
let pictureBefore = null;

function changed() {
  const { picture, isBlank } = paper;
  newest++;
  const caption = element("span", picture ? (picture.shown ? picture.name : `${picture.name} (cannot be shown here)`) : "");
  byId("paper").classList.toggle("used", !isBlank);
  byId("caption").hidden = picture === null;
  byId("caption").replaceChildren(caption);
  byId("undo").setAttribute("aria-disabled", String(!paper.canUndo));
  byId("clear").setAttribute("aria-disabled", String(isBlank));
  if (isBlank) {
    questions.forget();
    answer.empty();
  } else if (picture !== null) {
    answer.waiting();
    question({ now: true });
  } else {
    if (pictureBefore !== null) questions.forget();
    question();
  }
  pictureBefore = picture;
}

/** Ask about what is on the sheet. */
function question(how) {
  const { picture } = paper;
  questions.ask(async () => {
    const { body, type } = picture ?? { body: await paper.toBlob(), type: "image/png" };
    return { body, type, include: why.include };
  }, how);
}

function answered(reply, milliseconds) {
  answer.show(reply, milliseconds);
  why.show(reply);
}

function failed(problem, again) {
  if (problem.status === 422 && /saliency/i.test(problem.detail)) {
    // Another version is served than the one that could tell.
    why.lose();
    question({ now: true });
  } else {
    answer.problem(sentenceFor(problem, again));
  }
}

/** Why there is no answer, for whoever drew. */
function sentenceFor({ status, detail }, again) {
  const soon = again ? " It is asked again by itself in a moment; your next stroke asks at once." : "";
  const why = detail ? `: ${detail}` : "";
  switch (status) {
    case 0:
      return `The service cannot be reached.${soon}`;
    case -1:
      return "The service took too long to answer. The next stroke asks again.";
    case 401:
      return "The service asks for an API key.";
    case 503:
      return `The service is not ready to answer yet.${soon}`;
    case 413:
      return `This picture is too large${why}.`;
    case 415:
      return `This kind of file cannot be read${why}. Save it as JPEG or PNG and choose that.`;
    case 422:
      if (/no ink/i.test(detail)) return "There is no digit to be seen here. Draw one large and clear.";
      return `This cannot be read as a digit${why}.`;
    default:
      return `The service could not answer (status ${status})${why}.${soon}`;
  }
}

async function take(file) {
  const mine = ++newest;
  questions.forget();
  answer.waiting();
  try {
    const picture = await prepare(file);
    if (mine === newest) paper.lay(picture);
  } catch (error) {
    if (!(error instanceof NotAPicture)) throw error;
    if (mine === newest) answer.problem(error.message);
  }
}

// Buttons

byId("undo").addEventListener("click", () => paper.undo());
byId("clear").addEventListener("click", () => paper.clear());
for (const [button, input] of [["choose", "file"], ["photo", "camera"]]) {
  byId(button).addEventListener("click", () => byId(input).click());
  byId(input).addEventListener("change", ({ target }) => {
    if (target.files.length) take(target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  });
}

// Keys

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "z") {
    event.preventDefault();
    paper.undo();
  }
});
byId("canvas").addEventListener("keydown", (event) => {
  if (["Escape", "Delete", "Backspace"].includes(event.key)) {
    event.preventDefault();
    paper.clear();
  }
});

// Files dropped anywhere on the page, and pasted

let depth = 0; // dragenter and dragleave come for every element that is crossed

function dragging(by) {
  depth = by === 0 ? 0 : Math.max(0, depth + by);
  document.body.classList.toggle("dragging", depth > 0);
}

const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");

document.addEventListener("dragenter", (event) => hasFiles(event) && dragging(1));
document.addEventListener("dragleave", (event) => hasFiles(event) && dragging(-1));
document.addEventListener("dragover", (event) => {
  event.preventDefault(); // else the browser would leave the page and open the file
  event.dataTransfer.dropEffect = hasFiles(event) ? "copy" : "none";
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  dragging(0);
  const [file] = event.dataTransfer.files;
  if (file) take(file);
  else answer.problem("That was no file. Save the picture first, or copy it and paste it here.");
});
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) take(file);
  else answer.problem("The clipboard holds no picture.");
});

// How good it is

const figures = [...document.querySelectorAll("#quality img")];

byId("quality").addEventListener("toggle", tellAccuracy, { once: true });
for (const image of figures) image.addEventListener("error", () => fetchFigure(image), { once: true });

/** The browser could not load it: where a key is wanted it has none to bring; or the model came without a report. */
async function fetchFigure(image) {
  const url = await open(image.src);
  image.closest("figure").hidden = url === null;
  if (url !== null) image.src = url;
}

async function tellAccuracy() {
  const reply = await ask("model").catch(() => null);
  const model = reply?.ok ? await reply.json() : null;
  const { accuracy, wilson_low: low, wilson_high: high } = model?.metrics?.test ?? {};
  if (accuracy === undefined) return;
  const of = model.dataset ? `${model.dataset.test_images.toLocaleString("en")} pictures` : "the pictures";
  const percent = (p) => `${(100 * p).toFixed(2)}\u00a0%`;
  const interval = low === undefined ? "" : ` (95\u00a0% interval ${percent(low)} to ${percent(high)})`;
  byId("accuracy").textContent =
    `Of ${of} of MNIST's test set, which it never saw in training, ${model.name} version ${model.version} reads ` +
    `${percent(accuracy)} right${interval}. Other people's handwriting differs; it may read yours better or worse.`;
}

// Where a key is wanted

whenGiven(() => {
  changed();
  if (!byId("quality").open) return;
  tellAccuracy();
  for (const image of figures) if (image.closest("figure").hidden) fetchFigure(image);
});

for (const link of document.querySelectorAll('a[href^="model/"]')) {
  // A link brings no key along.
  link.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const url = await openPage(link.href);
    if (url !== null || byId("access").hidden) location.assign(url ?? link.href);
    else byId("key").focus();
  });
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
