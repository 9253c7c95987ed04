"""Keeps the quality state of a scope in one hash, which every process adds to."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from semcache.quality.consensus import pooled
from semcache.quality.statistics import BANDS, GROUPS, Observation, ReuseStatistics
from semcache.quality.trust import Trust
from semcache.redis.client.connection import RedisConnection
from semcache.redis.keys import KeySpace
from semcache.redis.shared_state import SharedState, changes_in, number_in, sums_by_band

_MAX_RECENT = 64
"""Recent observations of a group before they count as older ones. An alarm takes 10 to 40 observations, and more of a
good past in the same block would hide a bad present from it."""
_MAX_OLDER = 4096
"""Older observations of a group before all its sums are halved. To relax takes about 200 at a budget of 0.01, to go
below the user's threshold 330 of one band alone."""


@dataclass(frozen=True, slots=True, eq=False)
class QualityState:
    """The statistics and the trust that the processes of a scope share; ``changes`` counts changes of the trust.

    ``statistics`` are by band of similarity, ``by_tenants`` the same of each group of tenants. ``own`` has the trust of
    groups whose own observations say something else than those of all.
    """

    trust: Trust
    statistics: Mapping[str, ReuseStatistics]
    changes: int = 0
    by_tenants: Mapping[str, Mapping[str, ReuseStatistics]] = field(default_factory=dict)
    own: Mapping[str, Trust] = field(default_factory=dict)

    def trust_of(self, tenants: str | None) -> Trust:
        """The trust in force for a group of tenants; for None that of all which have none of their own."""
        return self.trust if tenants is None else self.own.get(tenants, self.trust)


class QualityStore:
    """The quality state of one namespace, reranker and embedder. Raises StoreError when Redis cannot be asked.

    Every method is one round trip.
    """

    def __init__(self, connection: RedisConnection, namespace: str, reranker: str, embedder: str) -> None:
        self._shared = _shared(connection, KeySpace.of(namespace, reranker, embedder).base)
        self.key: bytes = self._shared.key

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
                sums[f"{_named(observation.band, observation.tenants)}:{name}"] += amount
        groups = [(group, count, GROUPS[group]) for group, count in new.items()]
        fields = self._shared.add(groups, sums, read=read)
        return _state(fields) if read else None

    def change(self, seen: QualityState, trust: Trust, tenants: str | None = None) -> QualityState:
        """Replace the trust of a state that was read, unless another process has changed it since; the state then.

        ``tenants`` is the group whose own trust it is, None for that of all. When trust is withdrawn, its counting
        starts anew.
        """
        decision = {
            "near": repr(trust.near),
            "exact": str(int(trust.exact)),
            "reason": trust.reason,
            "cleared": str(int(trust.is_cleared)),
            "low": repr(trust.low),
        }
        anew: bool | str = trust.is_stricter_than(seen.trust_of(tenants))
        if tenants is not None:
            decision = {f"{name}@{tenants}": value for name, value in decision.items()}
            anew = f"@{tenants}" if anew else False
        return _state(self._shared.change(seen.changes, anew, decision))

    def __repr__(self) -> str:
        return f"<QualityStore {self._shared!r}>"


def read_quality(connection: RedisConnection, base: str) -> QualityState:
    """The state of the scope whose keys begin with ``base``; one round trip."""
    return _state(_shared(connection, base).read())


def _shared(connection: RedisConnection, base: str) -> SharedState:
    return SharedState(connection, f"{base}:q".encode(), _MAX_RECENT, _MAX_OLDER)


def _named(band: str, tenants: str) -> str:
    """The band of a group of tenants as it stands in names of fields."""
    return f"{band}@{tenants}" if tenants else band


def _trust(fields: Mapping[str, str], of: str = "") -> Trust:
    return Trust(
        near=number_in(fields, f"near{of}", 0.0),
        exact=fields.get(f"exact{of}", "1") == "1",
        reason=fields.get(f"reason{of}", ""),
        is_cleared=fields.get(f"cleared{of}", "0") == "1",
        low=number_in(fields, f"low{of}", 0.0),
    )


def _state(fields: Mapping[str, str]) -> QualityState:
    by_tenants: defaultdict[str, dict[str, ReuseStatistics]] = defaultdict(dict)
    for name, sums in sums_by_band(fields).items():
        band, _, tenants = name.partition("@")
        if band in BANDS:
            by_tenants[tenants][band] = ReuseStatistics.of(sums)
    own = {name.removeprefix("near@") for name in fields if name.startswith("near@")}
    return QualityState(
        _trust(fields),
        pooled(by_tenants.values()),
        changes_in(fields),
        dict(by_tenants),
        {tenants: _trust(fields, f"@{tenants}") for tenants in own},
    )
