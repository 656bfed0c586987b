// Lines from a hidden unit to the outputs, as wide as what the unit adds to each.

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {SVGElement} picture over the part of the page that has both
 * @param {{x: number, y: number}} from the unit's dot
 * @param {HTMLElement[]} outputs
 * @param {number[]} additions what the unit adds to each output
 */
export function drawLines(picture, from, outputs, additions) {
  const widest = Math.max(...additions.map(Math.abs)) || 1;
  const lines = outputs.map(({ offsetLeft: x, offsetTop, offsetHeight }, index) => {
    const y = offsetTop + offsetHeight / 2;
    const middle = (from.x + x) / 2;
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("d", `M${from.x},${from.y}C${middle},${from.y} ${middle},${y} ${x},${y}`);
    line.setAttribute("stroke-width", String(0.5 + (3.5 * Math.abs(additions[index])) / widest));
    line.classList.toggle("negative", additions[index] < 0);
    return line;
  });
  picture.replaceChildren(...lines);
}
