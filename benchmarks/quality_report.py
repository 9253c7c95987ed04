"""The figures of the quality benchmark as Markdown tables and a plot."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]

MEASURED: tuple[Column, ...] = (
    ("requests", lambda row: f"{row['requests']}"),
    ("known", lambda row: f"{row['known_share']:.0%}"),
    ("fresh nDCG", lambda row: f"{row['fresh']:.4f}"),
    ("change of nDCG", lambda row: interval(row["change"], "+.4f")),
    ("worst 5 %", lambda row: f"{row['worst']:+.3f}"),
    ("pairs avoided", lambda row: interval(row["avoided"], ".1%")),
    ("rounds", lambda row: f"{row['rounds']:.2f}"),
    ("fresh top k kept", lambda row: f"{row['same_top']:.1%}"),
    ("stopped early", lambda row: f"{row['stopped']:.1%}"),
)

METHOD = """# Verified reuse: ranking quality and pairs avoided

Written by `python -m benchmarks.quality`; figures and machine in `quality.json`.

**Question.** One wording of a question is served from scores remembered of another wording. How much ranking quality
does that cost against scoring every candidate, and how many (query, document) pairs need no reranker?

**Method.** TREC DL 2019 passages, {topics} topics with official judgments; 326 rewrites that people checked. Every
original is served from each of its rewrites and every rewrite from its original, with the candidates of BM25, TAS-B or
SPLADE++, when their similarity (all-MiniLM-L6-v2) is {threshold} or more. *Known* says whose candidates were
remembered: *all*, the same list; *two thirds* and *one third*, another retriever's. The reranker is
ms-marco-MiniLM-L-12-v2 as int8 ONNX, one pair per call, so that a score depends on its pair alone (in a batch the graph
shares the scale of its activations, which moves scores by 0.13 on average). nDCG has linear gain, cut at k, and its
change is paired by request. Intervals are 95 %, by bootstrap over topics ({resamples} resamples, seed {seed}): requests
of one topic are not independent. *Worst 5 %* is the 5th percentile of the change. Scored so far: {scored:.0%} of all
pairs; requests that need others are left out.

Policy: {policy}.
"""


def markdown(result: Row) -> str:
    """The method and all tables."""
    about = result["about"]
    settings = result["settings"]
    parts = [
        METHOD.format(
            topics=settings[0]["topics"],
            threshold=about["policy"]["reuse_threshold"],
            resamples=about["resamples"],
            seed=about["seed"],
            scored=about["scored"],
            policy=", ".join(f"{name} {value}" for name, value in about["policy"].items()),
        )
    ]
    for known, depth, top_k in dict.fromkeys((row["known"], row["candidates"], row["top_k"]) for row in settings):
        rows = [r for r in settings if (r["known"], r["candidates"], r["top_k"]) == (known, depth, top_k)]
        parts.append(f"## Top {top_k} of {depth} candidates, {known} known\n")
        # Every rule over all retrievers, but only the verifying ones for each of them.
        rows = [row for row in rows if row["retriever"] == "any" or row["rule"] in ("verified", "steps of five")]
        parts.append(table(("retriever", "rule"), rows))
    for title, names, rows in (
        ("By similarity of the two wordings (top 10 of 50)", ("known", "low", "high", "rule"), result["bands"]),
        ("By kind of rewrite (top 10 of 50, all known)", ("kind", "served", "rule"), result["kinds"]),
        ("By confidence (top 10 of 50)", ("known", "rule", "confidence"), result["confidence"]),
        (
            "Confidence chosen on one half of the topics, measured on the other (top 10 of 50, all known)",
            ("chosen_on", "confidence"),
            result["halves"],
        ),
        ("Other rerankers, same policy (top 10)", ("oracle", "known", "candidates", "rule"), result["oracles"]),
        ("Several neighbours at once (top 10 of 50, all wordings)", ("known", "neighbours"), result["neighbours"]),
    ):
        parts += [f"## {title}\n", table(names, rows)]
    spent = result["overhead"]
    parts.append(
        f"## Overhead\n\nPlan and settle of {spent['documents']} documents from {spent['neighbours']} neighbours, "
        f"{spent['rounds']} rounds together: p50 {spent['p50_ms']:.2f} ms, "
        f"p95 {spent['p95_ms']:.2f} ms; p50 of the CPU time {spent['cpu_p50_ms']:.2f} ms.\n"
    )
    return "\n".join(parts)


def plot(result: Row, path: Path, draw_pruning: Callable[[Any], None]) -> None:
    """Pairs avoided against quality, by rule; quality by similarity; and what ``draw_pruning`` puts on its axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (trade, bands, misses) = plt.subplots(1, 3, figsize=(21, 6.5), layout="constrained")
    _trade(trade, result)
    _by_similarity(bands, result["bands"])
    draw_pruning(misses)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _trade(axes: Any, result: Row) -> None:
    for rule, colour in (("verified", "tab:blue"), ("steps of five", "tab:grey")):
        rows = [row for row in result["confidence"] if row["known"] == "all" and row["rule"] == rule]
        points = [(100 * row["avoided"]["mean"], row["worst"], row["change"]["mean"]) for row in rows]
        avoided, worst, means = zip(*points, strict=True)
        axes.plot(avoided, worst, "o-", color=colour, label=f"{rule}: worst 5 %")
        axes.plot(avoided, means, "s--", color=colour, label=f"{rule}: mean")
        beside = {"xytext": (-34, -10) if rule == "verified" else (6, 2), "textcoords": "offset points"}
        for at, row in zip(avoided, rows, strict=True):
            axes.annotate(f"z {row['confidence']:g}", (at, row["worst"]), color=colour, **beside)
    colours = {
        "plain": "tab:red",
        "retriever's first, same cost": "tab:orange",
        "embedding's first, same cost": "tab:green",
    }
    for row in result["settings"]:
        setting = row["known"], row["candidates"], row["top_k"], row["retriever"]
        if setting == ("all", 50, 10, "any") and row["rule"] in colours:
            at, label = 100 * row["avoided"]["mean"], f"{row['rule']}: mean (worst 5 %: {row['worst']:+.2f})"
            axes.plot(at, row["change"]["mean"], "D", color=colours[row["rule"]], label=label)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="pairs avoided, %", ylabel="change of nDCG@10", title="Top 10 of 50, all candidates known")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)


def _by_similarity(axes: Any, rows: Sequence[Row]) -> None:
    for rule, colour in (("verified", "tab:blue"), ("plain", "tab:red")):
        chosen = [row for row in rows if row["known"] == "all" and row["rule"] == rule]
        positions = range(len(chosen))
        means = [row["change"]["mean"] for row in chosen]
        spans = [[row["change"]["mean"] - row["change"]["low"] for row in chosen]]
        spans.append([row["change"]["high"] - row["change"]["mean"] for row in chosen])
        axes.errorbar(positions, means, spans, fmt="o-", color=colour, capsize=3, label=f"{rule}: mean, 95 %")
        axes.plot(positions, [row["worst"] for row in chosen], "v:", color=colour, label=f"{rule}: worst 5 %")
        axes.set_xticks(list(positions), [f"{row['low']:.2f}-{min(row['high'], 1):.2f}" for row in chosen])
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="similarity of the two wordings", ylabel="change of nDCG@10", title="All candidates known, by band")
    axes.legend(fontsize=8)


def interval(value: Row, form: str) -> str:
    return f"{value['mean']:{form}} [{value['low']:{form}}, {value['high']:{form}}]"


def table(keys: Sequence[str], rows: Iterable[Row]) -> str:
    """A table of rows: first the columns ``keys``, which distinguish them, then all measured columns."""
    headings = [*keys, *(name for name, _ in MEASURED)]
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    for row in rows:
        cells = [f"{row[key]:.2f}" if isinstance(row[key], float) else str(row[key]) for key in keys]
        cells += [show(row) for _, show in MEASURED]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
