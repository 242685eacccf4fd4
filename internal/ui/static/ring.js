// The ring as a picture: an arc for each worker's seats, joiners outside it, and who waits for whom.
import { color, node } from "./text.js";

const colors = { training: "--main", ready: "--good", "taking state": "--warn", saving: "--good", broken: "--bad", failed: "--bad" };
const most = 200; // workers with a name of their own in the picture

export function draw(root, workers, seats) {
  const seated = workers.filter((w) => w.arc).sort((a, b) => a.arc[0] - b.arc[0]);
  const others = workers.filter((w) => !w.arc);
  const svg = node("svg:svg", { viewBox: "-170 -150 340 300", role: "img", "aria-label": describe(seated, others) });
  const at = (turn, r) => [r * Math.sin(2 * Math.PI * turn), -r * Math.cos(2 * Math.PI * turn)];
  const middle = new Map();
  for (const w of seated) {
    const gap = seated.length > 1 ? Math.min(0.006, 0.2 / seated.length) : 0.002;
    const from = w.arc[0] / seats + gap, to = w.arc[1] / seats - gap;
    const [x1, y1] = at(from, 100), [x2, y2] = at(to, 100);
    middle.set(w.id, (from + to) / 2);
    const path = `M${x1} ${y1}A100 100 0 ${to - from > 0.5 ? 1 : 0} 1 ${x2} ${y2}`;
    svg.append(node("svg:path", { d: path, fill: "none", stroke: color(colors[w.state] ?? "--dim"), "stroke-width": 18 }, node("svg:title", {}, title(w))));
    if (w.state === "training") svg.append(node("svg:path", { d: path, fill: "none", stroke: color("--card"), "stroke-width": 2, class: "flow" }));
    if (seated.length <= most) label(svg, w, at(middle.get(w.id), 126), middle.get(w.id));
  }
  for (const w of seated) {
    const other = w.waiting_for && middle.get(w.waiting_for.worker);
    if (other === undefined || other === null) continue;
    const [x1, y1] = at(middle.get(w.id), 86), [x2, y2] = at(other, 86);
    svg.append(node("svg:line", { x1, y1, x2, y2, stroke: color("--warn"), "stroke-width": 1.5, "stroke-dasharray": "4 4" }, node("svg:title", {}, `${w.id} waits for ${w.waiting_for.worker}`)));
  }
  others.slice(0, 12).forEach((w, i) => {
    const x = -150 + 25 * i;
    svg.append(node("svg:circle", { cx: x, cy: 140, r: 6, fill: color("--dim") }, node("svg:title", {}, title(w))));
    if (others.length <= 6) svg.append(node("svg:text", { x: x + 9, y: 144, class: "dim" }, w.id));
  });
  const words = seated.length ? [`${seated.length} of ${workers.length} in the ring`, `${seats} seats`] : ["no ring", others.length ? `${others.length} idle` : "no workers"];
  words.forEach((text, i) => svg.append(node("svg:text", { x: 0, y: 4 + 15 * i, "text-anchor": "middle", class: i ? "dim" : "" }, text)));
  root.replaceChildren(svg);
}

function label(svg, w, [x, y], turn) {
  const side = Math.sin(2 * Math.PI * turn);
  svg.append(node("svg:text", { x, y: y + 4, "text-anchor": side > 0.3 ? "start" : side < -0.3 ? "end" : "middle" }, w.id));
}

const title = (w) => `${w.id} on ${w.host}: ${w.state}${w.arc ? `, seats ${w.arc[0]} to ${w.arc[1] - 1}` : ", no seats"}`;

function describe(seated, others) {
  const parts = seated.map(title);
  if (others.length) parts.push(`${others.length} without seats`);
  return parts.join("; ") || "no workers";
}
