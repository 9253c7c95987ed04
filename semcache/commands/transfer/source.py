"""Reads the entries of the configured scope out of Redis, page by page."""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from time import time

from semcache.commands import models
from semcache.commands.names import Names, names_of
from semcache.commands.transfer.format import Header
from semcache.entries.checks import VERSION as ENTRY_FORMAT
from semcache.entries.checks import key_name
from semcache.flow.drive import drive
from semcache.redis.client.connection import RedisConnection
from semcache.redis.keys import entry_id_in
from semcache.redis.operation import StoreState
from semcache.redis.transfer import RawEntry, entry_keys, read_raw
from semcache.settings import Settings

_AT_ONCE = 100
"""Entries per round trip: 0.4 MB of usual ones, 40 MB of the largest that there can be."""

Key = tuple[str, str]
"""Tag of the tenant and id of an entry."""


@dataclass(frozen=True, slots=True)
class Place:
    """One scope in a Redis: where entries are exported from, or imported to."""

    names: Names
    state: StoreState
    connection: RedisConnection
    namespace: str
    dims: int

    @classmethod
    def all_of(cls, settings: Settings, connection: RedisConnection, told: tuple[str, str] = ("", "")) -> list["Place"]:
        """The places of the configured models and their namesakes (``names_of``), the likeliest first."""
        loaded = models.configured_models(settings)
        dims = loaded.embedder.dims
        return [
            cls(
                names,
                StoreState.of(connection.where, **names.layout(settings, dims)),
                connection,
                settings.cache.namespace,
                dims,
            )
            for names in names_of(settings, connection, loaded, told)
        ]

    @property
    def scope(self) -> str:
        """The 11 characters in its keys."""
        return self.state.layout.keys.base.rpartition(":")[2]

    def header(self) -> Header:
        """The header of a file with its entries."""
        layout, names = self.state.layout, self.names
        return Header(
            self.namespace,
            self.scope,
            names.reranker,
            names.embedder,
            names.listwise,
            self.dims,
            layout.attributes["datatype"],
            ENTRY_FORMAT[0],
            key_name(layout.signing_key),
            time(),
        )


def pages(
    place: Place, tenant: str | None, known: Container[Key], left_out: Callable[[int], None] = lambda entries: None
) -> Iterator[list[RawEntry]]:
    """The entries of a tenant (None: of all) that are not ``known``. Raises StoreError when Redis cannot be asked.

    ``left_out`` is told how many expired in between or are damaged.
    """
    keys, execute = place.state.layout.keys, place.connection.execute
    for family, tail in keys.families(tenant):
        cursor: int | None = 0
        while cursor is not None:
            cursor, found = drive(entry_keys(place.state, family, tail, cursor), execute)
            new = [key for key in found if _key(family.tag_in(family.vector_beside(key)), key) not in known]
            for start in range(0, len(new), _AT_ONCE):
                entries = drive(read_raw(place.state, family, new[start : start + _AT_ONCE]), execute)
                left_out(entries.count(None))
                yield [entry for entry in entries if entry is not None]


def _key(tag: bytes, key: bytes) -> Key:
    return tag.decode(), entry_id_in(key)
