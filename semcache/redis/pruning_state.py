"""Keeps what a scope learned about pruning, for all of its processes: sums for the surrogate, losses, the decision."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semcache.entries.fingerprint import tenant_tag
from semcache.flow.drive import drive
from semcache.pruning.statistics import Statistics
from semcache.quality.pruning import ASK_ALL, LevelStatistics, Pruned, PruneStatistics, Pruning, is_anew
from semcache.redis.client.commands import script
from semcache.redis.client.connection import RedisConnection
from semcache.redis.keys import KeySpace
from semcache.redis.operation import run_script, value_of
from semcache.redis.shared_state import LIFE_MS, SharedState, changes_in, number_in, sums_by_band

MOST_REQUESTS = 2000
"""Requests that the sums of the surrogate rest on; of more, the older ones count less. A dozen weights need some
hundred requests, and a corpus that changes has to be followed."""
MAX_RECENT = 256
"""Recent losses before they count as older ones. To tell a mean of twice the budget from the budget itself takes some
hundred losses (benchmarks/results/certificate.md)."""
MAX_OLDER = 4096
"""Older losses before all are halved. A proof takes 240 and more."""


@dataclass(frozen=True, slots=True, eq=False)
class PruningState:
    """The confidence in force and the losses by confidence; ``changes`` counts changes of the former."""

    pruning: Pruning
    statistics: LevelStatistics
    changes: int = 0


class PruningStore:
    """The state of one namespace, reranker and embedder; ``cascade`` names the cheap reranker, if there is one.

    Raises StoreError when Redis cannot be asked.

    It takes about 2 KB for the sums and at most 10 KB for losses; it holds no texts, and no tenant's name. Every method
    is one round trip.
    """

    def __init__(
        self, connection: RedisConnection, namespace: str, reranker: str, embedder: str, cascade: str = ""
    ) -> None:
        base = KeySpace.of(namespace, reranker, embedder).base
        self._connection = connection
        self.key: bytes = f"{base}:l{_tail(cascade)}".encode()
        self._shared = _shared(connection, base, cascade)

    def read_sums(self) -> Statistics:
        """The sums that the surrogate is fitted from; empty where there is nothing, or of another version."""
        (reply,) = self._connection.execute([("GET", self.key)])
        return _statistics(value_of(reply, self._connection.where))

    def add_sums(self, new: Statistics) -> Statistics:
        """Add to the sums; gives all of them after that."""
        call = script("add_sums").by_digest((self.key,), LIFE_MS, MOST_REQUESTS, new.to_bytes())
        (reply,) = drive(run_script(self._connection.where, "add_sums", [call]), self._connection.execute)
        return _statistics(reply)

    def read(self) -> PruningState:
        """Decision and losses as they are now."""
        return _state(self._shared.read())

    def add(self, seen: Sequence[Pruned]) -> PruningState:
        """Add what whole requests showed; gives decision and losses after that."""
        sums: defaultdict[str, float] = defaultdict(float)
        for one in seen:
            for name, amount in one.increments().items():
                sums[f"{one.band}:{name}"] += amount
        bands = {one.band for one in seen}
        # Each confidence is a group of its own: some are measured more often than others.
        groups = [(band, sum(one.band == band for one in seen), (band,)) for band in sorted(bands)]
        return _state(self._shared.add(groups, sums, read=True))

    def change(self, seen: PruningState, pruning: Pruning) -> PruningState:
        """Replace the decision that was read, unless another process has changed it since; the state then.

        When pruning is given up, the counting and the sums start anew.
        """
        anew = is_anew(seen.pruning, pruning)
        decision = {"confidence": repr(pruning.confidence), "reason": pruning.reason}
        state = _state(self._shared.change(seen.changes, anew, decision))
        if anew:
            self.drop_sums()
        return state

    def drop_sums(self) -> None:
        """Learn anew."""
        (reply,) = self._connection.execute([("UNLINK", self.key)])
        value_of(reply, self._connection.where)

    def __repr__(self) -> str:
        return f"<PruningStore {self._shared!r}>"


def read_pruning(connection: RedisConnection, base: str, cascade: str = "") -> PruningState:
    """Decision and losses of the scope whose keys begin with ``base``; one round trip."""
    return _state(_shared(connection, base, cascade).read())


def _shared(connection: RedisConnection, base: str, cascade: str) -> SharedState:
    return SharedState(connection, f"{base}:z{_tail(cascade)}".encode(), MAX_RECENT, MAX_OLDER)


def _tail(cascade: str) -> str:
    # Sums with the scores of one cheap reranker say nothing about those of another.
    return f":{tenant_tag(cascade)}" if cascade else ""


def _statistics(stored: bytes | None) -> Statistics:
    known = None if stored is None else Statistics.from_bytes(stored)
    return Statistics.empty() if known is None else known


def _state(fields: Mapping[str, str]) -> PruningState:
    statistics = {}
    for band, sums in sums_by_band(fields).items():
        level = number_in({band: band[1:]}, band, -1.0)
        if band.startswith("z") and level >= 0:
            statistics[level] = PruneStatistics.of(sums)
    confidence = number_in(fields, "confidence", ASK_ALL)
    pruning = Pruning(confidence if confidence >= 0 else ASK_ALL, fields.get("reason", ""))
    return PruningState(pruning, statistics, changes_in(fields))
