"use strict";
const say = text => { document.getElementById("told").textContent = text; };

// Tables: a click on a heading sorts by it, another one the other way round. Rows without a value stay last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    const value = row => { const cell = row.cells[column]; return cell.dataset.value ?? cell.textContent.trim(); };
    const numeric = head.classList.contains("n");
    const rows = [...body.rows].map(row => [value(row), row]);
    rows.sort(([a], [b]) => a === "" || b === "" ? (a === "") - (b === "")
      : (numeric ? a - b : a.localeCompare(b, "en", { numeric: true })) * (down ? -1 : 1));
    body.append(...rows.map(([, row]) => row));
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    say(`Sorted by ${button.textContent}, ${down ? "descending" : "ascending"}.`);
  });
}

// Words narrow the table of findings: a row stays when it holds all of them.
const filter = document.getElementById("filter");
filter?.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean), rows = [...document.getElementById("findings").tBodies[0].rows];
  for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
  say(`${rows.filter(row => !row.hidden).length} of ${rows.length} findings are shown.`);
});

for (const box of document.querySelectorAll("input[data-layer]")) {
  box.addEventListener("change", () => {
    for (const layer of document.querySelectorAll(`.map .${box.dataset.layer}`)) layer.toggleAttribute("hidden", !box.checked);
  });
}

// The map of the Earth: buttons, dragging and arrow keys move it; signs keep their size.
const map = document.querySelector(".world svg"), [, , whole, tall] = map.getAttribute("viewBox").split(" ").map(Number);
let view = { x: 0, y: 0, width: whole };
const show = (x, y, width) => {
  width = Math.min(whole, Math.max(whole / 64, width));
  const height = width * tall / whole, within = (value, most) => Math.min(Math.max(0, value), most);
  view = { x: within(x, whole - width), y: within(y, tall - height), width };
  map.setAttribute("viewBox", `${view.x} ${view.y} ${width} ${height}`);
  map.style.setProperty("--grow", Math.max(width / whole, 1 / 40));
};
const zoom = (factor, x = view.x + view.width / 2, y = view.y + view.width * tall / whole / 2) => {
  const width = Math.min(whole, Math.max(whole / 64, view.width * factor)), share = width / view.width;
  show(x - (x - view.x) * share, y - (y - view.y) * share, width);
  say(`The map is enlarged ${(whole / width).toFixed(1)} times.`);
};
document.getElementById("nearer").addEventListener("click", () => zoom(.5));
document.getElementById("farther").addEventListener("click", () => zoom(2));
document.getElementById("all").addEventListener("click", () => { show(0, 0, whole); say("The map shows the whole Earth."); });
map.addEventListener("keydown", event => {
  const step = view.width / 8, move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  if (move) { event.preventDefault(); show(view.x + move[0], view.y + move[1], view.width); }
  else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? .5 : 2);
});
map.addEventListener("dblclick", event => {
  const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
  zoom(.5, place.x, place.y);
});
let held = null;
map.addEventListener("pointerdown", event => { held = event; map.setPointerCapture(event.pointerId); });
map.addEventListener("pointermove", event => {
  if (!held) return;
  const scale = view.width / map.clientWidth;
  show(view.x - (event.clientX - held.clientX) * scale, view.y - (event.clientY - held.clientY) * scale, view.width);
  held = event;
});
for (const end of ["pointerup", "pointercancel"]) map.addEventListener(end, () => { held = null; });
