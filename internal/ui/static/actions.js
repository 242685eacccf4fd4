// The buttons: they ask before they act.
import { node } from "./text.js";

const $ = (id) => document.getElementById(id);

export const open = ["queued", "running", "waiting", "paused", "pausing", "stopping"];

// buttons are those of a job, as a cell of a table.
export function buttons(j, readOnly) {
  if (readOnly || !open.includes(j.state)) return { key: "none", make: () => [] };
  const held = j.state === "paused" || j.state === "pausing";
  return { key: `${j.id} ${j.state} ${j.saving} ${j.priority}`, make: () => [
    held ? button("Resume", j, "resume", `Let ${j.id} take its turn again?`) : button("Pause", j, "pause", `Pause ${j.id}? It ends its step, saves a checkpoint and gives its workers up.`),
    j.state === "running" && !j.saving ? button("Save now", j, "save", `Have ${j.id} save a checkpoint after its step?`) : null,
    button("Priority", j, "priority", `Which priority is ${j.id} to have? The largest comes first.`, j.priority),
    button("Stop", j, "stop", `End ${j.id} after its step, with a checkpoint?`),
    button("Cancel", j, "cancel", `Cancel ${j.id} at once? The steps since its newest checkpoint are lost.`),
  ].filter((b) => b) };
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

export async function act(job, what, number) {
  try {
    const answer = await fetch("/do", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ job, do: what, number: Math.trunc(number) || 0 }) });
    say(`${job}: ${(await answer.text()).trim()}`);
  } catch (e) {
    say(`${job}: the page's server does not answer (${e.message})`);
  }
}

let saying = 0;
export function say(text) {
  $("said").textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { $("said").textContent = ""; }, 6000);
}
