// The workers' table, and how each one spends its time.
import { count, figure, fill, lasting, node } from "./text.js";

const $ = (id) => document.getElementById(id);
const most = 100; // rows at a time
export const worthTelling = 20; // ms that a worker waits before the page says for whom

// What a worker's time is divided into on the page. What is rare is one.
export const activities = [["computing", ["computing"]], ["waiting", ["waiting"]], ["reading", ["reading"]], ["evaluating", ["evaluating"]], ["saving", ["saving"]],
  ["other", ["connecting", "fetching", "held", "idle"]]];

// Shares knows how workers spent the last 15 to 30 seconds.
export class Shares {
  constructor() { this.known = new Map(); }

  // take notes what workers have spent so far, at a time in ms.
  take(workers, now) {
    const known = new Map();
    for (const w of workers) {
      if (!w.spent_ms) continue;
      let k = this.known.get(w.id);
      if (!k || total(k.now) > total(w.spent_ms)) k = { from: null, next: w.spent_ms, at: now };
      if (now - k.at > 15000) k = { from: k.next, next: w.spent_ms, at: now };
      known.set(w.id, { ...k, now: w.spent_ms });
    }
    this.known = known;
  }

  // of is how a worker spent its time: a share of 1 for each activity; null: not known yet.
  of(id) {
    const k = this.known.get(id);
    if (!k) return null;
    const since = (from) => activities.map(([, names]) => names.reduce((sum, n) => sum + k.now[n] - (from ? from[n] : 0), 0));
    let spent = since(k.from);
    if (!spent.some((s) => s > 0)) spent = since(null);
    const all = spent.reduce((a, b) => a + b, 0);
    return all > 0 ? spent.map((s) => Math.max(0, s) / all) : null;
  }
}

const total = (spent) => Object.values(spent).reduce((a, b) => a + b, 0);

// bar is shares as a picture that is also text.
function bar(shares) {
  if (!shares) return "–";
  const percents = shares.map((s) => Math.round(100 * s));
  const text = activities.map(([name], i) => [percents[i], name]).filter(([p]) => p > 0).sort((a, b) => b[0] - a[0]).map(([p, name]) => `${name} ${p} %`).join(", ");
  return { key: text, make: () => [node("span", { class: "time", role: "img", "aria-label": text, title: text },
    ...activities.map(([name], i) => { const part = node("i", { class: name }); part.style.flexGrow = percents[i]; return part; }))] };
}

const orders = {
  seats: (a, b) => (a.arc ? a.arc[0] : 1e9) - (b.arc ? b.arc[0] : 1e9),
  slow: (a, b) => (b.seat_ms ?? 0) - (a.seat_ms ?? 0),
  waits: (a, b) => (b.waiting_for?.since_ms ?? -1) - (a.waiting_for?.since_ms ?? -1),
};

// elsewhere says whether a worker is for another job than the one that is shown.
export const elsewhere = (w, job) => !w.arc && w.job && w.job !== job;

function seats(w, job) {
  if (!w.arc) return elsewhere(w, job) ? `for ${w.job}` : "–";
  return w.arc[1] - w.arc[0] > 1 ? `${w.arc[0]}–${w.arc[1] - 1}` : w.arc[0];
}

const waits = (w) => (w.waiting_for && w.waiting_for.since_ms >= worthTelling ? `for ${w.waiting_for.worker}, ${w.waiting_for.doing}, ${lasting(w.waiting_for.since_ms)}` : "–");

let shown = most;

// table shows the workers, those that the person looks for first.
export function table(workers, shares, job) {
  const wanted = $("find").value.trim().toLowerCase();
  const fit = workers.filter((w) => !wanted || `${w.id} ${w.host} ${w.state}`.toLowerCase().includes(wanted)).sort(orders[$("order").value]);
  fill($("workers"), ["id", "host", "seats", "state", "step", "a seat takes", "its time", "waits"], fit.slice(0, shown).map((w) =>
    [w.id, w.host, seats(w, job), w.state, count(w.step), w.seat_ms ? `${figure(w.seat_ms, 2)} ms` : "–",
      bar(shares.of(w.id)), waits(w)]), wanted ? "no worker has that in its id, host or state" : "no worker is attached");
  $("seek").hidden = workers.length <= 12 && !wanted;
  $("more").hidden = fit.length <= shown;
  $("more").textContent = `Show ${count(Math.min(most, fit.length - shown))} more of ${count(fit.length)}`;
}

// listen calls back when the person looks for other workers.
export function listen(again) {
  for (const id of ["find", "order"]) $(id).addEventListener("input", () => { shown = most; again(); });
  $("more").addEventListener("click", () => { shown += most; again(); });
  $("times").replaceChildren(...activities.map(([name]) => node("span", { class: "key" }, node("i", { class: `dot ${name}` }), name)));
}
