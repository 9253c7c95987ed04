"""Keeps the quality state of a scope in one hash, which every process adds to."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoScriptError

from semcache.quality.statistics import BANDS, GROUPS, Observation, ReuseStatistics
from semcache.quality.trust import Trust
from semcache.redis.client.connection import Connection
from semcache.redis.client.execute import execute
from semcache.redis.client.failures import translated
from semcache.redis.client.scripts import Command, script
from semcache.redis.index import as_dict
from semcache.redis.keys import KeySpace

_LIFE_MS = 30 * 24 * 3600 * 1000
"""A scope that nobody has used for a month starts anew."""
_BLOCK = 64
"""Recent observations of a group: a good past hides no more of a bad present, and an alarm takes 10 to 40 of them."""
_MOST = 1024
"""Older observations of a group before all are halved: relaxing takes about 200 at a budget of 0.01."""


@dataclass(frozen=True, slots=True, eq=False)
class QualityState:
    """What the processes of a scope have seen and decided together; ``changes`` counts the decisions."""

    trust: Trust
    statistics: Mapping[str, ReuseStatistics]
    changes: int = 0


class QualityStore:
    """The quality state of one namespace, reranker and embedder. Raises StoreError when Redis cannot be asked.

    Every method is one round trip.
    """

    def __init__(self, connection: Connection, namespace: str, reranker: str, embedder: str) -> None:
        self._connection = connection
        self.key = f"{KeySpace.of(namespace, reranker, embedder).base}:q".encode()

    def read(self) -> QualityState:
        """The state as it is now; nothing seen and everything trusted where there is none."""
        return _state(self._value(self._send(("HGETALL", self.key))))

    def add(self, observations: Iterable[Observation], *, read: bool = False) -> QualityState | None:
        """Add observations; the state after that, if it is to be ``read``."""
        sums: defaultdict[str, float] = defaultdict(float)
        new: Counter[str] = Counter()
        for observation in observations:
            new[observation.group] += 1
            for name, amount in observation.increments().items():
                sums[f"{observation.band}:{name}"] += amount
        groups = [part for group, count in new.items() for part in (group, count, ",".join((*GROUPS[group], "")))]
        amounts = [part for name, amount in sums.items() for part in (name, repr(amount))]
        reply = self._run("observe", _LIFE_MS, _BLOCK, _MOST, int(read), len(new), *groups, *amounts)
        return _state(reply) if read else None

    def change(self, seen: QualityState, trust: Trust) -> QualityState:
        """Replace the trust of a state that was read; the state after that, or as somebody else has just changed it.

        When trust is withdrawn, all counting starts anew.
        """
        anew = int(trust.is_stricter_than(seen.trust))
        fields = (
            *("near", repr(trust.near), "exact", int(trust.exact)),
            *("reason", trust.reason, "cleared", int(trust.is_cleared)),
        )
        return _state(self._run("change_trust", _LIFE_MS, seen.changes, anew, *fields))

    def _run(self, name: str, *arguments: str | int) -> Any:
        call = script(name).by_digest((self.key,), *(str(argument).encode() for argument in arguments))
        reply = self._send(call)
        if isinstance(reply, NoScriptError):
            reply = self._send(script(name).by_text(call))
        return self._value(reply)

    def _send(self, command: Command) -> Any:
        (reply,) = execute(self._connection, [command])
        return reply

    def _value(self, reply: Any) -> Any:
        if isinstance(reply, Exception):
            raise translated(reply, self._connection.where) from reply
        return reply

    def __repr__(self) -> str:
        return f"<QualityStore {self.key.decode()} in {self._connection.where}>"


def _state(reply: object) -> QualityState:
    fields = as_dict(reply)
    numbers: dict[str, dict[str, float]] = {}
    for name, value in fields.items():
        band, colon, number = name.partition(":")
        if colon and band in BANDS:
            numbers.setdefault(band, {})[number] = float(value)
    trust = Trust(
        near=float(fields.get("near", "0")),
        exact=fields.get("exact", "1") == "1",
        reason=fields.get("reason", ""),
        is_cleared=fields.get("cleared", "0") == "1",
    )
    return QualityState(
        trust, {band: ReuseStatistics.of(sums) for band, sums in numbers.items()}, int(fields.get("changes", "0"))
    )
