"""Keeps what an operator has decided about the primary of a namespace, for all processes that use it."""

import json
from dataclasses import asdict, dataclass

from semcache.errors import StoreError
from semcache.redis.client.commands import Command
from semcache.redis.client.connection import RedisConnection
from semcache.redis.keys import namespace_prefix
from semcache.redis.operation import value_of

RESET = "reset"
"""The decision to close the circuit breakers once, whatever state they are in."""
_RESET_LIFE_S = 60.0
"""Long enough for every process with traffic to see it; one that starts later has nothing to reset."""


@dataclass(frozen=True, slots=True)
class ForcedState:
    """A decision: ``state`` is "forced-open" (no call goes to the primary), "disabled" (every call does) or "reset".

    ``at`` and ``until`` are seconds since 1970, ``until`` is None for a decision without an end.
    """

    state: str
    reason: str
    at: float
    until: float | None = None


class ForcedStateStore:
    """The decision of one namespace, if there is one. Raises StoreError when Redis cannot be asked.

    Every method is one round trip. The key ends with the decision, so that nothing has to be cleared by hand.
    """

    def __init__(self, connection: RedisConnection, namespace: str) -> None:
        self._connection = connection
        # No index has such a name: their ids have 11 characters.
        self.key: bytes = f"{namespace_prefix(namespace)}breaker".encode()

    def read(self) -> ForcedState | None:
        """The decision in force, or None."""
        value = self._execute(("GET", self.key))
        if value is None:
            return None
        try:
            fields = json.loads(value)
            until = None if fields["until"] is None else float(fields["until"])
            return ForcedState(str(fields["state"]), str(fields["reason"]), float(fields["at"]), until)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(
                f"{self.key.decode()} in {self._connection.where} is no decision about a breaker; "
                "semcache breaker reset replaces it"
            ) from error

    def write(self, forced: ForcedState) -> None:
        """Put a decision in force, in the place of any other."""
        life_s = _RESET_LIFE_S if forced.state == RESET else None
        if forced.until is not None:
            life_s = forced.until - forced.at
        value = json.dumps(asdict(forced)).encode()
        expiry: tuple[str | int, ...] = () if life_s is None else ("PX", max(1, round(1000 * life_s)))
        self._execute(("SET", self.key, value, *expiry))

    def _execute(self, command: Command) -> bytes | None:
        (reply,) = self._connection.execute([command])
        value: bytes | None = value_of(reply, self._connection.where)
        return value

    def __repr__(self) -> str:
        return f"<ForcedStateStore {self.key.decode()} in {self._connection.where}>"
