// The curves: one chart for each figure, with marks where the cluster changed.
import { color, figure, node } from "./text.js";

const kinds = [
  { name: "Loss", column: 1, log: true, epochs: "loss", until: "from the first steps on" },
  { name: "Accuracy", column: 2, epochs: "accuracy", until: "from the first checkpoint on" },
  { name: "Learning rate", column: 3, log: true, until: "from the first checkpoint on" },
  { name: "Gradient norm", column: 4, log: true, until: "from the first checkpoint on" },
  { name: "Samples a second", column: 5, until: "from when this page was started on" },
];

// tick is a figure at an axis, with as many digits as neighbours differ by.
function tick(v) {
  if (v === null) return "";
  const size = Math.abs(v), short = Number(v.toPrecision(6));
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? short.toExponential() : String(short);
}

// room is the width in pixels that an axis needs for its figures: a digit takes 7.
const room = (_, figures) => Math.max(62, 20 + 7 * Math.max(0, ...(figures ?? []).map((f) => f.length)));

// smoothed is an exponential moving average that starts without a bias. Gaps stay gaps.
export function smoothed(values, weight) {
  if (!weight) return values;
  let last = 0, mass = 0;
  return values.map((v) => {
    if (v === null) return null;
    last = last * weight + v * (1 - weight);
    mass = mass * weight + (1 - weight);
    return last / mass;
  });
}

// join puts curves with different steps over each other: [steps, column, column, ...]. Each curve is in the order of its steps.
export function join(curves) {
  const at = curves.map(() => 0), steps = [], columns = curves.map(() => []);
  for (;;) {
    let step = Infinity;
    curves.forEach((c, k) => { if (at[k] < c.length && c[at[k]][0] < step) step = c[at[k]][0]; });
    if (step === Infinity) return [steps, ...columns];
    steps.push(step);
    curves.forEach((c, k) => {
      let value;
      while (at[k] < c.length && c[at[k]][0] === step) value = c[at[k]++][1];
      columns[k].push(value);
    });
  }
}

export class Charts {
  constructor(root) {
    this.root = root;
    this.charts = [];
    this.marks = [];
    this.options = { smooth: 0, log: false };
    this.range = null; // the steps that are zoomed into; null: all
    this.zoomed = () => {};
    this.sizes = new ResizeObserver(() => this.resize());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
    root.addEventListener("keydown", (e) => this.key(e));
  }

  // show draws the curves: points are rows of the job, others [name, rows], epochs of the evaluation.
  show(points, others, epochs, marks) {
    this.last = [points, others, epochs];
    this.marks = marks;
    kinds.forEach((kind, i) => {
      const known = (rows) => rows.filter((p) => p[kind.column] !== null).map((p) => [p[0], p[kind.column]]);
      const lines = [["training", smooth(known(points), this.options.smooth)]];
      if (kind.epochs) lines.push(["evaluation", epochs.filter((e) => e.step > 0 && e[kind.epochs] !== null).map((e) => [e.step, e[kind.epochs]])]);
      for (const [name, rows] of others) lines.push([name, smooth(known(rows), this.options.smooth)]);
      this.draw(i, kind, lines.filter(([, rows], k) => k === 0 || rows.length));
    });
  }

  // key zooms and moves by the keyboard.
  key(e) {
    const x = this.charts[0]?.plot.scales.x;
    if (!x || x.min === null) return;
    const wide = x.max - x.min;
    const to = { "+": [x.min + wide / 4, x.max - wide / 4], "-": [x.min - wide / 2, x.max + wide / 2], ArrowLeft: [x.min - wide / 4, x.max - wide / 4], ArrowRight: [x.min + wide / 4, x.max + wide / 4] }[e.key];
    if (e.key === "0" || e.key === "Escape") this.all();
    else if (to) this.zoom(...to);
    else return;
    e.preventDefault();
  }

  // zoom shows some steps, as far as there are any.
  zoom(min, max) {
    const steps = this.charts[0].plot.data[0];
    if (!steps.length) return;
    min = Math.max(min, steps[0]);
    max = Math.min(max, steps.at(-1));
    if (max - min < 2) return;
    for (const c of this.charts) c.plot.setScale("x", { min, max });
  }

  all() { for (const c of this.charts) c.plot.setData(c.plot.data, true); }

  // scaled notes what part is shown, and calls back where that is another one.
  scaled(u) {
    const { min, max } = u.scales.x, steps = u.data[0];
    if (!steps?.length || min === null) return;
    const range = min > steps[0] || max < steps.at(-1) ? [Math.max(0, Math.floor(min)), Math.ceil(max)] : null;
    if (String(range) === String(this.range)) return;
    this.range = range;
    this.zoomed(...(range ?? [null, null]));
  }

  draw(i, kind, lines) {
    const names = lines.map(([name]) => name).join("\n") + this.options.log;
    const data = join(lines.map(([, rows]) => rows));
    let c = this.charts[i];
    if (c && c.names === names) {
      c.plot.setData(data, !this.range);
      if (this.range) c.plot.redraw();
      this.say(c, kind, lines);
      return;
    }
    if (c) this.remove(c);
    const words = node("p", { class: "unseen" });
    const box = node("div", { class: "chart" }, node("h3", {}, kind.name), words, node("p", { class: "hint nothing" }, kind.until));
    this.root.insertBefore(box, this.root.children[i] ?? null);
    const colors = ["--main", "--second", "--good", "--warn"];
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") }, font: "11px system-ui" };
    const series = [{ label: "step", value: (_, v) => (v === null ? "–" : Number(v).toLocaleString("en-US")) }].concat(lines.map(([name], k) => ({
      label: name, stroke: color(colors[k % colors.length]), width: 1.5, spanGaps: true, points: { show: name === "evaluation" ? true : undefined, size: 5 },
      value: (_, v) => (v === null || v === undefined ? "–" : figure(v)),
    })));
    const plot = new window.uPlot({
      width: box.clientWidth, height: 190, padding: [null, 32, null, null], series, axes: [axis, { ...axis, size: room, values: (_, all) => all.map(tick) }],
      scales: { x: { time: false }, y: { distr: this.options.log && kind.log ? 3 : 1 } },
      cursor: { sync: { key: "step" } }, hooks: { drawAxes: [(u) => this.drawMarks(u)], setScale: [(u, key) => { if (key === "x" && this.charts[i]?.plot === u) this.scaled(u); }] },
    }, data, box);
    this.charts[i] = { plot, box, names, words };
    this.sizes.observe(box);
    if (this.range) plot.setScale("x", { min: this.range[0], max: this.range[1] });
    this.say(this.charts[i], kind, lines);
  }

  // say tells a chart in words, for those who do not see it.
  say(c, kind, lines) {
    const text = lines.filter(([, rows]) => rows.length).map(([name, rows]) => `${kind.name}, ${name}: ${figure(rows[0][1])} at step ${rows[0][0]}, ${figure(rows.at(-1)[1])} at step ${rows.at(-1)[0]}`).join("; ");
    if (c.words.textContent !== text) c.words.textContent = text;
    c.box.classList.toggle("empty", !text);
  }

  drawMarks(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.setLineDash([3, 3]);
    for (const [kind, name, alpha, from] of [["save", "--good", 0.35, 0.9], ["view", "--main", 0.8, 0], ["lost", "--bad", 0.8, 0]]) {
      ctx.strokeStyle = color(name);
      ctx.globalAlpha = alpha;
      ctx.beginPath();
      let before = -1;
      for (const m of this.marks) {
        const x = m.kind === kind ? Math.round(u.valToPos(m.step, "x", true)) : -1;
        if (x === before || x < bbox.left || x > bbox.left + bbox.width) continue;
        before = x;
        ctx.moveTo(x, bbox.top + bbox.height * from);
        ctx.lineTo(x, bbox.top + bbox.height);
      }
      ctx.stroke();
    }
    ctx.restore();
  }

  resize() {
    for (const c of this.charts) if (c.plot.width !== c.box.clientWidth) c.plot.setSize({ width: c.box.clientWidth, height: 190 });
  }

  remove(c) {
    this.sizes.unobserve(c.box);
    c.plot.destroy();
    c.box.remove();
  }

  rebuild() {
    for (const c of this.charts) this.remove(c);
    this.charts = [];
    if (this.last) this.show(...this.last, this.marks);
  }
}

function smooth(rows, weight) {
  const values = smoothed(rows.map((r) => r[1]), weight);
  return rows.map((r, i) => [r[0], values[i]]);
}
