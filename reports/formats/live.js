"use strict";
// Draws the state that the server sends once a second. All text goes through textContent: nothing is read as HTML.
const $ = id => document.getElementById(id);
const meta = name => document.querySelector(`meta[name="paceline-${name}"]`).content;
const SVG = "http://www.w3.org/2000/svg", WIDTH = 600, HEIGHT = 160;
let over = false, paused = false, latest = null;

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "polyline", "circle", "line"].includes(tag);
  const made = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function listed(id, texts) {
  $(id).replaceChildren(...texts.map(text => make("li", {}, text)));
}

function lineOf(line, top, place) {
  // A gap where there is no value: one polyline for each stretch, a dot for a lone value.
  const parts = [];
  let stretch = [];
  const end = () => { if (stretch.length) parts.push(stretch); stretch = []; };
  line.values.forEach((value, at) => {
    if (value === null) end();
    else stretch.push([place(at), HEIGHT - 4 - (HEIGHT - 12) * (top > 0 ? value / top : 0)]);
  });
  end();
  return parts.map(points => points.length > 1
    ? make("polyline", {class: line.style, points: points.map(p => p.map(x => x.toFixed(1)).join()).join(" ")})
    : make("circle", {class: line.style, cx: points[0][0], cy: points[0][1], r: 3}));
}

function chart(one, seconds) {
  const first = seconds[0], last = seconds[seconds.length - 1], span = Math.max(last - first, 1);
  const place = at => WIDTH * (seconds[at] - first) / span;
  const said = one.lines.map(line => `${line.name} ${line.last}`).join(", ");
  const svg = make("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `${one.title}, ${one.mean}: ${said}`});
  for (const line of one.lines) svg.append(...lineOf(line, one.top, place));
  const caption = make("figcaption", {}, make("b", {}, one.title));
  for (const line of one.lines) {
    const key = make("svg", {class: "key", viewBox: "0 0 24 8", "aria-hidden": "true"},
      make("polyline", {class: line.style, points: "0,4 24,4"}));
    caption.append(make("span", {}, key, `${line.name} ${line.last}`));
  }
  const scale = make("div", {class: "scale"}, make("span", {}, `${first} s`),
    make("span", {}, `top ${one.top_text}, ${one.mean}`), make("span", {}, `${last + 1} s`));
  return make("figure", {"data-key": one.key}, caption, svg, scale);
}

function table(one) {
  const head = make("tr", {}, ...one.heads.map(text => make("th", {scope: "col"}, text)));
  const rows = one.rows.map(row => {
    const cells = row.cells.map(text => make("td", {}, text));
    return make("tr", {class: row.state, "data-values": JSON.stringify(row.values)}, ...cells);
  });
  const whole = make("table", {id: `table-${one.key}`}, make("thead", {}, head), make("tbody", {}, ...rows));
  return make("div", {}, make("h2", {}, one.title), make("p", {class: "hint"}, "Swipe sideways to see all columns."),
    make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": one.title}, whole));
}

function draw(state) {
  document.title = `${state.verdict.words}: ${state.title}`;
  document.body.dataset.phase = state.phase;
  $("title").textContent = state.title;
  $("command").textContent = state.command === state.title ? "" : state.command;
  if ($("said").textContent !== state.said) $("said").textContent = state.said;
  $("stop").disabled = !state.stoppable;
  $("stop").hidden = state.phase === "over";
  $("share").hidden = state.share === null;
  if (state.share !== null) $("share").value = state.share;
  $("badge").textContent = state.verdict.words;
  $("badge").className = `badge ${state.verdict.status}`;
  $("headline").hidden = !state.headline;
  $("headline").textContent = state.headline;
  listed("reasons", state.verdict.reasons);
  $("tiles").replaceChildren(...state.tiles.map(tile => make("div", {"data-key": tile.key},
    make("dt", {}, tile.label), make("dd", {}, tile.text), make("dd", {}, tile.note))));
  $("charts").replaceChildren(...(state.seconds.length ? state.charts.filter(one => one.lines.length) : [])
    .map(one => chart(one, state.seconds)));
  // A table that is read by scrolling keeps its place.
  const places = [...document.querySelectorAll("#tables .scroll")].map(one => one.scrollLeft);
  const focused = [...document.querySelectorAll("#tables .scroll")].indexOf(document.activeElement);
  $("tables").replaceChildren(...state.tables.map(table));
  document.querySelectorAll("#tables .scroll").forEach((one, at) => {
    one.scrollLeft = places[at] || 0;
    one.parentElement.className = one.scrollWidth > one.clientWidth ? "" : "fits";
    if (at === focused) one.focus({preventScroll: true});
  });
  listed("findings", state.findings);
  listed("lines", state.lines);
  $("log").hidden = !state.lines.length;
}

// The page's own address may have the key in it, and fetch refuses such addresses. The browser sends the key by itself.
const own = path => location.origin + path;

async function keepReport(state) {
  // The server ends with the run; what was fetched stays.
  $("report").hidden = !state.report;
  $("path").textContent = state.report;
  if (!state.has_report) return;
  try {
    const answer = await fetch(own("/report"));
    if (!answer.ok) return;
    $("link").href = URL.createObjectURL(await answer.blob());
    $("link").hidden = false;
  } catch { /* the path remains */ }
}

const events = new EventSource("/events");
events.onmessage = message => {
  const state = JSON.parse(message.data);
  // The address serves another run now.
  if (state.run !== meta("run")) return location.reload();
  latest = state;
  if (!paused || state.phase === "over") draw(state);
  if (state.phase === "over") {
    over = true;
    $("pause").hidden = true;
    events.close();
    keepReport(state);
  }
};
events.addEventListener("failed", message => {
  draw(JSON.parse(message.data));
  $("said").textContent = "the live page failed; the run goes on";
});
events.onerror = () => {
  if (!over) $("said").textContent = "no connection to the run: it may have ended";
  $("stop").disabled = true;
};
$("pause").onclick = () => {
  // Only the page: for readers, screen readers and those who copy a figure.
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  if (!paused && latest) draw(latest);
};
$("stop").onclick = async () => {
  if (!confirm("Stop the run? Its result is kept and marked as partial.")) return;
  $("stop").disabled = true;
  try {
    const answer = await fetch(own("/stop"), {method: "POST", headers: {"X-Paceline-Token": meta("token")}});
    if (!answer.ok) $("said").textContent = `not stopped: ${await answer.text()}`;
  } catch { $("said").textContent = "not stopped: no connection to the run"; }
};
