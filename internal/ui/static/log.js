// The log of the process that is chosen, its newest lines, read as they come.
import { node } from "./text.js";

const $ = (id) => document.getElementById(id);
const maxLines = 1000;
let reading = null;

export function listen() {
  $("process").addEventListener("change", (e) => {
    reading?.close();
    reading = null;
    const box = $("lines");
    box.replaceChildren();
    box.hidden = !e.target.value;
    if (!e.target.value) return;
    const add = (lines) => {
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
      box.append(...lines.slice(-maxLines).map((l) => node("div", {}, l)));
      while (box.childElementCount > maxLines) box.firstElementChild.remove();
      if (atEnd) box.scrollTop = box.scrollHeight;
    };
    const stream = new EventSource(`/log?process=${encodeURIComponent(e.target.value)}`);
    reading = stream;
    stream.addEventListener("lines", (m) => add(JSON.parse(m.data)));
    stream.addEventListener("trouble", (m) => add([JSON.parse(m.data)]));
    stream.addEventListener("error", () => { if (stream.readyState === EventSource.CLOSED) add(["The page's server sends no log: too many are read, or it has ended. Choose it again."]); });
  });
}
