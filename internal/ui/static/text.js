// How figures are written, and small helpers of the page.

export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// node makes an element: node("td", {class: "long"}, "text", child).
export function node(name, attributes = {}, ...children) {
  const at = name.indexOf(":");
  const n = at < 0 ? document.createElement(name) : document.createElementNS("http://www.w3.org/2000/svg", name.slice(at + 1));
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) n.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) n.setAttribute(key, value);
  }
  n.append(...children.filter((c) => c !== null && c !== undefined));
  return n;
}

export const count = (n) => Number(n).toLocaleString("en-US");

export function figure(x, digits = 4) {
  if (x === null || x === undefined) return "–";
  const size = Math.abs(x);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? x.toExponential(2) : x.toLocaleString("en-US", { maximumFractionDigits: digits });
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

// lasting is a time in ms.
export const lasting = (ms) => (ms < 1000 ? `${ms} ms` : `${figure(ms / 1000, 1)} s`);

export function bytes(n) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (n < 1024) return `${unit === "B" ? n : n.toFixed(1)} ${unit}`;
    n /= 1024;
  }
  return `${n.toFixed(1)} GiB`;
}

// fill writes rows into a table, the first one as its head. It changes only cells that differ, so what a person has selected stays.
export function fill(table, head, rows, empty) {
  if (!table.tHead) {
    table.append(node("thead", {}, node("tr", {}, ...head.map((h) => node("th", { scope: "col" }, h)))), node("tbody"));
  }
  const body = table.tBodies[0];
  const all = rows.length ? rows : [[empty]];
  while (body.rows.length > all.length) body.lastElementChild.remove();
  all.forEach((cells, i) => {
    const row = body.rows[i] ?? body.appendChild(node("tr"));
    while (row.cells.length > cells.length) row.lastElementChild.remove();
    cells.forEach((cell, k) => {
      const td = row.cells[k] ?? row.appendChild(node("td"));
      if (rows.length === 0) td.colSpan = head.length;
      else td.removeAttribute("colspan");
      if (cell && cell.key !== undefined) {
        if (td.dataset.key !== cell.key) { td.dataset.key = cell.key; td.replaceChildren(...cell.make()); }
      } else if (td.textContent !== String(cell) || td.dataset.key) { delete td.dataset.key; td.textContent = cell; }
      td.className = String(cell).length > 40 ? "long" : "";
    });
  });
}
