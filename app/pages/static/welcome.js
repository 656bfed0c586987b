// The first impression: a digit draws itself once on the paper, while the bars show what the service says of its parts.

import { byId, element } from "./dom.js";

const MILLISECONDS = 3000;
const PARTS = [0.35, 0.5, 0.6, 0.7, 0.85, 1]; // of the stroke, which the service is asked about
const THREE = "M59 23C62 12 89 10 88 26C87 36 78 39 70 39C79 39 93 43 92 56C90 71 64 72 57 59";
const LENGTH = 139.3; // of this path
const PAPER = { width: 150, height: 100 }; // in the units of the path
const LINE_WIDTH = 5;
const SCALE = 1.6; // pixels that are sent for each unit

/** @param {(prediction: object | null) => void} show shows an answer to a part of the digit, and at last none */
export async function welcome(show) {
  const body = new FormData();
  for (const part of PARTS) body.append("file", await pictureOf(part));
  // Without the key: a service that requires one must not ask for it before somebody draws.
  const reply = await fetch("predict", { method: "POST", body }).catch(() => null);
  const { predictions } = reply?.ok ? await reply.json().catch(() => ({})) : { predictions: null };
  if (!predictions || byId("views").matches(".used") || byId("answer").dataset.state !== "empty") return;
  const path = made("path", { d: THREE, pathLength: 1, "stroke-width": LINE_WIDTH });
  const svg = made("svg", { id: "welcome", class: "moving", viewBox: `0 0 ${PAPER.width} ${PAPER.height}`, "aria-hidden": true });
  svg.append(path);
  byId("paper").prepend(svg);
  path.animate({ strokeDashoffset: [1, 0] }, MILLISECONDS);
  const at = (part, act) => setTimeout(() => svg.isConnected && act(), part * MILLISECONDS);
  PARTS.forEach((part, index) => at(part, () => show(predictions[index])));
  at(1.3, () => {
    svg.classList.remove("moving");
    show(null);
  });
}

function made(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) node.setAttribute(attribute, value);
  return node;
}

/** Return the paper with a part of the digit, as a PNG. */
function pictureOf(part) {
  const canvas = element("canvas", { width: SCALE * PAPER.width, height: SCALE * PAPER.height });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(SCALE, SCALE);
  Object.assign(context, { lineWidth: LINE_WIDTH, lineCap: "round", lineJoin: "round" });
  context.setLineDash([part * LENGTH, LENGTH]);
  context.stroke(new Path2D(THREE));
  return new Promise((resolve) => canvas.toBlob(resolve));
}
