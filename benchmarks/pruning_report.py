"""The sections of quality.md on learned pruning."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.quality_report import Row, interval, table

INTRODUCTION = """# Learned pruning

**Question.** Nothing is remembered of a query, or of some of its documents. What need not be asked about, by what the
reranker's earlier scores have taught?

**Method.** The same topics, rewrites, retrievers and reranker as above. A surrogate (ridge regression on retriever's
rank and score, similarity of query and document, overlap of words, length) learns from the requests of one half of the
topics, one by one as in service, and is tried on the other half, both ways; one surrogate per retriever, as a namespace
has one. *Known* says of which share of the candidates a near query's scores are remembered; *none* is a complete miss:
every wording, {misses} requests. *Careful* is the default ({careful}), *eager* is {eager}: confidence for what the
surrogate expects, and for what near queries' scores say. *First m* are the alternatives without rounds, at the same
mean number of pairs: the best m by what the surrogate expects, the retriever's, the nearest by embedding.
"""


def markdown(result: Row) -> str:
    """All sections."""
    pruning = result["pruning"]
    settings = pruning["settings"]
    parts = [
        INTRODUCTION.format(
            misses=pruning["cells"][0]["requests"],
            careful="z {} and {}".format(*settings["careful"]),
            eager="z {} and {}".format(*settings["eager"]),
        ),
        "## Targets\n",
        _targets(pruning["cells"]),
    ]
    setting = ("known", "top_k", "candidates", "vectors", "retriever")
    for title, names, rows in (
        ("All cells", (*setting, "setting", "rule"), pruning["cells"]),
        ("By retriever", (*setting, "setting"), pruning["retrievers"]),
        ("By confidence", (*setting, "confidence"), [row for row in pruning["curve"] if "confidence" in row]),
        ("Without a call of the reranker (top 10 of 50)", ("rule",), pruning["last_resort"]),
        ("Another reranker, same settings: bge-small-en-v1.5-int8", (*setting, "setting", "rule"), pruning["oracle"]),
    ):
        parts += [f"## {title}\n", table(names, rows)]
    parts += ["## By most rounds\n", _rounds(pruning)]
    if pruning["cascade"]:
        parts += ["## With a cheap reranker that sees all candidates\n", _cascade(pruning)]
    parts += ["## Overhead\n", _overhead(pruning["overhead"])]
    return "\n".join(parts)


def _targets(rows: Sequence[Row]) -> str:
    """Every cell and setting on one line, with its target and the alternatives at the same cost."""
    lines = [
        "Of the alternatives: m, change of nDCG, worst 5 %, top k kept.\n",
        "| request | setting | pairs avoided | target | change of nDCG | worst 5 % | target | met | top k kept "
        "| surrogate's first m | retriever's first m |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["rule"] == "pruned" and row["target"] is not None:
            worst = {"careful": -0.01, "eager": -0.03}[row["setting"]]
            met = {
                "avoided": row["avoided"]["mean"] >= row["target"],
                "worst 5 %": row["worst"] >= worst - 0.0005,
                "mean": row["change"]["mean"] >= -0.002,
            }
            missed = ", ".join(name for name, is_met in met.items() if not is_met)
            cells = [
                _request(row),
                row["setting"],
                interval(row["avoided"], ".1%"),
                f"{row['target']:.0%}",
                interval(row["change"], "+.4f"),
                f"{row['worst']:+.3f}",
                f"{worst:+.2f}",
                f"no: {missed}" if missed else "yes",
                f"{row['same_top']:.1%}",
                *(_other(_same_cost(rows, row, prefix)) for prefix in ("surrogate's first", "retriever's first")),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _request(row: Row) -> str:
    behind = "" if row["retriever"] == "any" else ", dense retriever"
    without = "" if row["vectors"] == "yes" else ", no vectors"
    return f"{row['known']} known, top {row['top_k']} of {row['candidates']}{behind}{without}"


def _same_cost(rows: Iterable[Row], row: Row, prefix: str) -> Row:
    names = ("known", "top_k", "candidates", "vectors", "retriever", "setting")
    return next(
        other for other in rows if other["rule"].startswith(prefix) and all(other[name] == row[name] for name in names)
    )


def _other(row: Row) -> str:
    return f"{row['rule'].rsplit(' ', 1)[-1]}: {row['change']['mean']:+.4f}, {row['worst']:+.3f}, {row['same_top']:.1%}"


def _rounds(pruning: Row) -> str:
    lines = [
        f"Time of the reranker for one request: {1000 * pruning['pair_s']:.1f} ms per pair for the local model, "
        f"{1000 * pruning['call_s']:.0f} ms per round for an API (whole scoring: all pairs, one round).\n",
        "By default a local model is asked in 5 rounds at most (3 where near queries know some of the documents), a "
        "service in one. *Surrogate's first m*: one round of a fixed number, at the same mean number of pairs. "
        f"{_one_round(pruning['rounds'])}\n",
        "| request | most rounds | setting | rule | change of nDCG | worst 5 % | top k kept | pairs avoided | rounds "
        "| local model | API |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in pruning["rounds"]:
        lines.append(
            f"| {_request(row)} | {row['most_rounds']} | {row['setting']} | {row['rule']} "
            f"| {interval(row['change'], '+.4f')} | {row['worst']:+.3f} | {row['same_top']:.1%} "
            f"| {interval(row['avoided'], '.1%')} | {row['rounds']:.2f} "
            f"| {row['local_s']:.2f} of {row['candidates'] * pruning['pair_s']:.2f} s "
            f"| {row['api_s']:.2f} of {pruning['call_s']:.2f} s |"
        )
    return "\n".join(lines) + "\n"


def _one_round(rows: Sequence[Row]) -> str:
    """Which of the two ways to choose one round is better."""
    ours = [row for row in rows if row["most_rounds"] == 1 and row["rule"] == "pruned"]
    others = [row for row in rows if row["rule"].startswith("surrogate's first")]
    kept = sum(one["same_top"] > other["same_top"] for one, other in zip(ours, others, strict=True))
    worst = sum(one["worst"] >= other["worst"] for one, other in zip(ours, others, strict=True))
    return (
        f"In {kept} of {len(ours)} comparisons the bound, which asks for more where less is sure, keeps more of the "
        f"top k than that, and in {worst} its worst 5 % are no worse; so a service is asked by the bound, too."
    )


def _cascade(pruning: Row) -> str:
    lines = [
        "A cheap reranker scores every candidate first, and its score is one more feature (setting `prune.cascade`). "
        "*Cost*: a pair of it, as a share of a whole pair's time; it is taken off what is *saved*. *Gained* is what it "
        "adds to the pairs avoided without it: a scorer that costs more than that does not pay.\n",
        "| cheap reranker | top k | setting | requests | change of nDCG | worst 5 % | pairs avoided | without it "
        "| gained | cost | saved, cost of both counted |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in pruning["cascade"]:
        lines.append(
            f"| {row['cheap']} | {row['top_k']} of {row['candidates']} | {row['setting']} | {row['requests']} "
            f"| {interval(row['change'], '+.4f')} | {row['worst']:+.3f} | {interval(row['avoided'], '.1%')} "
            f"| {row['without']:.1%} | {row['gained']:+.1%} | {row['cost']:.0%} | {row['saved']:.1%} |"
        )
    return "\n".join(lines) + "\n"


def _overhead(spent: Row) -> str:
    return (
        f"One request of {spent['documents']} documents with vectors of 384 numbers, CPU time p50 (p95): features "
        f"{_ms(spent['features'])}, expected scores {_ms(spent['expected'])}, all rounds {_ms(spent['rounds'])}, all "
        f"that mode `on` adds {_ms(spent['on'])}; what mode `measure` adds, replay and sums included, "
        f"{_ms(spent['measure'])}. Sums of a scope: {spent['sums_bytes']} bytes; a document vector: "
        f"{spent['vector_bytes']} bytes in float16.\n"
    )


def _ms(times: Row) -> str:
    return f"{times['cpu_p50_ms']:.2f} ({times['cpu_p95_ms']:.2f}) ms"


def plot(axes: Any, pruning: Row) -> None:
    """Pairs avoided against the worst 5 %, for one cell with vectors: the rule, and first m by three orders."""
    chosen = [row for row in pruning["curve"] if (row["candidates"], row["top_k"], row["vectors"]) == (50, 10, "yes")]
    for rule, colour in (
        (None, "tab:blue"),
        ("surrogate's first", "tab:purple"),
        ("retriever's first", "tab:orange"),
        ("embedding's first", "tab:green"),
    ):
        rows = sorted((r for r in chosen if r.get("rule") == rule), key=lambda row: row["avoided"]["mean"])
        label = rule or "pruned, by confidence"
        avoided = [100 * row["avoided"]["mean"] for row in rows]
        axes.plot(avoided, [row["worst"] for row in rows], "o-", color=colour, label=f"{label}: worst 5 %")
        axes.plot(avoided, [row["change"]["mean"] for row in rows], "s--", color=colour, label=f"{label}: mean")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="pairs avoided, %", ylabel="change of nDCG@10", title="Complete miss, top 10 of 50, with vectors")
    axes.legend(fontsize=8, loc="lower left")
