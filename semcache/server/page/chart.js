// Charts as SVG: stacked bars and curves over time. A chart has a fixed number of nodes, however long it is shown;
// drawing replaces their shapes.

import { NONE, clock, hour } from "./words.js";

const NS = "http://www.w3.org/2000/svg";
const LEFT = 46;
const RIGHT = 6;
const TOP = 10;
const BOTTOM = 22;
const Y_LABELS = 8;
const X_LABELS = 8;
const GROUPS = [1, 2, 3, 4, 5, 6, 9, 10, 12, 15, 18, 20];
const NARROWEST_BAR = 7;
const STEPS_S = [60, 120, 180, 300, 600, 3600, 7200, 10800, 21600, 43200];

export function node(parent, tag, attributes = {}, text = "") {
  const made = tag in SVG ? document.createElementNS(NS, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  parent.append(made);
  return made;
}

const SVG = { svg: 1, g: 1, path: 1, text: 1, circle: 1 };

export class Chart {
  // series: [{ key, label }], drawn from the bottom up. kind: "bars" or "curves". scale: "linear", "log" or "share".
  // format turns a value into words; say is what a reader who cannot see the chart is told it is.
  constructor(place, { series, kind, scale = "linear", format, say }) {
    Object.assign(this, { place, series, kind, scale, format, say, data: null, at: null });
    this.svg = node(place, "svg", { tabindex: "0", role: "img", "aria-label": say });
    this.gridlines = node(this.svg, "path", { class: "gridlines" });
    this.limit = node(this.svg, "path", { class: "limit" });
    this.shapes = series.map(({ key }) =>
      node(this.svg, "path", { class: kind === "bars" ? "bar" : "curve", "data-key": key }));
    this.limitText = node(this.svg, "text", { "text-anchor": "end" });
    this.cursor = node(this.svg, "path", { class: "cursor" });
    this.yTexts = Array.from({ length: Y_LABELS }, () =>
      node(this.svg, "text", { "text-anchor": "end", x: LEFT - 6, "dominant-baseline": "middle" }));
    this.xTexts = Array.from({ length: X_LABELS }, () => node(this.svg, "text", { "text-anchor": "middle" }));
    this.note = node(this.svg, "text", { class: "empty", "text-anchor": "middle" });
    this.tip = node(place, "div", { class: "tip" });
    this.tip.hidden = true;
    this.tipTime = node(this.tip, "p");
    this.tipLines = series.map(({ key, label }) => {
      const line = node(this.tip, "p", { "data-key": key }, label);
      return { line, value: node(line, "b") };
    });
    const legend = node(place, "ul", { class: "legend" });
    if (series.length > 1) for (const { key, label } of series) node(legend, "li", { "data-key": key }, label);
    this.#tableBelow();
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  show(data) {
    this.data = data;
    this.draw();
    if (this.details.open) this.#fillTable();
  }

  draw() {
    const width = this.svg.clientWidth;
    const height = this.svg.clientHeight;
    if (!this.data || !width) return;
    this.columns = this.#columns(width);
    this.box = { width: width - LEFT - RIGHT, height: height - TOP - BOTTOM };
    const empty = this.columns.every((column) => this.series.every(({ key }) => !column.values[key] && column.values[key] !== 0))
      || (this.kind === "bars" && this.columns.every((column) => !column.total));
    this.note.textContent = empty ? this.data.note ?? "Nothing in this time" : "";
    this.note.setAttribute("x", LEFT + this.box.width / 2);
    this.note.setAttribute("y", TOP + this.box.height / 2);
    const y = this.#axis(empty);
    this.shapes.forEach((shape, index) =>
      shape.setAttribute("d", empty ? "" : this.kind === "bars" ? this.#bars(index, y) : this.#curve(index, y)));
    this.#times();
    this.#point();
    this.svg.setAttribute("aria-label", `${this.say}. ${empty ? this.note.textContent : this.#latest()}`);
  }

  x(index) {
    return LEFT + (this.box.width * (index + 0.5)) / this.columns.length;
  }

  // Several slots to a bar where bars would be too narrow to be seen.
  #columns(width) {
    const { at, values, slot_s } = this.data;
    const group = this.kind === "curves" ? 1
      : GROUPS.find((size) => at.length % size === 0 && width / (at.length / size) >= NARROWEST_BAR) ?? 20;
    const columns = [];
    for (let first = 0; first < at.length; first += group) {
      const column = { at: at[first], seconds: group * slot_s, values: {}, total: 0 };
      for (const { key } of this.series) {
        const slots = values[key].slice(first, first + group);
        column.values[key] = this.kind === "curves" ? slots[0] : slots.reduce((sum, value) => sum + value, 0);
        column.total += column.values[key] ?? 0;
      }
      columns.push(column);
    }
    return columns;
  }

  // Gridlines and labels; gives the function from a value to its height in pixels.
  #axis(empty) {
    const all = this.kind === "bars" ? this.columns.map((column) => column.total)
      : this.columns.flatMap((column) => Object.values(column.values)).filter((value) => value !== null);
    if (this.data.limit !== undefined && !empty && this.kind === "curves") all.push(1.5 * this.data.limit);
    const { ticks, place } = this.scale === "share" ? linear(0, 1) : this.scale === "log" ? logarithmic(all)
      : linear(Math.min(0, ...all), Math.max(0, ...all));
    const y = (value) => TOP + this.box.height * (1 - place(value));
    const line = (value) => `M${LEFT} ${y(value).toFixed(1)}h${this.box.width}`;
    const shown = empty ? [] : ticks.slice(0, Y_LABELS);
    this.gridlines.setAttribute("d", empty ? `M${LEFT} ${TOP + this.box.height}h${this.box.width}` : shown.map(line).join(""));
    this.yTexts.forEach((text, index) => {
      const has = index < shown.length;
      text.textContent = has ? this.#label(shown[index], ticks[1] - ticks[0]) : "";
      if (has) text.setAttribute("y", y(shown[index]));
    });
    const limited = !empty && this.data.limit !== undefined;
    this.limit.setAttribute("d", limited ? line(this.data.limit) : "");
    this.limitText.textContent = limited ? this.data.limitSays : "";
    this.limitText.setAttribute("x", LEFT + this.box.width);
    if (limited) this.limitText.setAttribute("y", y(this.data.limit) - 4);
    return y;
  }

  #label(value, step) {
    return this.scale === "share" ? `${Math.round(100 * value)} %` : (this.axisFormat ?? this.format)(value, step);
  }

  #bars(index, y) {
    const width = this.box.width / this.columns.length;
    const gap = width > 5 ? 1.5 : 0.5;
    return this.columns.map(({ values, total }, column) => {
      if (!values[this.series[index].key]) return "";
      const whole = this.scale === "share" ? total : 1;
      const below = this.series.slice(0, index).reduce((sum, { key }) => sum + values[key], 0) / whole;
      const top = y(below + values[this.series[index].key] / whole);
      return `M${(LEFT + column * width + gap / 2).toFixed(1)} ${top.toFixed(1)}h${(width - gap).toFixed(1)}V${y(below).toFixed(1)}h${(gap - width).toFixed(1)}z`;
    }).join("");
  }

  // A gap where nothing happened; a lone value is a dot, since round caps end a line of no length.
  #curve(index, y) {
    const key = this.series[index].key;
    return this.columns.map(({ values }, column) => {
      const value = values[key];
      if (value === null) return "";
      const before = column ? this.columns[column - 1].values[key] : null;
      const point = `${this.x(column).toFixed(1)} ${y(value).toFixed(1)}`;
      return before === null ? `M${point}h0` : `L${point}`;
    }).join("");
  }

  #times() {
    const first = this.columns[0].at;
    const last = this.columns.at(-1);
    const length = last.at + last.seconds - first;
    const most = Math.min(X_LABELS, Math.max(2, Math.floor(this.box.width / 80)));
    const step = STEPS_S.find((size) => length / size <= most) ?? STEPS_S.at(-1);
    const offset = new Date(first * 1000).getTimezoneOffset() * 60;
    const start = Math.ceil((first - offset) / step) * step + offset;
    this.xTexts.forEach((text, index) => {
      const at = start + index * step;
      const x = LEFT + (this.box.width * (at - first)) / length;
      const fits = x < LEFT + this.box.width - 12 && x > LEFT + 12;
      text.textContent = fits ? hour(at) : "";
      text.setAttribute("x", x.toFixed(1));
      text.setAttribute("y", TOP + this.box.height + 16);
    });
  }

  #latest() {
    const column = [...this.columns].reverse().find(({ values, total }) => this.kind === "bars" ? total : Object.values(values).some((value) => value !== null));
    return column ? `Latest, ${clock(column.at)}: ${this.series.map(({ key, label }) => `${label} ${this.#value(column, key)}`).join(", ")}` : "";
  }

  #value({ values, total }, key) {
    const value = values[key];
    if (value === null) return NONE;
    if (this.scale === "share") return total ? `${this.format(value)} (${Math.round((100 * value) / total)} %)` : this.format(value);
    return this.format(value);
  }

  #listen() {
    this.svg.addEventListener("pointermove", (event) => {
      if (!this.columns) return;
      const share = (event.offsetX - LEFT) / this.box.width;
      this.at = Math.max(0, Math.min(this.columns.length - 1, Math.floor(share * this.columns.length)));
      this.#point();
    });
    const leave = () => { this.at = null; this.#point(); };
    this.svg.addEventListener("pointerleave", leave);
    this.svg.addEventListener("blur", leave);
    this.svg.addEventListener("keydown", (event) => {
      if (!this.columns) return;
      const last = this.columns.length - 1;
      const at = this.at ?? last;
      const to = { ArrowLeft: Math.max(0, at - 1), ArrowRight: Math.min(last, at + 1), Home: 0, End: last, Escape: null }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.at = to;
      this.#point();
      if (to !== null) document.getElementById("said").textContent = this.tip.innerText;
    });
  }

  // The values at the cursor.
  #point() {
    const column = this.at === null || !this.columns ? undefined : this.columns[this.at];
    this.tip.hidden = !column;
    this.cursor.setAttribute("d", column ? `M${this.x(this.at).toFixed(1)} ${TOP}v${this.box.height}` : "");
    if (!column) return;
    this.tipTime.textContent = `${clock(column.at)} to ${clock(column.at + column.seconds)}`;
    this.tipLines.forEach(({ line, value }, index) => {
      const key = this.series[index].key;
      // Of many statuses only those that occur.
      line.hidden = this.series.length > 4 && !column.values[key];
      value.textContent = this.#value(column, key);
    });
    const x = this.x(this.at);
    const left = x > LEFT + this.box.width / 2 ? x - this.tip.offsetWidth - 10 : x + 10;
    this.tip.style.left = `${Math.max(0, Math.min(left, this.svg.clientWidth - this.tip.offsetWidth))}px`;
  }

  #tableBelow() {
    this.details = node(this.place, "details");
    node(this.details, "summary", {}, "As a table");
    const table = node(node(this.details, "div", { class: "scroll" }), "table");
    const head = node(node(table, "thead"), "tr");
    for (const label of ["from", ...this.series.map(({ label }) => label)]) node(head, "th", { scope: "col" }, label);
    this.rows = node(table, "tbody");
    this.details.addEventListener("toggle", () => (this.details.open ? this.#fillTable() : this.rows.replaceChildren()));
  }

  #fillTable() {
    const rows = document.createDocumentFragment();
    for (const column of [...(this.columns ?? [])].reverse()) {
      const values = this.series.map(({ key }) => column.values[key]);
      if (values.every((value) => !value)) continue;
      const row = node(rows, "tr");
      node(row, "td", {}, clock(column.at));
      for (const value of values) node(row, "td", {}, value === null ? NONE : this.format(value));
    }
    this.rows.replaceChildren(rows);
  }
}

function linear(low, high) {
  if (high === low) high = low + 1;
  const rough = (high - low) / 4;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((size) => size * ten).find((size) => size >= rough - 1e-12);
  const bottom = Math.floor(low / step + 1e-9) * step;
  const top = Math.ceil(high / step - 1e-9) * step;
  const ticks = Array.from({ length: Math.round((top - bottom) / step) + 1 }, (_, index) => bottom + index * step);
  return { ticks, place: (value) => (value - bottom) / (top - bottom) };
}

function logarithmic(all) {
  const bottom = Math.floor(Math.log10(Math.min(...all, 0.001)));
  const top = Math.max(bottom + 1, Math.ceil(Math.log10(Math.max(...all, 0.01)) - 1e-9));
  const ticks = Array.from({ length: top - bottom + 1 }, (_, index) => 10 ** (bottom + index));
  return { ticks, place: (value) => (Math.log10(value) - bottom) / (top - bottom) };
}
