// How near the nearest earlier query was, of all look-ups by meaning: bars by similarity, with the thresholds as lines.

import { node } from "./chart.js";
import { count, share } from "./words.js";

const HEIGHT = 104;
const FOOT = 18;
const HEAD = 16;

export class Nearest {
  constructor(place) {
    this.svg = node(place, "svg", { class: "nearest", role: "img" });
    this.ground = node(this.svg, "path", { class: "gridlines" });
    this.bars = node(this.svg, "path", { class: "bar" });
    this.lines = node(this.svg, "path", { class: "limit" });
    this.texts = Array.from({ length: 8 }, () => node(this.svg, "text"));
    this.place = place;
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  show({ edges, counts }, trusted, verified) {
    Object.assign(this, { edges, counts, trusted, verified });
    this.place.hidden = !counts.some(Boolean);
    this.draw();
  }

  draw() {
    const width = this.svg.clientWidth;
    if (!this.counts?.length || !width) return;
    const { edges, counts } = this;
    const step = edges[1] - edges[0];
    const low = edges[0] - step;
    const x = (similarity) => 2 + ((similarity - low) / (1 - low)) * (width - 4);
    const ground = HEIGHT - FOOT;
    const most = Math.max(...counts);
    const barOf = (n, index) => {
      const left = x(low + index * step);
      const height = (n / most) * (ground - HEAD);
      return n ? `M${left.toFixed(1)} ${ground}v${(-height).toFixed(1)}h${(x(low + step) - x(low) - 1.5).toFixed(1)}V${ground}z` : "";
    };
    this.bars.setAttribute("d", counts.map(barOf).join(""));
    this.ground.setAttribute("d", `M0 ${ground}H${width}`);
    const lines = [[this.verified, "verified from"], [this.trusted, "trusted from"]].filter(([at]) => at !== null && at >= low && at <= 1);
    this.lines.setAttribute("d", lines.map(([at]) => `M${x(at).toFixed(1)} ${HEAD - 4}V${ground}`).join(""));
    const labels = [
      ...lines.map(([at, what]) => [x(at) - 4, HEAD - 6, `${what} ${at}`, "end"]),
      [2, HEIGHT - 4, `below ${edges[0]}`, "start"],
      ...[0.6, 0.7, 0.8, 0.9].map((at) => [x(at), HEIGHT - 4, String(at), "middle"]),
      [width - 2, HEIGHT - 4, "1", "end"],
    ];
    // Where the thresholds lie close together the label of the lower one goes below the other.
    if (lines.length === 2 && x(lines[1][0]) - x(lines[0][0]) < 120) labels[0][1] += 14;
    this.texts.forEach((text, index) => {
      const [left, top, said, anchor] = labels[index] ?? [0, 0, "", "start"];
      text.textContent = said;
      text.setAttribute("x", left.toFixed(1));
      text.setAttribute("y", top);
      text.setAttribute("text-anchor", anchor);
    });
    const all = counts.reduce((sum, n) => sum + n, 0);
    const from = (similarity) => share(counts.reduce((sum, n, index) => sum + (low + index * step >= similarity - 1e-9 ? n : 0), 0), all);
    const parts = lines.map(([at, what]) => `${from(at)} ${what} ${at} on`);
    this.svg.setAttribute("aria-label", `Similarity of the nearest earlier query in ${count(all)} look-ups: ${parts.join(", ")}`);
  }
}
