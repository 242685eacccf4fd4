// The curves: one chart for each figure, with marks where the cluster changed.
import { color, figure, node } from "./text.js";

const kinds = [
  { name: "Loss", column: 1, log: true, epochs: "loss" },
  { name: "Accuracy", column: 2, epochs: "accuracy" },
  { name: "Learning rate", column: 3, log: true },
  { name: "Gradient norm", column: 4, log: true },
  { name: "Samples a second", column: 5 },
];

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

// join puts curves with different steps over each other: [steps, column, column, ...].
export function join(curves) {
  const steps = [...new Set(curves.flatMap((c) => c.map((p) => p[0])))].sort((a, b) => a - b);
  const at = new Map(steps.map((s, i) => [s, i]));
  return [steps, ...curves.map((c) => {
    const values = new Array(steps.length).fill(undefined);
    for (const [step, value] of c) values[at.get(step)] = value;
    return values;
  })];
}

export class Charts {
  constructor(root) {
    this.root = root;
    this.charts = [];
    this.marks = [];
    this.options = { smooth: 0, log: false };
    new ResizeObserver(() => this.resize()).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
  }

  // show draws the curves: points are rows of the job, others [name, rows], epochs of the evaluation.
  show(points, others, epochs, marks) {
    this.last = [points, others, epochs];
    this.marks = marks;
    kinds.forEach((kind, i) => {
      const own = points.filter((p) => p[kind.column] !== null).map((p) => [p[0], p[kind.column]]);
      const lines = [["training", smooth(own, this.options.smooth)]];
      if (kind.epochs) lines.push(["evaluation", epochs.filter((e) => e.step > 0 && e[kind.epochs] !== null).map((e) => [e.step, e[kind.epochs]])]);
      for (const [name, rows] of others) lines.push([name, smooth(rows.filter((p) => p[kind.column] !== null).map((p) => [p[0], p[kind.column]]), this.options.smooth)]);
      this.draw(i, kind, lines.filter(([, rows], k) => k === 0 || rows.length));
    });
  }

  draw(i, kind, lines) {
    const names = lines.map(([name]) => name).join("\n") + this.options.log;
    const data = join(lines.map(([, rows]) => rows));
    let c = this.charts[i];
    if (c && c.names === names) {
      const { min, max } = c.plot.scales.x;
      const zoomed = c.plot.data[0].length && (min > c.plot.data[0][0] || max < c.plot.data[0].at(-1));
      c.plot.setData(data, !zoomed);
      return;
    }
    if (c) { c.plot.destroy(); c.box.remove(); }
    const box = node("div", { class: "chart" }, node("h3", {}, kind.name));
    this.root.insertBefore(box, this.root.children[i] ?? null);
    const colors = ["--main", "--second", "--good", "--warn"];
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") }, font: "11px system-ui" };
    const series = [{ label: "step", value: (_, v) => (v === null ? "–" : Number(v).toLocaleString("en-US")) }].concat(lines.map(([name], k) => ({
      label: name, stroke: color(colors[k % colors.length]), width: 1.5, spanGaps: true, points: { show: name === "evaluation" ? true : undefined, size: 5 },
      value: (_, v) => (v === null || v === undefined ? "–" : figure(v)),
    })));
    const plot = new window.uPlot({
      width: this.width(), height: 190, series, axes: [axis, { ...axis, size: 62, values: (_, all) => all.map((v) => (v === null ? "" : figure(v))) }],
      scales: { x: { time: false }, y: { distr: this.options.log && kind.log ? 3 : 1 } },
      cursor: { sync: { key: "step" } }, hooks: { drawAxes: [(u) => this.drawMarks(u)] },
    }, data, box);
    this.charts[i] = { plot, box, names };
  }

  drawMarks(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.setLineDash([3, 3]);
    for (const m of this.marks) {
      const x = Math.round(u.valToPos(m.step, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = color(m.kind === "lost" ? "--bad" : m.kind === "save" ? "--good" : "--main");
      ctx.globalAlpha = m.kind === "save" ? 0.35 : 0.8;
      ctx.beginPath();
      ctx.moveTo(x, m.kind === "save" ? bbox.top + bbox.height * 0.9 : bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  width() {
    const columns = Math.max(1, Math.floor((this.root.clientWidth + 14) / 314));
    return Math.max(220, Math.floor((this.root.clientWidth - 14 * (columns - 1)) / columns) - 4);
  }

  resize() {
    for (const c of this.charts) c.plot.setSize({ width: this.width(), height: 190 });
  }

  rebuild() {
    for (const c of this.charts) { c.plot.destroy(); c.box.remove(); }
    this.charts = [];
    if (this.last) this.show(...this.last, this.marks);
  }
}

function smooth(rows, weight) {
  const values = smoothed(rows.map((r) => r[1]), weight);
  return rows.map((r, i) => [r[0], values[i]]);
}
