// Puts the figures of the server into the page.

import { Chart, node } from "./chart.js";
import { Nearest } from "./nearest.js";
import { clock, count, moment, number, seconds, share, span } from "./words.js";

const STATUSES = ["exact", "semantic", "verified", "partial", "pruned", "fresh", "degraded"];
const HELPED = STATUSES.slice(0, 4);
const SVG_WIDTH = 112;

// Behind @ is what tells models of one name apart: their content, precision and length.
const short = (reranker) => reranker.split("@")[0];
const byId = (id) => document.getElementById(id);
const sum = (values) => values.reduce((total, value) => total + value, 0);
const figure = (name, text) => { document.querySelector(`[data-figure="${name}"]`).textContent = text; };

const chart = (name, options) => new Chart(document.querySelector(`[data-chart="${name}"]`), options);
const charts = {
  statuses: chart("statuses", {
    kind: "bars", scale: "share", format: count, say: "Share of requests by where their answers came from, over time",
    series: STATUSES.map((key) => ({ key, label: key })),
  }),
  latency: chart("latency", {
    kind: "curves", scale: "log", format: seconds, say: "Latency of requests over time, logarithmic",
    series: [{ key: "p50_s", label: "p50" }, { key: "p95_s", label: "p95" }, { key: "p99_s", label: "p99" }],
  }),
  pairs: chart("pairs", {
    kind: "bars", format: count, say: "Pairs asked and avoided over time",
    series: [{ key: "avoided", label: "avoided" }, { key: "asked", label: "asked" }],
  }),
  drift: chart("drift", {
    kind: "curves", format: number, say: "Median drift from near queries over time, in units of the reranker",
    series: [{ key: "drift", label: "median drift" }],
  }),
  queue: chart("queue", {
    kind: "bars", format: count, say: "Pairs waiting for the primary reranker over time",
    series: [{ key: "waiting", label: "most pairs waiting" }],
  }),
};
const nearest = new Nearest(byId("nearest"));
charts.latency.axisFormat = (value) => (value >= 1 ? `${value} s` : value >= 0.001 ? `${value * 1000} ms` : `${+(value * 1000).toFixed(2)} ms`);
// As many digits as tell one line from the next.
charts.drift.axisFormat = (value, step) => number(value, `${+step.toPrecision(2)}`.split(".")[1]?.length ?? 0);

export function setScale(scale) {
  charts.statuses.scale = scale === "share" ? "share" : "linear";
  charts.statuses.draw();
}

export function show(figures) {
  const { about, window, totals } = figures;
  const many = figures.processes.length;
  byId("about").textContent = `namespace ${about.namespace} · ${short(about.reranker)} · ${many} process${many === 1 ? "" : "es"}`;
  document.title = `semcache · ${about.namespace}`;
  showHealth(figures);
  showTiles(figures);
  const note = figures.recorded ? undefined : "Not recorded: give the pipeline a Recorder";
  const over = (values, more = {}) => ({ at: window.at, slot_s: window.slot_s, values, note, ...more });
  charts.statuses.show(over(window.by_status));
  charts.latency.show(over(window, { limit: about.p95_threshold_s, limitSays: `slow from ${seconds(about.p95_threshold_s)} on` }));
  charts.pairs.show(over(window));
  charts.drift.show(over(window, { note: note ?? "No near query was compared in this time" }));
  charts.queue.show(over(window, { note: note ?? "Nothing waited in this time" }));
  showLatency(figures.latency, figures.steps);
  nearest.show(figures.nearest, figures.quality.trust_threshold, about.reuse_threshold);
  showPruning(figures.pruning);
  showTrust(figures.quality, about);
  showLadder(figures);
  showRedis(figures.redis, about, totals);
  for (const place of document.querySelectorAll(".smooth")) place.textContent = `the ${span(window.smooth_s)} that end there`;
  showLog(figures);
  byId("foot").textContent = `semcache ${figures.semcache} · counted since ${moment(figures.started, figures.now)} (${span(figures.now - figures.started)}) · as of ${clock(figures.now)}`;
}

function showHealth({ wrong, totals }) {
  const well = { level: "good", what: "All is well.",
    more: totals.requests ? "Redis answers, and the primary reranker is asked." : "No requests yet: the figures appear with the first one." };
  const said = wrong.length ? wrong : [well];
  const health = byId("health");
  // Replaced only when it says something else, since screen readers read it out.
  const text = JSON.stringify(said);
  if (health.dataset.said === text) return;
  health.dataset.said = text;
  health.dataset.state = said[0].level;
  health.replaceChildren(...said.map(({ what, more, remedy }) => {
    const line = document.createElement("p");
    node(line, "b", {}, what);
    line.append(more);
    if (remedy) words(node(line, "span", { class: "muted" }), `What to do: ${remedy}`);
    return line;
  }));
}

function showTiles({ window, totals, latency, rerankers, now, started }) {
  const counts = Object.fromEntries(STATUSES.map((status) => [status, sum(window.by_status[status])]));
  const requests = sum(Object.values(counts));
  const minutes = Math.max(Math.min(window.seconds, now - started), 1) / 60;
  const perMinute = requests / minutes;
  figure("rate", `${perMinute < 10 && perMinute > 0 ? perMinute.toFixed(1) : count(perMinute)} / min`);
  figure("requests", `${count(totals.requests)} since the start`);
  figure("helped", share(sum(HELPED.map((status) => counts[status])), requests));
  figure("helped-total", `${share(sum(HELPED.map((status) => totals.by_status[status])), totals.requests)} in all`);
  const avoided = sum(window.avoided);
  figure("avoided", share(avoided, avoided + sum(window.asked)));
  const all = totals.pairs_reused + totals.pairs_skipped;
  figure("avoided-total", `${count(all)} of ${count(all + totals.pairs_asked)} in all`);
  figure("saved", `≈ ${span(Math.max(0, totals.saved_s))}`);
  figure("saved-since", "since the start");
  figure("p95", seconds(latency.all?.p95_s));
  figure("p50", `p50 ${seconds(latency.all?.p50_s)}, p99 ${seconds(latency.all?.p99_s)}`);
  figure("waiting", `${count(rerankers[0]?.waiting_pairs ?? 0)} pairs`);
  figure("waiting-most", `at most ${count(Math.max(0, ...window.waiting))} in this time`);
}

// Cells are strings or nodes; a row is made anew only if there is none left.
function fill(table, rows) {
  const body = table.tBodies[0];
  while (body.rows.length > rows.length) body.lastElementChild.remove();
  rows.forEach((cells, index) => {
    const row = body.rows[index] ?? node(body, "tr");
    while (row.cells.length < cells.length) node(row, "td");
    cells.forEach((cell, column) => {
      const place = row.cells[column];
      if (typeof cell === "string") place.textContent = cell;
      else place.replaceChildren(cell);
    });
  });
  table.hidden = !rows.length;
}

function showLatency(latency, steps) {
  const names = [...STATUSES, "all"].filter((name) => latency[name]?.n);
  const table = byId("latency");
  fill(table, names.map((name) => {
    const { n, p50_s, p95_s, p99_s } = latency[name];
    return [name, count(n), seconds(p50_s), seconds(p95_s), seconds(p99_s)];
  }));
  const part = (name, label) => steps[name] && `${label} p50 ${seconds(steps[name].p50_s)}, p95 ${seconds(steps[name].p95_s)}`;
  const parts = [part("redis", "waiting for Redis"), part("embedding", "embedding the query")].filter(Boolean);
  byId("steps").textContent = parts.length ? `Of which ${parts.join("; ")}.` : "";
  names.forEach((name, index) => { table.tBodies[0].rows[index].cells[0].dataset.status = name; });
}

const loss = ({ loss: mean, loss_low: low, loss_high: high }) => `${number(mean, 3)} (${number(low, 3)} to ${number(high, 3)})`;

function showPruning(pruning) {
  const text = byId("pruning");
  const levels = Object.entries(pruning.by_confidence ?? {}).filter(([, level]) => level.n);
  if (pruning.mode === "off") text.textContent = "Pruning is off (prune.mode), so nothing is measured.";
  else if (!pruning.n) text.textContent = `Not measured yet: it takes requests of new queries that are scored whole (learned from ${count(pruning.learned_from)} so far).`;
  else {
    const what = `${share(pruning.avoided)} of the pairs of new queries at a mean loss of ${loss(pruning)}`;
    text.textContent = pruning.confidence !== null && pruning.confidence !== undefined
      ? `Pruning is on and avoids ${what}.`
      : `It would avoid ${what}${pruning.mode === "on" ? "; it begins once that is proven." : ". prune.mode: on begins once that is proven."}`;
  }
  fill(byId("pruning-levels"), levels.map(([confidence, level]) => [confidence, count(level.n), share(level.avoided), loss(level)]));
}

function showTrust(quality, about) {
  const threshold = quality.trust_threshold;
  const raised = threshold !== about.trust_threshold;
  byId("trust").textContent = (threshold === null
    ? "No near query is trusted"
    : `Scores are served unasked from similarity ${threshold} on`)
    + (raised ? `; the setting is ${about.trust_threshold}` : "")
    + (about.reuse_threshold === null ? "." : `, and verified from ${about.reuse_threshold} on.`)
    + (quality.reason ? ` Because: ${quality.reason}.` : "")
    + ` The quality budget is a mean loss of ${about.quality_budget}.`;
  const bands = Object.entries(quality.bands).filter(([, band]) => band.n);
  const most = Math.max(2.5 * about.quality_budget, ...bands.map(([, band]) => Math.min(band.loss_high, 10 * about.quality_budget)));
  fill(byId("bands"), bands.map(([name, band]) => [
    name === "exact" ? "same query" : name === "below" ? "below 0.6" : `from ${name}`,
    count(band.n), loss(band), whisker(band, about.quality_budget, most), number(band.drift),
  ]));
  byId("no-bands").hidden = bands.length > 0;
}

function whisker({ loss: mean, loss_low: low, loss_high: high }, budget, most) {
  const x = (value) => (2 + (SVG_WIDTH - 4) * Math.min(1, value / most)).toFixed(1);
  const holder = document.createElement("span");
  const svg = node(holder, "svg", { class: "whisker", viewBox: `0 0 ${SVG_WIDTH} 16`, role: "img", "aria-label": `mean loss ${number(mean, 3)}, budget ${budget}` });
  node(svg, "path", { class: "limit", d: `M${x(budget)} 0V16` });
  node(svg, "path", { d: `M${x(low)} 8H${x(high)}` });
  node(svg, "circle", { cx: x(mean), cy: 8, r: 3.5 });
  return holder;
}

function showLadder({ rerankers, breaker_changes: changes, now }) {
  fill(byId("ladder"), rerankers.map(({ reranker, states, answers, p95_s, waiting_pairs }) => {
    const cell = document.createElement("span");
    const names = Object.entries(states);
    for (const [state, n] of names) node(cell, "span", { class: "state", "data-state": state }, names.length > 1 ? `${state} in ${n} ` : state);
    const name = document.createElement("span");
    name.textContent = short(reranker);
    name.title = reranker;
    return [name, cell, count(answers), seconds(p95_s), count(waiting_pairs)];
  }));
  list(byId("changes"), changes, "No breaker has changed.", (item, { at, reranker, old, new: to, reason, cause }) => {
    item.dataset.over = String(to === "closed" || to === "disabled");
    node(item, "time", {}, moment(at, now));
    item.append(`${reranker ? `${short(reranker)}: ` : ""}${old} → ${to} (${[reason, cause].filter(Boolean).join(", ")})`);
  });
}

function showRedis({ up, entries, is_about, error }, about, totals) {
  const kept = about.ttl_s === null ? "which stay until Redis evicts them" : `each kept for ${span(about.ttl_s)}`;
  const outages = `${count(totals.outages)} outage${totals.outages === 1 ? "" : "s"} since the start.`;
  const there = `Up, with ${is_about ? "about " : ""}${count(entries)} entries, ${kept}. ${outages}`;
  // The error last, since it ends as its author ended it.
  byId("redis").textContent = up ? there : `Away. ${outages} ${error}`;
}

function showLog({ happened, errors, now }) {
  list(byId("happened"), happened, "Nothing has gone wrong since the start.", (item, { at, text, remedy, is_over }) => {
    item.dataset.over = String(is_over);
    node(item, "time", {}, moment(at, now));
    item.append(text);
    if (remedy) words(node(item, "span", { class: "remedy" }), remedy);
  });
  list(byId("errors"), errors, "No errors.", (item, { part, name, error, seconds_ago, remedy }) => {
    node(item, "time", {}, `${span(seconds_ago)} ago`);
    item.append(`${short(name) || part}: ${error}`);
    words(node(item, "span", { class: "remedy" }), remedy);
  });
}

// What stands between backticks is typed by a person, or a name.
function words(place, text) {
  text.split("`").forEach((part, index) => (index % 2 ? node(place, "code", {}, part) : place.append(part)));
}

function list(place, entries, none, write) {
  const items = entries.map((entry) => {
    const item = document.createElement("li");
    write(item, entry);
    return item;
  });
  if (!items.length) {
    const item = document.createElement("li");
    item.className = "none";
    item.textContent = none;
    items.push(item);
  }
  place.replaceChildren(...items);
}
