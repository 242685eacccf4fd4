// The ring as a picture: an arc for each worker's seats, joiners outside it, and who waits for whom.
import { color, count, lasting, node } from "./text.js";
import { elsewhere, worthTelling } from "./workers.js";

// States, the ones to look at last: of workers that share a piece of the picture the last one gives its colour.
const states = ["training", "ready", "saving", "taking state", "failed", "broken"];
const colors = { training: "--main", ready: "--good", "taking state": "--warn", saving: "--good", broken: "--bad", failed: "--bad" };
const most = 120; // pieces of the picture; with more workers neighbours share one
const named = 60; // workers with a name of their own in it
let drawn = "";

// draw draws the ring of a job, and the workers that are free. Those of other jobs are not part of the picture.
export function draw(root, waits, all, seats, job) {
  const workers = all.filter((w) => !elsewhere(w, job)), away = all.length - workers.length;
  const seated = workers.filter((w) => w.arc).sort((a, b) => a.arc[0] - b.arc[0]);
  const others = workers.filter((w) => !w.arc);
  const pieces = divide(seated, seats);
  const lines = links(pieces);
  tell(waits, seated);
  const key = JSON.stringify([color("--main"), seats, pieces.map((p) => [p.from, p.to, p.state, p.workers.length, p.workers[0].id]), lines.map((l) => [l.from.from, l.to.from]), others.map((w) => [w.id, w.state]), away]);
  if (key === drawn) return;
  drawn = key;
  const svg = node("svg:svg", { viewBox: "-170 -150 340 300", role: "img", "aria-label": describe(seated, others) });
  const at = (turn, r) => [r * Math.sin(2 * Math.PI * turn), -r * Math.cos(2 * Math.PI * turn)];
  for (const p of pieces) {
    const gap = pieces.length > 1 ? Math.min(0.006, 0.08 / pieces.length) : 0.002;
    const from = p.from / seats + gap, to = p.to / seats - gap;
    const [x1, y1] = at(from, 100), [x2, y2] = at(to, 100);
    const path = `M${x1} ${y1}A100 100 0 ${to - from > 0.5 ? 1 : 0} 1 ${x2} ${y2}`;
    svg.append(node("svg:path", { d: path, fill: "none", stroke: color(colors[p.state] ?? "--dim"), "stroke-width": 18, class: "arc" }, node("svg:title", {}, p.title)));
    if (p.state === "training" && pieces.length <= named) svg.append(node("svg:path", { d: path, fill: "none", stroke: color("--card"), "stroke-width": 2, class: "flow" }));
    if (seated.length <= named) label(svg, p.workers[0], at((from + to) / 2, 126), (from + to) / 2);
  }
  for (const l of lines) {
    const [x1, y1] = at((l.from.from + l.from.to) / 2 / seats, 86), [x2, y2] = at((l.to.from + l.to.to) / 2 / seats, 86);
    svg.append(node("svg:line", { x1, y1, x2, y2, stroke: color("--warn"), "stroke-width": 1.5, "stroke-dasharray": "4 4" }, node("svg:title", {}, l.title)));
  }
  others.slice(0, 12).forEach((w, i) => {
    const x = -150 + (others.length <= 6 ? 50 : 25) * i; // where names stand beside them, they need room
    svg.append(node("svg:circle", { cx: x, cy: 140, r: 6, fill: color("--dim") }, node("svg:title", {}, title(w))));
    if (others.length <= 6) svg.append(node("svg:text", { x: x + 9, y: 144, class: "dim" }, w.id));
  });
  const words = seated.length ? [`${count(seated.length)} of ${count(workers.length)} in the ring`, `${count(seats)} seats`] : ["no ring", others.length ? `${count(others.length)} idle` : away ? `${count(away)} for other jobs` : "no workers"];
  words.forEach((text, i) => svg.append(node("svg:text", { x: 0, y: 4 + 15 * i, "text-anchor": "middle", class: i ? "dim" : "" }, text)));
  root.replaceChildren(svg);
}

// divide makes the pieces of the picture: one for each worker, or for neighbours.
function divide(seated, seats) {
  const each = Math.max(1, Math.ceil(seated.length / most));
  const pieces = [];
  for (let i = 0; i < seated.length; i += each) {
    const workers = seated.slice(i, i + each);
    const state = workers.map((w) => w.state).reduce((a, b) => (states.indexOf(b) > states.indexOf(a) ? b : a));
    pieces.push({ workers, state, from: workers[0].arc[0], to: workers.at(-1).arc[1], title: workers.length === 1 ? title(workers[0]) :
      `${workers[0].id} to ${workers.at(-1).id}, seats ${workers[0].arc[0]} to ${workers.at(-1).arc[1] - 1}: ${counts(workers)}` });
  }
  return pieces;
}

// counts says how many workers are in which state.
function counts(workers) {
  const n = new Map();
  for (const w of workers) n.set(w.state, (n.get(w.state) ?? 0) + 1);
  return [...n].map(([state, k]) => `${count(k)} ${state}`).join(", ");
}

const waiting = (w) => w.waiting_for && w.waiting_for.since_ms >= worthTelling;

// links are the lines between pieces whose workers wait for each other, each once.
function links(pieces) {
  const of = new Map(pieces.flatMap((p) => p.workers.map((w) => [w.id, p])));
  const lines = new Map();
  pieces.forEach((from, i) => {
    for (const w of from.workers.filter(waiting)) {
      const to = of.get(w.waiting_for.worker);
      if (to && to !== from) lines.set(`${i} ${to.from}`, { from, to, title: `${w.id} waits for ${w.waiting_for.worker}` });
    }
  });
  return [...lines.values()];
}

// tell says in words who waits for whom: those for whom most wait.
function tell(list, seated) {
  const held = new Map();
  for (const w of seated.filter(waiting)) {
    const h = held.get(w.waiting_for.worker) ?? { worker: w.waiting_for, who: [] };
    h.who.push(w.id);
    if (w.waiting_for.since_ms > h.worker.since_ms) h.worker = w.waiting_for;
    held.set(w.waiting_for.worker, h);
  }
  const all = [...held.values()].sort((a, b) => b.who.length - a.who.length || b.worker.since_ms - a.worker.since_ms);
  const lines = all.slice(0, 5).map(({ worker, who }) =>
    `${who.length > 3 ? `${count(who.length)} workers wait` : `${who.join(", ")} ${who.length > 1 ? "wait" : "waits"}`} for ${worker.worker}: ${worker.doing}, ${lasting(worker.since_ms)}`);
  if (all.length > 5) lines.push(`and for ${count(all.length - 5)} others`);
  const text = lines.join("\n");
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  list.replaceChildren(...lines.map((l) => node("li", {}, l)));
}

function label(svg, w, [x, y], turn) {
  const side = Math.sin(2 * Math.PI * turn);
  svg.append(node("svg:text", { x, y: y + 4, "text-anchor": side > 0.3 ? "start" : side < -0.3 ? "end" : "middle" }, w.id));
}

const title = (w) => `${w.id} on ${w.host}: ${w.state}${w.arc ? `, seats ${w.arc[0]} to ${w.arc[1] - 1}` : ", no seats"}`;

function describe(seated, others) {
  const parts = seated.length > named ? [`${count(seated.length)} workers in the ring: ${counts(seated)}`] : seated.map(title);
  if (others.length) parts.push(`${count(others.length)} without seats`);
  return parts.join("; ") || "no workers";
}
