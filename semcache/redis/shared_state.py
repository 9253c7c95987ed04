"""Keeps counts, sums and a decision of a scope in one hash, which every process adds to."""

from collections.abc import Mapping, Sequence
from math import inf, isnan
from typing import Any

from semcache.flow.drive import drive
from semcache.redis.client.commands import script
from semcache.redis.client.connection import RedisConnection
from semcache.redis.index import as_dict
from semcache.redis.operation import run_script, value_of

LIFE_MS = 30 * 24 * 3600 * 1000
"""A scope that was not used for a month starts anew."""

Group = tuple[str, int, tuple[str, ...]]
"""Bands that are forgotten together: the name of the group, how many of its observations are new, and the bands."""


class SharedState:
    """The hash under a key. Raises StoreError when Redis cannot be asked. Every method is one round trip.

    Fields named ``<band>:<number>``, or ``<band>@<tenants>:<number>`` for a group of tenants, are sums: ``r7`` counts
    recent observations in bin 7, ``o7`` older ones. When a group of bands has ``max_recent`` recent observations, they
    become older ones, and above ``max_older`` of those all sums of the group are halved. The other fields are the
    decision; ``changes`` counts how often it was changed.
    """

    def __init__(self, connection: RedisConnection, key: bytes, max_recent: int, max_older: int) -> None:
        self._connection = connection
        self.key = key
        self._limits = max_recent, max_older

    def read(self) -> dict[str, str]:
        """All fields as they are now; none where nothing has been observed."""
        (reply,) = self._connection.execute([("HGETALL", self.key)])
        return dict(as_dict(value_of(reply, self._connection.where)))

    def add(self, groups: Sequence[Group], sums: Mapping[str, float], *, read: bool) -> dict[str, str]:
        """Add to sums by name. With ``read`` all fields after that, otherwise none."""
        described = [part for name, count, bands in groups for part in (name, count, ",".join((*bands, "")))]
        amounts = [part for name, amount in sums.items() for part in (name, repr(float(amount)))]
        reply = self._run("observe", LIFE_MS, *self._limits, int(read), len(groups), *described, *amounts)
        return dict(as_dict(reply)) if read else {}

    def change(self, seen_changes: int, anew: bool | str, decision: Mapping[str, str]) -> dict[str, str]:
        """Replace the decision unless another process did so since ``seen_changes`` was read; all fields after that.

        ``anew`` starts all counting anew and forgets all other decisions; ``@<tenants>`` only the counting for that
        group of tenants.
        """
        # A compare-and-set on the server: of two processes that decide on the same observations, only the first one's
        # decision counts.
        fields = [part for field in decision.items() for part in field]
        counting = anew if isinstance(anew, str) else int(anew)
        return dict(as_dict(self._run("change_trust", LIFE_MS, seen_changes, counting, *fields)))

    def _run(self, name: str, *arguments: str | int) -> Any:
        call = script(name).by_digest((self.key,), *(str(argument).encode() for argument in arguments))
        (reply,) = drive(run_script(self._connection.where, name, [call]), self._connection.execute)
        return reply

    def __repr__(self) -> str:
        return f"<SharedState {self.key.decode()} in {self._connection.where}>"


def sums_by_band(fields: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """The sums among the fields, by band and name; 0 for what no sum could be."""
    numbers: dict[str, dict[str, float]] = {}
    for name in fields:
        band, colon, number = name.partition(":")
        if colon:
            amount = number_in(fields, name, 0.0)
            numbers.setdefault(band, {})[number] = amount if 0 <= amount < inf else 0.0
    return numbers


def changes_in(fields: Mapping[str, str]) -> int:
    """How often the decision was changed; 0 where that is no number."""
    changes = fields.get("changes", "")
    return int(changes) if changes.isdecimal() else 0


def number_in(fields: Mapping[str, str], name: str, default: float) -> float:
    """The number in a field; the default where there is none, or something else."""
    try:
        number = float(fields.get(name, default))
    except (TypeError, ValueError):
        return default
    return default if isnan(number) else number
