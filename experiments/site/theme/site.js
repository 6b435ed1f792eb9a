"use strict";
// Figures are drawn when they come into view; plotly is unpacked for the first of them. All of it works in a folder,
// where a page may load scripts and may not fetch.
const up = document.body.dataset.up;
const waiting = new Map();
let plotly = null;

function script(src) {
  return new Promise((done, fail) => {
    const tag = document.createElement("script");
    tag.src = src;
    tag.onload = done;
    tag.onerror = () => fail(new Error(`${src} did not load`));
    document.head.append(tag);
  });
}

function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function library() {
  plotly ??= script(`${up}assets/plotly.js`).then(async () => {
    const url = URL.createObjectURL(new Blob([await unpacked(window.pkvPacked)], { type: "text/javascript" }));
    await script(url);
    URL.revokeObjectURL(url);
    window.pkvPacked = null;
    return window.Plotly;
  });
  return plotly;
}

window.pkvFigure = (name, text) => waiting.get(name)?.(unpacked(text).then(JSON.parse));

const figures = new Map();
function figureOf(name) {
  if (!figures.has(name)) {
    figures.set(name, new Promise((done, fail) => {
      waiting.set(name, done);
      script(`${up}figures/${name}.js`).catch(fail);
    }));
  }
  return figures.get(name);
}

const clone = (value) => JSON.parse(JSON.stringify(value));

// A long title of an axis in lines that fit beside a small figure.
function wrapped(text, most) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= most) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
  }
  return lines.join("<br>");
}

// Whether something is written beside or above the plot, in a margin that has to stay.
function written(layout, where, ref) {
  return (layout.annotations ?? []).some((one) => /paper|domain/.test(one[`${ref}ref`] ?? "") && one[ref] >= 1
    && (where === "above" || one.xanchor === "left"));
}

function laidOut(figure, box, height, wide) {
  const layout = figure.layout;
  const width = Math.max(box.clientWidth, wide ? 720 : 300);
  Object.assign(layout, { width, height, template: window.pkvTemplate });
  if (width >= 620) return layout;
  layout.font = { ...layout.font, size: 12 };
  layout.margin = { ...layout.margin, l: 60, r: written(layout, "beside", "x") ? Math.max(layout.margin?.r ?? 0, 64) : 12 };
  for (const [name, axis] of Object.entries(layout)) {
    if (!/^[xy]axis/.test(name)) continue;
    if (axis.title?.text) axis.title = { ...axis.title, text: wrapped(axis.title.text, name[0] === "x" ? 26 : 36), font: { size: 12 } };
    axis.automargin = true;
  }
  // The legend goes above, a line for each entry: below, titles of axes have no place that is known before it is drawn.
  const named = figure.data.filter((trace) => trace.name && trace.showlegend !== false);
  if (layout.showlegend !== false && named.length > 1) {
    for (const trace of named) trace.name = wrapped(trace.name, 40);
    const lines = named.reduce((sum, trace) => sum + trace.name.split("<br>").length, layout.legend?.title?.text ? 1 : 0);
    const before = layout.margin.t ?? 25;
    layout.margin.t = 19 * lines + 14 + Math.min(before, written(layout, "above", "y") ? 40 : 14);
    layout.height += layout.margin.t - before;
    // Upright, it would take its room beside the plot.
    layout.legend = {
      ...layout.legend, orientation: "h", entrywidth: width - 80, entrywidthmode: "pixels", font: { size: 12 },
      xref: "container", x: 0.02, xanchor: "left", yref: "container", y: 1 - 4 / layout.height, yanchor: "top",
    };
  }
  return layout;
}

async function draw(plot) {
  if (plot.dataset.drawn) return;
  plot.dataset.drawn = "yes";
  const box = plot.parentElement;
  const wide = plot.closest(".figure").classList.contains("wide");
  const [Plotly, figure] = await Promise.all([library(), figureOf(plot.dataset.figure)]);
  plot.dataset.height ??= parseInt(plot.style.height, 10);
  const { data, layout } = clone(figure);
  laidOut({ data, layout }, box, Number(plot.dataset.height), wide);
  plot.style.height = `${layout.height}px`;
  await Plotly.newPlot(plot, data, layout, {
    displaylogo: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  });
  plot.dataset.drawn = "done";
  plot.closest(".figure").classList.toggle("scrolls", layout.width > box.clientWidth);
  offerTable(plot, figure);
}

// The numbers of a figure, for those who do not see it or want them.
function offerTable(plot, figure) {
  const caption = plot.closest(".figure").querySelector("figcaption");
  if (caption.querySelector(".as-table")) return;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "as-table", textContent: "Numbers" });
  button.setAttribute("aria-expanded", "false");
  const box = Object.assign(document.createElement("div"), { className: "table", hidden: true, tabIndex: 0 });
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "the figure's numbers");
  button.onclick = () => {
    if (!box.firstChild) box.append(tableOf(figure));
    box.hidden = !box.hidden;
    button.setAttribute("aria-expanded", String(!box.hidden));
  };
  caption.append(" ", button, box);
}

// A longer table of a figure's numbers says how many it leaves out.
const MOST_LINES = 400;

function tableOf(figure) {
  const table = document.createElement("table");
  const rows = [["series", "x", "y", "value"]];
  for (const trace of figure.data) {
    const name = trace.name ?? "";
    if (Array.isArray(trace.z)) {
      trace.z.forEach((line, i) => line.forEach((z, j) => rows.push([name, trace.x?.[j] ?? j, trace.y?.[i] ?? i, z])));
    } else if (trace.x || trace.y) {
      const n = Math.max(trace.x?.length ?? 0, trace.y?.length ?? 0);
      for (let i = 0; i < n; i++) if (trace.x?.[i] !== null) rows.push([name, trace.x?.[i] ?? i, trace.y?.[i] ?? i, trace.text?.[i] ?? ""]);
    }
  }
  const shown = rows.slice(0, MOST_LINES + 1);
  for (const [i, cells] of shown.entries()) {
    const line = table.insertRow();
    for (const cell of cells) {
      const at = document.createElement(i ? "td" : "th");
      if (!i) at.scope = "col";
      at.textContent = String(cell ?? "").replace(/<[^>]+>/g, "");
      line.append(at);
    }
  }
  if (rows.length > shown.length) {
    const rest = table.insertRow().insertCell();
    rest.colSpan = shown[0].length;
    rest.textContent = `${rows.length - shown.length} more are in the record`;
  }
  return table;
}

window.pkvDraw = (plot) => draw(plot);
const seen = new IntersectionObserver((found) => {
  for (const one of found) if (one.isIntersecting) { seen.unobserve(one.target); draw(one.target); }
}, { rootMargin: "400px" });
document.querySelectorAll(".plot[data-figure]").forEach((plot) => seen.observe(plot));

let timer;
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  clearTimeout(timer);
  timer = setTimeout(() => {
    for (const plot of document.querySelectorAll('.plot[data-drawn="done"]')) { plot.dataset.drawn = ""; draw(plot); }
  }, 200);
});

// Colours: as the system, light, dark.
const button = document.getElementById("theme");
const themes = [["", "◐", "as the system"], ["light", "☀", "light"], ["dark", "☾", "dark"]];
function told() {
  const now = themes.find(([name]) => name === (document.documentElement.dataset.theme ?? "")) ?? themes[0];
  button.textContent = now[1];
  button.setAttribute("aria-label", `Colours: ${now[2]}`);
}
button.onclick = () => {
  const now = themes.findIndex(([name]) => name === (document.documentElement.dataset.theme ?? ""));
  const next = themes[(now + 1) % themes.length][0];
  if (next) document.documentElement.dataset.theme = next; else delete document.documentElement.dataset.theme;
  try { localStorage.setItem("pkv-theme", next); } catch (e) { /* a page in a folder may have no storage */ }
  told();
};
told();

// What a number is, on hover and on focus.
let tip = null;
function hide() { tip?.remove(); tip = null; }
function show(at) {
  hide();
  tip = Object.assign(document.createElement("div"), { className: "tip", textContent: at.dataset.tip, id: "tip" });
  tip.setAttribute("role", "tooltip");
  document.body.append(tip);
  const box = at.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(box.left + scrollX, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${box.bottom + scrollY + 6}px`;
  at.setAttribute("aria-describedby", "tip");
}
for (const kind of ["mouseover", "focusin"]) {
  document.addEventListener(kind, (event) => { const at = event.target.closest?.("[data-tip]"); if (at) show(at); });
}
for (const kind of ["mouseout", "focusout"]) document.addEventListener(kind, hide);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  hide();
  document.querySelectorAll(".menu[open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
});
document.addEventListener("click", (event) => {
  document.querySelectorAll(".menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
});

// A place that lies in a closed part is opened; a narrow page keeps its contents closed.
function reveal() {
  const at = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let box = at || null; box; box = box.parentElement) if (box.tagName === "DETAILS") box.open = true;
  if (at && at.closest("details")) at.scrollIntoView();
}
addEventListener("hashchange", reveal);
reveal();
const contents = document.querySelector(".toc details");
if (contents && innerWidth < 1180) contents.open = false;
const places = new Map([...document.querySelectorAll(".toc a")].map((a) => [decodeURIComponent(a.hash.slice(1)), a]));
const reading = new IntersectionObserver((found) => {
  for (const one of found) {
    if (!one.isIntersecting) continue;
    places.forEach((a) => a.removeAttribute("aria-current"));
    places.get(one.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-10% 0px -75% 0px" });
places.forEach((_, id) => { const at = document.getElementById(id); if (at) reading.observe(at); });
