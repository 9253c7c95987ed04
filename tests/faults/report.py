"""Writes the table: what requests saw of each fault and in each case, semcache beside its peers."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.subjects import Semcache
from tests.faults.targets import targets

Figures = Mapping[str, Any]
_GROUPS = {
    "network": "Between client and server",
    "server": "The server",
    "data": "What is stored",
    "embedder": "The embedder",
    "reranker": "The reranker",
    "isolation": "Isolation",
    "near": "Near queries of other meaning",
    "programs": "Programs",
}
_DELAY_S = {"before": "before", "first_second": "first second", "later": "later"}


@dataclass(frozen=True, slots=True)
class Result:
    """All rows. Those of cases have no times. ``left_out`` says why a subject has no rows."""

    machine: Figures
    rows: Sequence[Figures]
    left_out: Mapping[str, str]


def save(result: Result, folder: Path) -> None:
    """Write ``faults.json`` and ``faults.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"machine": result.machine, "left_out": result.left_out, "rows": list(result.rows)}
    (folder / "faults.json").write_text(json.dumps(data, indent=1) + "\n")
    (folder / "faults.md").write_text(_markdown(result))


def _markdown(result: Result) -> str:
    sections = [_HEAD, _table(_totals(result.rows)), _PROMISES, _table(targets(result.rows))]
    sections += [f"{subject} was left out: {why}." for subject, why in result.left_out.items()]
    for strikes, heading in _GROUPS.items():
        if rows := [row for row in result.rows if row["strikes"] == strikes]:
            sections.append(f"## {heading}")
            sections += [_NEAR] if strikes == "near" else []
            tables = (_own if "before" in rows[0] else _cases)(rows), _beside(rows)
            sections += [_table(table) for table in tables if table]
    sections.append("Machine: " + ", ".join(f"{name} {value}" for name, value in result.machine.items()) + ".")
    return "\n\n".join(sections) + "\n"


_HEAD = """# What requests see of faults

Written by `make faults` (tests/faults). Each row is a real server behind a proxy, and requests of 4 threads and 8 tasks
that go on before, with and after the fault; a tenth of them is about something new, and a fifth near to what was asked
before. The reranker takes 10 ms for a call, and its right answers are known. The peers stand in front of the same
reranker as their documentation shows, and get the same candidates each time, while semcache gets others with each
request.

- **failed**: the caller got an exception. **wrong**: the answer was neither the right one nor said to be degraded.
  **unanswered**: no answer when the row ended, seconds after the end of the fault.
- **added**: what callers waited beyond the time in the reranker, p50 / p99 in ms: before the fault, in its first
  second, and later while it lasted.
- **hits**: share of requests that the cache saved work: before, with and after the fault.
- **back**: seconds from the end of the fault until threads and tasks had hits of near queries, which need all of the
  cache; for the reranker, until it answered again.
- **told**: events by kind, and the number of warnings in the log."""


_PROMISES = """What semcache promises, and its worst row. "Added" is counted from the p99 of the same callers before the
fault, which is of some 200 requests a row: the worst row is partly chance, the median is not."""


_NEAR = """Pairs of queries that an embedder takes for the same (similarity 0.985) and that ask something else, such as
"Windows 10 boots slowly" and "Windows 11 boots slowly" (tests/data/guard_pairs.jsonl). The candidates are shared
passages, whose scores differ as those of near queries do, or passages of which one half answers the one query and one
half the other. What semcache's guard does not see is trusted; where it sees a difference, scores are verified, by a
bound that is statistical, or not used. Wrong is each order that is not exactly the right one."""


def _totals(rows: Iterable[Figures]) -> list[dict[str, str]]:
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        count = counts[row["subject"]]
        for name in ("requests", "failed", "wrong", "unanswered"):
            count[name] += row[name]
        count["leaked"] += row.get("leaked", 0)
        count["rows"] += 1
        count["rows with a failed, wrong or unanswered request"] += bool(
            row["failed"] or row["wrong"] or row["unanswered"] or row.get("leaked")
        )
    return [
        {"": subject, **{name: f"{number:,}" for name, number in count.items()}} for subject, count in counts.items()
    ]


def _own(rows: Iterable[Figures]) -> list[dict[str, str]]:
    """semcache's rows in full."""
    return [
        {
            "fault": row["fault"],
            "requests": f"{row['requests']:,}",
            "failed": _marked(row["failed"]),
            "wrong": _marked(row["wrong"]),
            "unanswered": _marked(row["unanswered"]),
            "degraded": str(row["degraded"]),
            **{f"added, {name}": _delay(row[key]) for key, name in _DELAY_S.items()},
            "hits": " / ".join(_share(row[name]) for name in ("hits_before", "hits_with", "hits_after")),
            "back": _back(row),
            "told": ", ".join(f"{name} {count}" for name, count in row["events"].items())
            + ("" if row["is_told"] else " **not enough**"),
        }
        for row in rows
        if row["subject"] == Semcache.name
    ]


def _beside(rows: Sequence[Figures]) -> list[dict[str, str]]:
    """The peers' rows in short, one line for each fault."""
    peers = list(dict.fromkeys(row["subject"] for row in rows if row["subject"] != Semcache.name))
    by_fault: dict[str, dict[str, Figures]] = defaultdict(dict)
    for row in rows:
        if row["subject"] != Semcache.name:
            by_fault[row["fault"]][row["subject"]] = row
    return [
        {"fault": fault, **{name: cell for peer in peers for name, cell in _in_short(peer, found.get(peer)).items()}}
        for fault, found in by_fault.items()
    ]


def _in_short(peer: str, row: Figures | None) -> dict[str, str]:
    short = peer.split(maxsplit=1)[0]
    if row is None:
        return {f"{short}: failed, wrong, unanswered": ""}
    cells = {f"{short}: failed, wrong, unanswered": _counts(row)}
    if "before" in row:
        cells |= {f"{short}: added, first second": _delay(row["first_second"]), f"{short}: back": _back(row)}
    return cells


def _cases(rows: Iterable[Figures]) -> list[dict[str, str]]:
    return [
        {
            "case": row["fault"],
            "requests": str(row["requests"]),
            **{name: _marked(row[name]) for name in ("failed", "wrong", "leaked", "unanswered")},
            "degraded": str(row["degraded"]),
            "note": row["note"],
        }
        for row in rows
        if row["subject"] == Semcache.name
    ]


def _counts(row: Figures) -> str:
    leaked = f", {row['leaked']} leaked" if row.get("leaked") else ""
    return f"{row['failed']}, {row['wrong']}, {row['unanswered']} of {row['requests']}{leaked}"


def _marked(count: int) -> str:
    return f"**{count}**" if count else "0"


def _delay(delay: Figures | None) -> str:
    if delay is None or delay["p50_ms"] is None:
        return "-"
    return f"{delay['p50_ms']:.1f} / {delay['p99_ms']:.1f}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _back(row: Figures) -> str:
    if not row["heals"]:
        return "stays away"
    return "not seen" if row["recovered_s"] is None else f"{row['recovered_s']:.2f}"


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([row.get(name, "") for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
