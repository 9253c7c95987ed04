"""Keeps the quality state of a scope in one hash, which every process adds to."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from semcache.quality.statistics import BANDS, GROUPS, Observation, ReuseStatistics
from semcache.quality.trust import Trust
from semcache.redis.client.connection import RedisConnection
from semcache.redis.keys import KeySpace
from semcache.redis.shared_state import SharedState, number_in, sums_by_band

_MAX_RECENT = 64
"""Recent observations of a group before they count as older ones. An alarm takes 10 to 40 observations, and more of a
good past in the same block would hide a bad present from it."""
_MAX_OLDER = 4096
"""Older observations of a group before all its sums are halved. To relax takes about 200 at a budget of 0.01, to go
below the user's threshold 330 of one band alone."""


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
        self.key = f"{KeySpace.of(namespace, reranker, embedder).base}:q".encode()
        self._shared = SharedState(connection, self.key, _MAX_RECENT, _MAX_OLDER)

    def read(self) -> QualityState:
        """The state as it is now. Where there is none, nothing has been observed and everything is trusted."""
        return _state(self._shared.read())

    def add(self, observations: Iterable[Observation], *, read: bool = False) -> QualityState | None:
        """Add observations. With ``read`` the state after that, otherwise None."""
        sums: defaultdict[str, float] = defaultdict(float)
        new: Counter[str] = Counter()
        for observation in observations:
            new[observation.group] += 1
            for name, amount in observation.increments().items():
                sums[f"{observation.band}:{name}"] += amount
        groups = [(group, count, GROUPS[group]) for group, count in new.items()]
        fields = self._shared.add(groups, sums, read=read)
        return _state(fields) if read else None

    def change(self, seen: QualityState, trust: Trust) -> QualityState:
        """Replace the trust of a state that was read, unless another process has changed it since; the state then.

        When trust is withdrawn, all counting starts anew.
        """
        decision = {
            "near": repr(trust.near),
            "exact": str(int(trust.exact)),
            "reason": trust.reason,
            "cleared": str(int(trust.is_cleared)),
            "low": repr(trust.low),
        }
        return _state(self._shared.change(seen.changes, trust.is_stricter_than(seen.trust), decision))

    def __repr__(self) -> str:
        return f"<QualityStore {self._shared!r}>"


def _state(fields: Mapping[str, str]) -> QualityState:
    trust = Trust(
        near=number_in(fields, "near", 0.0),
        exact=fields.get("exact", "1") == "1",
        reason=fields.get("reason", ""),
        is_cleared=fields.get("cleared", "0") == "1",
        low=float(fields.get("low", "0")),
    )
    statistics = {band: ReuseStatistics.of(sums) for band, sums in sums_by_band(fields).items() if band in BANDS}
    changes = fields.get("changes", "")
    return QualityState(trust, statistics, int(changes) if changes.isdecimal() else 0)
