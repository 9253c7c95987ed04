"""Moves all entries of a former embedder, and removes what is left of them."""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event as Flag

from semcache.errors import ConfigurationError
from semcache.events import Event
from semcache.migration.pace import Pace
from semcache.migration.scope import MigratedScope, MigrationStatus, Progress
from semcache.protocols import FloatArray
from semcache.redis.store import RedisStore, source_of
from semcache.runtime.threads import in_own_thread


class Migrator:
    """Moves the entries that the stores' sources hold. Only one process does so at a time; any other is told.

    ``embed`` gives unit vectors of the present embedder. ``server_share`` is the share of the server's time that may
    be taken. ``settle`` is called before anything: the embedder may prove to be another one of its name, and then all
    keys are others. Methods with an ``a`` in front do the same for event loops, in a thread of their own.

    Example:
        >>> migrator = pipeline.cache.migrator()
        >>> migrator.run(progress=lambda task, done, all_of_them: print(task, done, all_of_them))
        >>> migrator.clean()
    """

    def __init__(
        self,
        stores: Sequence[RedisStore],
        embed: Callable[[Sequence[str]], FloatArray],
        *,
        server_share: float,
        max_query_chars: int,
        on_event: Callable[[Event], None] = lambda event: None,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._settle = settle
        if not 0 < server_share <= 1:
            raise ConfigurationError(f"server_share must be more than 0 and at most 1, got {server_share}")
        self._scopes = [
            MigratedScope(store, source, embed, Pace(server_share), max_query_chars, on_event)
            for store in stores
            if (source := source_of(store)) is not None
        ]

    def status(self) -> list[MigrationStatus]:
        """How far each scope is. Raises StoreError when Redis cannot be asked."""
        self._settle()
        return [scope.status() for scope in self._scopes]

    async def astatus(self) -> list[MigrationStatus]:
        """``status`` for an event loop."""
        return await in_own_thread(self.status, "semcache-migrate")

    def run(
        self, progress: Progress = lambda *_: None, is_stopped: Callable[[], bool] = lambda: False
    ) -> list[MigrationStatus]:
        """Move everything, and give the status after that. A run that was interrupted goes on where it stopped.

        ``is_stopped`` is asked between small groups of entries. Raises TransientStoreError while another process does
        it, StoreError when Redis cannot be asked, and what the embedder raises; all that was moved until then stays.
        """
        self._settle()
        for scope in self._scopes:
            if is_stopped():
                break
            scope.run(progress, is_stopped)
        return self.status()

    async def arun(self, progress: Progress = lambda *_: None) -> list[MigrationStatus]:
        """``run`` for an event loop; a task that is cancelled ends it."""
        stopped = Flag()
        try:
            return await in_own_thread(partial(self.run, progress, stopped.is_set), "semcache-migrate")
        finally:
            stopped.set()

    def clean(self, progress: Progress = lambda *_: None, *, force: bool = False) -> int:
        """Remove the former entries, in small steps; how many keys. Then there is no way back.

        Raises InvalidInputError before a run has finished, and where former processes still write; ``force`` does it
        all the same. The rest as for ``run``.
        """
        self._settle()
        return sum([scope.clean(progress, force=force) for scope in self._scopes])

    async def aclean(self, progress: Progress = lambda *_: None, *, force: bool = False) -> int:
        """``clean`` for an event loop."""
        return await in_own_thread(partial(self.clean, progress, force=force), "semcache-migrate")

    def __repr__(self) -> str:
        return f"<Migrator of {len(self._scopes)} scopes>"
