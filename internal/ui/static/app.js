// The page: it takes what the server streams and draws it.
import { act, buttons, open, say } from "./actions.js";
import { Charts } from "./chart.js";
import * as log from "./log.js";
import { draw } from "./ring.js";
import { bytes, count, duration, figure, fill, node } from "./text.js";
import { listen, Shares, table } from "./workers.js";

const $ = (id) => document.getElementById(id);
const chosen = new URLSearchParams(location.search).get("job") ?? "";
const charts = new Charts($("charts"));
const shares = new Shares();
const page = { head: null, workers: [], jobs: [], epochs: [], views: [], checkpoints: [], points: [], job: "", fine: null, others: new Map() };
globalThis.ringmaster = page; // for those who look with the browser's tools
const most = 200; // rows of a table that grows

function header() {
  const s = page.head, st = s.status;
  $("job").textContent = st?.job || "Ringmaster";
  document.title = st?.job ? `${st.job}: ${st.state}` : "Ringmaster";
  const state = s.error ? "no answer" : st?.job ? st.state : "no job yet";
  $("state").textContent = state;
  $("state").className = `badge ${state}`;
  const lines = [];
  if (s.error) lines.push(s.error);
  if (st?.stalled) lines.push(st.stalled.reason);
  if (st?.error) lines.push(st.error);
  if (st?.message && (st.state !== "running" || !st.stalled)) lines.push(st.message);
  for (const u of st?.unsaved ?? []) lines.push(u.text);
  banner(lines.join(" · "), s.error || st?.error);
  if (!st) return;
  $("progress").max = st.steps || 1;
  $("progress").value = st.steps ? st.step : 0;
  facts([
    ["step", st.steps ? `${count(st.step)} of ${count(st.steps)}` : count(st.step)], ["epoch", st.epoch], ["loss", figure(st.train_loss)],
    ["samples/s", st.samples_per_s ? count(Math.round(st.samples_per_s)) : "–"], ["time left", duration(st.left_s)], ["seed", s.seed],
    ["saved", st.saved_step === null ? "–" : `step ${count(st.saved_step)}`], ["digest", st.digest ? `${st.digest.slice(0, 16)}… at step ${count(st.digest_step)}` : "–"],
  ], st.digest);
  fill($("coordinators"), ["id", "address", "role"], st.coordinators.map((c) => [c.id, c.address, c.leader ? "leads" : ""]), "none");
  processes();
  scaling();
}

function banner(text, bad) {
  $("banner").hidden = !text;
  $("banner").className = bad ? "banner bad" : "banner";
  if ($("banner").textContent !== text) $("banner").textContent = text;
}

function facts(all, digest) {
  const list = $("facts");
  all.forEach(([name, value], i) => {
    const row = list.children[i] ?? list.appendChild(node("div", {}, node("dt"), node("dd")));
    row.children[0].textContent = name;
    if (row.children[1].textContent !== String(value)) row.children[1].textContent = value;
    if (name === "digest") { row.children[1].className = "mono"; row.children[1].title = digest; }
  });
}

const processes = () => options($("process"), [...(page.head?.status?.coordinators ?? []), ...page.workers].map((p) => p.id));

function scaling() {
  const s = page.head;
  $("scale").hidden = !s?.status || s.read_only || !open.includes(s.status.state);
  $("wanted").max = s?.seats ?? 1;
  if (document.activeElement !== $("wanted") && !$("wanted").dataset.touched) $("wanted").value = page.workers.filter((w) => w.arc).length || 1;
}

function workers() {
  draw($("ring"), $("waits"), page.workers, page.head?.seats || 1, page.head?.job);
  table(page.workers, shares, page.head?.job);
  processes();
  scaling();
}

function jobs() {
  const link = (j) => ({ key: `${j.id} ${j.id === page.head?.job}`, make: () => [node("a", { href: `/?job=${encodeURIComponent(j.id)}`, "aria-current": j.id === page.head?.job && "page" }, j.id)] });
  fill($("jobs"), ["job", "state", "place", "priority", "step", "workers", "actions", "message"], page.jobs.slice().reverse().slice(0, most).map((j) =>
    [link(j), j.state, j.place || "–", j.priority, j.steps ? `${count(j.step)} of ${count(j.steps)}` : count(j.step), j.workers || "–", buttons(j, page.head?.read_only), j.message]), "no jobs yet");
  const going = page.jobs.filter((j) => open.includes(j.state));
  const key = going.map((j) => `${j.id} ${j.state}`).join("\n") + page.head?.job;
  $("going").hidden = !chosen && going.length < 2;
  if ($("going").dataset.key !== key) {
    $("going").dataset.key = key;
    $("going").replaceChildren("Jobs: ", ...going.slice(0, 12).map((j) => node("a", { href: `/?job=${encodeURIComponent(j.id)}`, "aria-current": j.id === page.head?.job && "page" }, `${j.id} (${j.state})`)),
      chosen ? node("a", { href: "/" }, "what the cluster does now") : "");
  }
  options($("compare"), page.jobs.filter((j) => j.id !== page.head?.job && !page.others.has(j.id)).map((j) => j.id));
}

const views = () => fill($("views"), ["generation", "from step", "workers", "cause", "stalled", "reason"], page.views.slice().reverse().slice(0, most).map((v) =>
  [count(v.generation), count(v.step), v.workers, v.cause, v.stalled_ms === null ? "–" : `${figure(v.stalled_ms, 1)} ms`, v.reason]), "none yet");

const checkpoints = () => fill($("checkpoints"), ["step", "size", "folder"], page.checkpoints.slice().reverse().slice(0, most).map((c) => [count(c.step), bytes(c.bytes), c.directory]), "none yet");

// options offers names in a list below its first entry. What was chosen stays, as long as it is there.
function options(select, names) {
  const [none, ...old] = select.options;
  const before = select.value;
  if (before && !names.includes(before)) names = [...names, before];
  if (old.map((o) => o.value).join("\n") === names.join("\n")) return;
  select.replaceChildren(none, ...names.map((n) => node("option", { value: n }, n)));
  select.value = before;
}

function marks() {
  const all = page.checkpoints.map((c) => ({ step: c.step, kind: "save" }));
  for (const v of page.views) all.push({ step: v.step, kind: v.cause === "worker lost" ? "lost" : "view" });
  return all;
}

// plot draws the curves at most once a frame.
let planned = false;
function plot() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    charts.show(finely(page.points, page.fine), [...page.others], page.epochs, marks());
  });
}

// finely puts the part of a curve that is known more finely into it.
function finely(points, fine) {
  if (!fine || fine.job !== page.job) return points;
  return [...points.filter((p) => p[0] < fine.from), ...fine.points, ...points.filter((p) => p[0] > fine.to)];
}

// zoomed asks for the part of the curve that a person has zoomed into.
let asking = 0;
function zoomed(from, to) {
  clearTimeout(asking);
  if (from === null) { page.fine = null; plot(); return; }
  asking = setTimeout(async () => {
    const job = page.job;
    const answer = await fetch(`/curve?job=${encodeURIComponent(job)}&from=${from}&to=${to}`);
    if (!answer.ok) return;
    page.fine = { job, from, to, points: (await answer.json()).points };
    plot();
  }, 150);
}

async function compare(job) {
  const answer = await fetch(`/curve?job=${encodeURIComponent(job)}`);
  if (!answer.ok) { say(`${job}: ${(await answer.text()).trim()}`); return; }
  page.others.set(job, (await answer.json()).points);
  compared();
}

// compared shows which runs lie over the curve, each with a button that takes it away.
function compared() {
  $("compared").replaceChildren(...[...page.others.keys()].map((job) => node("button", { type: "button", "aria-label": `Do not compare with ${job}`, onclick: () => { page.others.delete(job); compared(); } }, `${job} ×`)));
  jobs();
  plot();
}

charts.zoomed = zoomed;
listen(workers);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", workers);
log.listen();
$("smooth").addEventListener("input", (e) => { charts.options.smooth = Number(e.target.value); plot(); });
$("log").addEventListener("change", (e) => { charts.options.log = e.target.checked; plot(); });
$("all").addEventListener("click", () => charts.all());
$("wanted").addEventListener("input", () => { $("wanted").dataset.touched = "1"; });
$("scale").addEventListener("submit", (e) => {
  e.preventDefault();
  delete $("wanted").dataset.touched;
  act(page.head.job, "scale", Number($("wanted").value));
});
$("compare").addEventListener("change", (e) => {
  const job = e.target.value;
  e.target.value = "";
  if (job) compare(job);
});

// What arrives, and what it changes on the page.
const arrivals = {
  head: (s) => { const other = s.job !== page.head?.job; page.head = s; header(); if (other) jobs(); },
  workers: (w) => { page.workers = w; shares.take(w, performance.now()); workers(); },
  jobs: (j) => { page.jobs = j; jobs(); },
  epochs: (e) => { page.epochs = e; plot(); },
  views: (v) => { page.views = v; views(); plot(); },
  checkpoints: (c) => { page.checkpoints = c; checkpoints(); plot(); },
  curve: (c) => { page.job = c.job; page.points = c.points; plot(); },
  points: (c) => { if (c.job === page.job) { page.points.push(...c.points); plot(); } },
};

// follow reads the stream. A browser comes back by itself after a cut; where it was refused, the page says why and tries again.
function follow() {
  const stream = new EventSource(chosen ? `/events?job=${encodeURIComponent(chosen)}` : "/events");
  for (const [name, take] of Object.entries(arrivals)) stream.addEventListener(name, (e) => take(JSON.parse(e.data)));
  stream.addEventListener("error", async () => {
    banner("The page's server does not answer; trying again.", true);
    if (stream.readyState !== EventSource.CLOSED) return;
    setTimeout(follow, 3000);
    const stop = new AbortController();
    try {
      const answer = await fetch(stream.url, { signal: stop.signal });
      if (!answer.ok) banner((await answer.text()).trim(), true);
    } catch { /* the banner says it already */ }
    stop.abort();
  });
}
follow();
