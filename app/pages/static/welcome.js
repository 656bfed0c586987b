// The first impression: a digit draws itself once on the paper, while the bars show what the shipped model says of its parts.

import { byId } from "./dom.js";

const MILLISECONDS = 3000;
const THREE = "M59 23C62 12 89 10 88 26C87 36 78 39 70 39C79 39 93 43 92 56C90 71 64 72 57 59";

// Shares of the stroke, and the probabilities that the shipped model gave them. They are recorded, so that an operator counts no
// picture that nobody has sent.
const ANSWERS = [
  { part: 0.35, digit: 7, known: { 7: 1 } },
  { part: 0.5, digit: 0, known: { 0: 0.6, 2: 0.01, 3: 0.02, 7: 0.33, 9: 0.03 } },
  { part: 0.6, digit: 2, known: { 2: 0.98, 7: 0.02 } },
  { part: 0.7, digit: 3, known: { 3: 1 } },
];

/** @param {(prediction: object | null) => void} show shows an answer to a part of the digit, and at last none */
export function welcome(show) {
  if (byId("views").matches(".used") || byId("answer").dataset.state !== "empty") return;
  const path = made("path", { d: THREE, pathLength: 1, "stroke-width": 5 });
  const svg = made("svg", { id: "welcome", class: "moving", viewBox: "0 0 150 100", "aria-hidden": true });
  svg.append(path);
  byId("paper").prepend(svg);
  path.animate({ strokeDashoffset: [1, 0] }, MILLISECONDS);
  const at = (part, act) => setTimeout(() => svg.isConnected && act(), part * MILLISECONDS);
  for (const { part, digit, known } of ANSWERS) {
    const probabilities = Array.from({ length: 10 }, (_, each) => known[each] ?? 0);
    at(part, () => show({ digit, probabilities }));
  }
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
