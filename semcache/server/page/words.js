// Numbers and times as people read them.

export const NONE = "–";

export const count = (n) => (n === null || n === undefined ? NONE : Math.round(n).toLocaleString("en"));

export const share = (part, whole = 1) => {
  if (!whole) return NONE;
  const percent = (100 * part) / whole;
  return `${percent > 0 && percent < 9.95 ? percent.toFixed(1) : percent.toFixed(0)} %`;
};

export function seconds(s) {
  if (s === null || s === undefined) return NONE;
  if (s >= 100) return span(s);
  if (s >= 1) return `${s.toPrecision(3)} s`;
  if (s >= 0.01) return `${(1000 * s).toFixed(0)} ms`;
  return `${(1000 * s).toPrecision(2)} ms`;
}

export function span(s) {
  if (s === null || s === undefined) return NONE;
  if (s === 0) return "0 s";
  if (s < 0.1) return seconds(s);
  const units = [["days", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const [unit, size] = units.find(([, size]) => s >= 2 * size) ?? units[3];
  const n = s / size;
  return `${n < 10 ? n.toFixed(1) : Math.round(n).toLocaleString("en")} ${unit}`;
}

export const number = (n, digits = 2) => (n === null || n === undefined ? NONE : n.toFixed(digits).replace("-", "−"));

const clockOf = (options) => new Intl.DateTimeFormat("en-GB", options);
const HOUR = clockOf({ hour: "2-digit", minute: "2-digit" });
const EXACT = clockOf({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = clockOf({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const hour = (at) => HOUR.format(at * 1000);
export const clock = (at) => EXACT.format(at * 1000);
export const moment = (at, now) => (now - at < 43200 ? clock(at) : DAY.format(at * 1000));
