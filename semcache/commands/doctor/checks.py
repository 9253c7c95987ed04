"""All checks in their order: settings, the way to Redis, models, and what needs an answer of Redis."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from time import perf_counter

from semcache.commands.doctor.finding import Finding, Verdict, checked
from semcache.commands.doctor.models import embedder_finding, reranker_finding
from semcache.commands.doctor.reach import reachable
from semcache.commands.doctor.server import Server
from semcache.embedders.adapt import adapt_embedder
from semcache.protocols import Embedder, Reranker
from semcache.redis.client.connection import RedisConnection, server_of
from semcache.redis.layout import options_of
from semcache.redis.operation import StoreState
from semcache.rerankers.build import Builder
from semcache.settings import Settings, hidden

_SERVER_LIMIT_S = 10.0
"""Every command has a limit by itself (redis.timeout_s); a name server or an embedded server may take longer."""
_MODEL_LIMIT_S = 120.0
"""A large model is read from a slow disk, or its ONNX graph is made for the first time."""
_ANY_DIMS = 384
"""Of the vector that is written to try the commands, where no embedder says how long its vectors are."""


def findings_of(redis_url: str | None, namespace: str | None, no_models: bool) -> Iterator[Finding]:
    """The findings one after the other. None of the arguments stands for what the settings say.

    What cannot be checked after a fault is left out: without settings everything, without Redis all that asks it.
    """
    chosen: list[Settings] = []
    yield checked("settings", partial(_settings, chosen, redis_url, namespace), _SERVER_LIMIT_S)
    for settings in chosen:
        checkup = _Checkup(settings)
        try:
            yield checked("reachable", checkup.reach, _SERVER_LIMIT_S)
            yield checked("embedder", partial(checkup.embed, no_models), _MODEL_LIMIT_S)
            yield checked("reranker", partial(checkup.rerank, no_models), _MODEL_LIMIT_S)
            for check, look in checkup.of_server().items():
                yield checked(check, look, _SERVER_LIMIT_S)
        finally:
            checkup.close()


def _settings(chosen: list[Settings], redis_url: str | None, namespace: str | None) -> Finding:
    redis = {} if redis_url is None else {"url": redis_url}
    settings = Settings(redis=redis, cache={} if namespace is None else {"namespace": namespace})
    chosen.append(settings)
    seen = f"namespace {settings.cache.namespace}, {hidden(settings.redis.url)}"
    return Finding("settings", Verdict.OK, seen)


class _Checkup:
    """Findings of the checks of one set of settings so far, which later ones need."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: RedisConnection | None = None
        self._is_reached = False
        self._embedder: Embedder | None = None
        self._reranker: Reranker | None = None
        self._builder: Builder | None = None

    def reach(self) -> Finding:
        """Whether Redis answers."""
        server = server_of(self._settings.redis.url.get_secret_value())
        self._connection = RedisConnection.of(server, self._settings.redis, lambda event: None)
        found = reachable(self._connection, server)
        self._is_reached = found.verdict is Verdict.OK
        return found

    def embed(self, is_left_alone: bool) -> Finding:
        """Whether the embedder loads, and how quick it is."""
        began = perf_counter()
        self._embedder = adapt_embedder(self._settings.embedder.model, backend=self._settings.embedder.backend)
        if is_left_alone:
            return Finding("embedder", Verdict.SKIPPED, f"{self._embedder.name} was not asked, as --no-models says")
        return embedder_finding(self._embedder, began)

    def rerank(self, is_left_alone: bool) -> Finding:
        """Whether the primary reranker loads, and how quick it is."""
        if self._embedder is None:
            return Finding("reranker", Verdict.SKIPPED, "there is no embedder, which rerankers may share")
        began = perf_counter()
        self._builder = Builder(self._embedder)
        self._reranker = self._builder.build(self._settings.rerankers[0])
        if is_left_alone:
            return Finding("reranker", Verdict.SKIPPED, f"{self._reranker.name} was not asked, as --no-models says")
        return reranker_finding(self._reranker, began, self._settings.monitor.p95_threshold_s)

    def of_server(self) -> Mapping[str, Callable[[], Finding]]:
        """The checks that need an answer of Redis; empty where there is none."""
        if self._connection is None or not self._is_reached:
            return {}
        embedder, reranker, knobs = self._embedder, self._reranker, self._settings.cache
        state = StoreState.of(
            self._connection.where,
            **options_of(
                knobs,
                # Without models the keys of the trial are as good under other names.
                reranker="doctor" if reranker is None else reranker.name,
                embedder="doctor" if embedder is None else embedder.name,
                dims=_ANY_DIMS if embedder is None else embedder.dims,
                listwise=reranker is not None and reranker.listwise,
            ),
        )
        server = Server(self._connection, state, self._settings.redis.budget_s, knobs.ttl_s is not None)
        checks = server.checks()
        # Which index would be the right one follows from both models.
        is_known = embedder is not None and reranker is not None
        return {name: look for name, look in checks.items() if is_known or name != "index"}

    def close(self) -> None:
        """Close what was opened."""
        if self._builder is not None:
            self._builder.close()
        if self._connection is not None:
            self._connection.close()
