// The page: it takes what the server streams and draws it; the buttons ask before they act.
import { bytes, count, duration, figure, fill, node } from "./text.js";
import { Charts } from "./chart.js";
import { draw } from "./ring.js";

const $ = (id) => document.getElementById(id);
const charts = new Charts($("charts"));
const page = { state: null, points: [], job: "", other: null };
const open = ["queued", "running", "waiting", "paused", "pausing", "stopping"];

function show() {
  const s = page.state;
  if (!s) return;
  header(s);
  if (!s.status) return;
  draw($("ring"), s.status.workers, s.seats || 1);
  workers(s);
  jobs(s);
  fill($("views"), ["generation", "from step", "workers", "cause", "stalled", "reason"], s.views.slice().reverse().slice(0, 200).map((v) =>
    [count(v.generation), count(v.step), v.workers, v.cause, v.stalled_ms === null ? "–" : `${figure(v.stalled_ms, 1)} ms`, v.reason]), "none yet");
  fill($("checkpoints"), ["step", "size", "folder"], s.checkpoints.slice().reverse().map((c) => [count(c.step), bytes(c.bytes), c.directory]), "none yet");
  options($("process"), [...s.status.coordinators, ...s.status.workers].map((p) => p.id));
  fill($("coordinators"), ["id", "address", ""], s.status.coordinators.map((c) => [c.id, c.address, c.leader ? "leads" : ""]), "none");
}

function header(s) {
  const st = s.status;
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
  $("banner").hidden = lines.length === 0;
  $("banner").className = s.error || st?.error ? "banner bad" : "banner";
  if ($("banner").textContent !== lines.join(" · ")) $("banner").textContent = lines.join(" · ");
  if (!st) return;
  $("progress").max = st.steps || 1;
  $("progress").value = st.steps ? st.step : 0;
  const facts = [
    ["step", st.steps ? `${count(st.step)} of ${count(st.steps)}` : count(st.step)], ["epoch", st.epoch], ["loss", figure(st.train_loss)],
    ["samples/s", st.samples_per_s ? count(Math.round(st.samples_per_s)) : "–"], ["time left", duration(st.left_s)], ["seed", s.seed],
    ["saved", st.saved_step === null ? "–" : `step ${count(st.saved_step)}`], ["digest", st.digest ? `${st.digest.slice(0, 16)}… at step ${count(st.digest_step)}` : "–"],
  ];
  const list = $("facts");
  facts.forEach(([name, value], i) => {
    const row = list.children[i] ?? list.appendChild(node("div", {}, node("dt"), node("dd")));
    row.children[0].textContent = name;
    if (row.children[1].textContent !== String(value)) row.children[1].textContent = value;
    if (name === "digest") { row.children[1].className = "mono"; row.children[1].title = st.digest; }
  });
}

function workers(s) {
  const waits = (w) => (w.waiting_for ? `for ${w.waiting_for.worker}, ${w.waiting_for.doing}, ${w.waiting_for.since_ms} ms` : "");
  fill($("workers"), ["id", "host", "seats", "state", "step", "a seat takes", "waits"], s.status.workers.map((w) =>
    [w.id, w.host, w.arc ? `${w.arc[0]}–${w.arc[1] - 1}` : "–", w.state, count(w.step), w.seat_ms ? `${figure(w.seat_ms, 2)} ms` : "–", waits(w)]), "no worker is attached");
  $("scale").hidden = s.read_only || !open.includes(s.status.state);
  $("wanted").max = s.seats;
  if (document.activeElement !== $("wanted") && !$("wanted").dataset.touched) $("wanted").value = s.status.workers.filter((w) => w.arc).length || 1;
}

function jobs(s) {
  const buttons = (j) => {
    if (s.read_only || !open.includes(j.state)) return { key: "none", make: () => [] };
    const held = j.state === "paused" || j.state === "pausing";
    return { key: `${j.id} ${held} ${j.state} ${j.saving} ${j.priority}`, make: () => [
      held ? button("Resume", j, "resume", `Let ${j.id} take its turn again?`) : button("Pause", j, "pause", `Pause ${j.id}? It ends its step, saves a checkpoint and gives its workers up.`),
      j.state === "running" && !j.saving ? button("Save now", j, "save", `Have ${j.id} save a checkpoint after its step?`) : "",
      button("Priority", j, "priority", `Which priority is ${j.id} to have? The largest comes first.`, j.priority),
      button("Stop", j, "stop", `End ${j.id} after its step, with a checkpoint?`),
      button("Cancel", j, "cancel", `Cancel ${j.id} at once? The steps since its newest checkpoint are lost.`),
    ] };
  };
  fill($("jobs"), ["job", "state", "place", "priority", "step", "workers", "", "message"], s.jobs.slice().reverse().slice(0, 300).map((j) =>
    [j.id, j.state, j.place || "–", j.priority, j.steps ? `${count(j.step)} of ${count(j.steps)}` : count(j.step), j.workers || "–", buttons(j), j.message]), "no jobs yet");
  const names = s.jobs.filter((j) => j.id !== s.job).map((j) => j.id);
  options($("compare"), names);
}

// options offers names in a list below its first entry. What was chosen stays, as long as it is there.
function options(select, names) {
  const [none, ...old] = select.options;
  const before = select.value;
  if (before && !names.includes(before)) names = [...names, before];
  if (old.map((o) => o.value).join("\n") === names.join("\n")) return;
  select.replaceChildren(none, ...names.map((n) => node("option", { value: n }, n)));
  select.value = before;
}

const button = (text, job, what, question, number) => node("button", { type: "button", onclick: () => ask(job.id, what, question, number), "aria-label": `${text} ${job.id}` }, text);

// ask has the person confirm, and then acts.
function ask(job, what, question, number) {
  const dialog = $("ask");
  $("question").textContent = question;
  $("number-label").hidden = number === undefined;
  $("number-name").textContent = "Priority";
  $("number").value = number ?? 0;
  dialog.returnValue = "";
  dialog.onclose = () => { if (dialog.returnValue === "yes") act(job, what, Number($("number").value)); };
  dialog.showModal();
}

async function act(job, what, number) {
  try {
    const answer = await fetch("/do", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ job, do: what, number: Math.trunc(number) || 0 }) });
    say(`${job}: ${(await answer.text()).trim()}`);
  } catch (e) {
    say(`${job}: the page's server does not answer (${e.message})`);
  }
}

let saying = 0;
function say(text) {
  $("said").textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { $("said").textContent = ""; }, 6000);
}

function marks(s) {
  const all = (s?.checkpoints ?? []).map((c) => ({ step: c.step, kind: "save" }));
  for (const v of s?.views ?? []) all.push({ step: v.step, kind: v.cause === "worker lost" ? "lost" : "view" });
  return all;
}

// plot draws the curves at most once a frame.
let planned = false;
function plot() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    charts.show(page.points, page.other ? [page.other] : [], page.state?.epochs ?? [], marks(page.state));
  });
}

$("smooth").addEventListener("input", (e) => { charts.options.smooth = Number(e.target.value); plot(); });
$("log").addEventListener("change", (e) => { charts.options.log = e.target.checked; plot(); });
$("wanted").addEventListener("input", () => { $("wanted").dataset.touched = "1"; });
$("scale").addEventListener("submit", (e) => {
  e.preventDefault();
  delete $("wanted").dataset.touched;
  act(page.state.job, "scale", Number($("wanted").value));
});
$("compare").addEventListener("change", async (e) => {
  const job = e.target.value;
  page.other = null;
  if (job) {
    const answer = await fetch(`/curve?job=${encodeURIComponent(job)}`);
    if (answer.ok) page.other = [job, (await answer.json()).points];
    else say(`${job}: ${(await answer.text()).trim()}`);
  }
  plot();
});

// The log of the process that is chosen, its newest lines, read as they come.
const maxLines = 1000;
let reading = null;
$("process").addEventListener("change", (e) => {
  reading?.close();
  reading = null;
  const box = $("lines");
  box.replaceChildren();
  box.hidden = !e.target.value;
  if (!e.target.value) return;
  const add = (lines) => {
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    box.append(...lines.map((l) => node("div", {}, l)));
    while (box.childElementCount > maxLines) box.firstElementChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  };
  reading = new EventSource(`/log?process=${encodeURIComponent(e.target.value)}`);
  reading.addEventListener("lines", (m) => add(JSON.parse(m.data)));
  reading.addEventListener("trouble", (m) => add([JSON.parse(m.data)]));
});

const events = new EventSource("/events");
events.addEventListener("state", (e) => { page.state = JSON.parse(e.data); show(); plot(); });
events.addEventListener("curve", (e) => { const c = JSON.parse(e.data); page.job = c.job; page.points = c.points; plot(); });
events.addEventListener("points", (e) => { const c = JSON.parse(e.data); if (c.job === page.job) { page.points.push(...c.points); plot(); } });
events.addEventListener("error", () => { $("banner").hidden = false; $("banner").className = "banner bad"; $("banner").textContent = "The page's server does not answer; trying again."; });
