"""Serves requests during a migration: the former embedder, and the former scopes that stores read beside their own."""

from collections.abc import Callable, Sequence

from semcache.embedders.queries import QueryEmbedder
from semcache.errors import ConfigurationError
from semcache.events import Event
from semcache.identity.identity import Identity
from semcache.identity.subjects import EmbedderSubject
from semcache.migration.by_traffic import TrafficCarrier
from semcache.protocols import Embedder, FloatArray
from semcache.redis.layout import Layout, LayoutOptions
from semcache.redis.operation import StoreState
from semcache.redis.source import Source
from semcache.redis.store import RedisStore
from semcache.redis.variants import VariantStore
from semcache.settings import Migration


class ServedMigration:
    """The former side of a backend. ``queries`` embeds by the former embedder, ``embed`` by the present one.

    ``knobs`` are those of the settings. Where the index alone differs, both are the same embedder. Raises
    ConfigurationError where nothing differs.
    """

    def __init__(
        self,
        former: Embedder,
        present: Embedder,
        knobs: Migration,
        variants: VariantStore,
        embed: Callable[[Sequence[str]], FloatArray],
        max_query_chars: int,
        on_event: Callable[[Event], None],
    ) -> None:
        self._shares_vectors = former.name == present.name
        if self._shares_vectors and not knobs.is_of_index:
            raise ConfigurationError(
                f"the embedder to migrate from is the present one, {present.name}; name the one that entries were "
                "written with before (migration.from_model), or none"
            )
        self.former = former
        self.knobs = knobs
        self._embed = embed
        self._max_query_chars = max_query_chars
        # The name that its entries are kept under: its vectors may not be those of the first embedder of its name.
        self._name = former.name
        self._sources: list[tuple[Source, LayoutOptions]] = []
        self._carriers: list[TrafficCarrier] = []
        identity = Identity(EmbedderSubject(former), variants, on_event=on_event, on_moved=self._move)
        self.queries: QueryEmbedder = QueryEmbedder(former, identity.verify, is_spare=True)
        if not self._shares_vectors:
            identity.start()

    def source(self, layout: LayoutOptions, where: str, on_event: Callable[[Event], None]) -> Source:
        """The former scope of a store with this layout. Raises ConfigurationError where it is the present one."""
        state = StoreState.of(where, on_event=on_event, **self._former(layout))
        if state.layout.keys == Layout.of(**layout).keys:
            raise ConfigurationError(
                "migration.from_vector_type, from_m and from_ef_construction name the present index; name what was "
                "otherwise before, or none"
            )
        state.creates_indexes = False
        source = Source(state, self._shares_vectors, is_searched=self.knobs.search)
        self._sources.append((source, layout))
        return source

    def move_by_traffic(self, store: RedisStore, source: Source) -> None:
        """Let what requests find in the former scope be moved."""
        carrier = TrafficCarrier(store, source, self._embed, self._max_query_chars, source.state.on_event)
        source.on_hit = carrier
        self._carriers.append(carrier)

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until what requests found is moved. Returns False if that takes longer than ``timeout_s`` seconds."""
        return all(carrier.drain(timeout_s) for carrier in self._carriers)

    def close(self, timeout_s: float) -> None:
        """Move no more, and end the threads."""
        for carrier in self._carriers:
            carrier.close(timeout_s)
        self.queries.end()

    def follow(self, name: str) -> None:
        """Take another name of the present embedder, where it is the former one, too."""
        if self._shares_vectors:
            self._move(name, False)

    def _former(self, layout: LayoutOptions) -> LayoutOptions:
        knobs = self.knobs
        return {
            **layout,
            "embedder": self._name,
            "dims": self.former.dims,
            "vector_type": knobs.from_vector_type or layout["vector_type"],
            "m": knobs.from_m or layout["m"],
            "ef_construction": knobs.from_ef_construction or layout["ef_construction"],
        }

    def _move(self, scope: str, is_private: bool) -> None:
        self._name = scope
        for source, layout in self._sources:
            source.state.move(Layout.of(**self._former(layout)))

    def __repr__(self) -> str:
        return f"<ServedMigration from {self._name}>"
