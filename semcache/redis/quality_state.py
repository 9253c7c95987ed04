"""Keeps the quality state of a scope in one hash, which every process adds to."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from semcache.flow.drive import drive
from semcache.quality.statistics import BANDS, GROUPS, Observation, ReuseStatistics
from semcache.quality.trust import Trust
from semcache.redis.client.commands import script
from semcache.redis.client.connection import RedisConnection
from semcache.redis.index import as_dict
from semcache.redis.keys import KeySpace
from semcache.redis.operation import run_script, value_of

_LIFE_MS = 30 * 24 * 3600 * 1000
"""A scope that was not used for a month starts anew."""
_MAX_RECENT = 64
"""Recent observations of a group before they count as older ones. An alarm takes 10 to 40 observations, and more of a
good past in the same block would hide a bad present from it."""
_MAX_OLDER = 1024
"""Older observations of a group before all its sums are halved. Relaxing takes about 200 at a budget of 0.01."""


@dataclass(frozen=True, slots=True, eq=False)
class QualityState:
    """The statistics and the trust that the processes of a scope share; ``changes`` counts changes of the trust.

    ``statistics`` are by band of similarity.
    """

    trust: Trust
    statistics: Mapping[str, ReuseStatistics]
    changes: int = 0


class QualityStore:
    """The quality state of one namespace, reranker and embedder. Raises StoreError when Redis cannot be asked.

    Every method is one round trip.
    """

    def __init__(self, connection: RedisConnection, namespace: str, reranker: str, embedder: str) -> None:
        self._connection = connection
        self.key = f"{KeySpace.of(namespace, reranker, embedder).base}:q".encode()

    def read(self) -> QualityState:
        """The state as it is now. Where there is none, nothing has been observed and everything is trusted."""
        (reply,) = self._connection.execute([("HGETALL", self.key)])
        return _state(value_of(reply, self._connection.where))

    def add(self, observations: Iterable[Observation], *, read: bool = False) -> QualityState | None:
        """Add observations. With ``read`` the state after that, otherwise None."""
        sums: defaultdict[str, float] = defaultdict(float)
        new: Counter[str] = Counter()
        for observation in observations:
            new[observation.group] += 1
            for name, amount in observation.increments().items():
                sums[f"{observation.band}:{name}"] += amount
        groups = [part for group, count in new.items() for part in (group, count, ",".join((*GROUPS[group], "")))]
        amounts = [part for name, amount in sums.items() for part in (name, repr(amount))]
        reply = self._run("observe", _LIFE_MS, _MAX_RECENT, _MAX_OLDER, int(read), len(new), *groups, *amounts)
        return _state(reply) if read else None

    def change(self, seen: QualityState, trust: Trust) -> QualityState:
        """Replace the trust of a state that was read, unless another process has changed it since; the state then.

        When trust is withdrawn, all counting starts anew.
        """
        # ``seen.changes`` makes this a compare-and-set on the server: of two processes that decide on the same
        # observations, only the first one's decision counts.
        anew = int(trust.is_stricter_than(seen.trust))
        fields = (
            *("near", repr(trust.near), "exact", int(trust.exact)),
            *("reason", trust.reason, "cleared", int(trust.is_cleared)),
        )
        return _state(self._run("change_trust", _LIFE_MS, seen.changes, anew, *fields))

    def _run(self, name: str, *arguments: str | int) -> Any:
        call = script(name).by_digest((self.key,), *(str(argument).encode() for argument in arguments))
        (reply,) = drive(run_script(self._connection.where, name, [call]), self._connection.execute)
        return reply

    def __repr__(self) -> str:
        return f"<QualityStore {self.key.decode()} in {self._connection.where}>"


def _state(reply: Any) -> QualityState:
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
