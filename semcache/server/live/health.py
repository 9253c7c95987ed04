"""Says what is wrong with a server and what to do about it, by its figures. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from semcache.server.live.remedies import FORCED

_FINE = ("closed", "disabled")

Level = Literal["bad", "warn"]


def wrong_with(shown: Mapping[str, Any]) -> list[dict[str, str]]:
    """The faults, the worst first, each with ``level``, ``what``, ``more`` and ``remedy``; nothing if all is well.

    ``shown`` are the figures as ``LiveView`` gives them.
    """
    found = [*_redis(shown["redis"]), *_breakers(shown), *_degraded(shown), *_trust(shown), *_silent(shown["silent"])]
    return sorted(found, key=lambda fault: fault["level"] != "bad")


def _fault(level: Level, what: str, more: str, remedy: str) -> dict[str, str]:
    return {"level": level, "what": what, "more": more, "remedy": remedy}


def _redis(redis: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if not redis["up"]:
        yield _fault("bad", "Redis does not answer.", "Requests are answered without the cache.", redis["remedy"])


def _open(shown: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [rung for rung in shown["rerankers"] if any(state not in _FINE for state in rung["states"])]


def _breakers(shown: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    processes = len(shown["processes"])
    for rung in _open(shown):
        states = [f"{state} in {n} of {processes}" if processes > 1 else state for state, n in rung["states"].items()]
        why = ", ".join(filter(None, (rung["reason"], rung["cause"])))
        yield _fault(
            "bad",
            f"The circuit breaker of {rung['reranker'].partition('@')[0]} is {', '.join(states)}.",
            f"Lower rungs answer{f': {why}' if why else ''}.",
            FORCED
            if "forced-open" in rung["states"]
            else "It closes by itself once calls are fast again. See the latency, the queue and the latest errors.",
        )


def _degraded(shown: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if shown["totals"]["degraded"] and not _open(shown):
        yield _fault(
            "warn",
            "Requests are being degraded.",
            "The primary was busy, late or failed, and a lower rung answered.",
            "See the queue and the latest errors: more comes in than the primary can take, or it fails.",
        )


def _trust(shown: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    quality = shown["quality"]
    if quality["reason"] and quality["trust_threshold"] != shown["about"]["trust_threshold"]:
        remedy = "Nothing to do: near queries are verified instead. The evidence is below."
        yield _fault("warn", "Trust was reduced.", f"{quality['reason'].capitalize()}.", remedy)


def _silent(processes: int) -> Iterator[dict[str, str]]:
    if processes:
        yield _fault(
            "warn",
            f"{processes} process{'' if processes == 1 else 'es'} did not tell in time.",
            "The figures are those of the others.",
            "If it lasts, that process has too much to do.",
        )
