"""HttpReranker: the scores of a rerank service, asked over HTTP by threads and event loops."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from math import inf
from numbers import Integral
from time import monotonic
from typing import Any, Self, TypeVar
from weakref import WeakMethod

from pydantic import SecretStr

from semcache.errors import ConfigurationError
from semcache.flow.requests import check_count, is_number
from semcache.identity.kinds import IdentifiedBy
from semcache.protocols import Clock, FloatArray, Pair
from semcache.rerankers.http.answers import read_answer
from semcache.rerankers.http.calls import Asking, Call, joined
from semcache.rerankers.http.clients import Clients
from semcache.rerankers.http.dialects import DIALECTS, Dialect
from semcache.rerankers.http.endpoint import Endpoint
from semcache.rerankers.http.exchange import Asked, Exchange, Until
from semcache.rerankers.http.keys import key_of, sendable
from semcache.rerankers.rate_limit import RateLimit, has_turn
from semcache.settings import Rung

T = TypeVar("T")

DEFAULT_TIMEOUT_S = 10.0
"""Ten times what a service usually takes; a caller's deadline is mostly nearer, and so is the ladder's patience."""

# The other defaults, and their reasons, stand in the settings.
_KNOBS = Rung(kind="http", dialect="cohere")

# Models that compare the documents of a request with each other, so that scores hold within one request only.
_LISTWISE_MODELS = ("jina-reranker-v3", "listwise")


class HttpReranker:
    """A rerank service behind HTTP: hosted, or a server of one's own.

    ``dialect`` is how it is asked: "cohere", "cohere-v1", "jina", "voyage", "mixedbread", "vllm", "infinity", "tei",
    or a ``Dialect``. ``url`` is its address; with a path it is used as it is, and without one it gets the path of the
    dialect. None is the hosted service of the dialect. ``model`` is the name that requests carry.

    ``api_key`` is sent as a bearer token; ``api_key_variable`` names an environment variable that holds it. Without
    both, the hosted service's own variable is read (CO_API_KEY, JINA_API_KEY, VOYAGE_API_KEY, MXBAI_API_KEY), and
    another url is asked without a key. User and password of a url are sent as basic authentication. ``headers`` are
    sent besides. None of them is ever shown.

    ``options`` are further fields of every request, such as ``{"raw_scores": True}`` for TEI and Infinity or
    ``{"max_tokens_per_doc": 1024}`` for Cohere. Scores are given as the service gives them.

    A call of ``score`` takes at most ``timeout_s`` seconds (and ``deadline_s``, if that is less), with everything it
    does: a request has one query and at most ``max_pairs_per_call`` documents (None: as the dialect says), so that a
    call may take several. Each is sent again at most ``retries`` times, where that is safe: when no connection came
    about or it broke before an answer began, and after 429, 502, 503 and 504. At most ``concurrency`` are under way at
    once in each event loop, and in all threads together. ``requests_per_minute`` and ``pairs_per_minute`` are what the
    service allows: further requests wait, and those that would wait too long fail at once. A Retry-After, or a 429
    without one, holds up all requests.

    Some models compare the documents of a request, so that their scores hold within it; ``listwise`` says so. None
    knows those of Jina (v3) and Mixedbread. Documents of a listwise request are never split.

    Raises ConfigurationError for what contradicts itself or cannot be used, and MissingExtraError without httpx. Calls
    raise RerankServiceError, RerankerError for an answer that cannot be used, and DeadlineExceededError. Close it, or
    use it in a ``with`` or ``async with`` block; its connections are closed then. It can be used before a fork and
    after.

    Example:
        >>> HttpReranker("cohere", "rerank-v3.5", api_key_variable="COHERE_API_KEY")
        <HttpReranker cohere/rerank-v3.5@api.cohere.com: pointwise, 8 requests at once>
        >>> HttpReranker("tei", url="http://localhost:8080", options={"raw_scores": True}, max_pairs_per_call=256)
        <HttpReranker tei@localhost:8080: pointwise, 8 requests at once>
    """

    one_query_per_call = True
    is_loop_bound = False
    identified_by = IdentifiedBy.PROBE

    def __init__(
        self,
        dialect: str | Dialect,
        model: str | None = None,
        *,
        url: str | SecretStr | None = None,
        api_key: str | SecretStr | None = None,
        api_key_variable: str | None = None,
        headers: Mapping[str, str | SecretStr] | None = None,
        options: Mapping[str, Any] | None = None,
        listwise: bool | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = _KNOBS.retries,
        concurrency: int = _KNOBS.concurrency,
        requests_per_minute: float | None = None,
        pairs_per_minute: float | None = None,
        max_pairs_per_call: int | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self.dialect: Dialect = _known(dialect)
        endpoint = Endpoint.of(None if url is None else _plain(url), self.dialect)
        key = key_of(api_key, api_key_variable, self.dialect, endpoint)
        _check_numbers(timeout_s, retries, concurrency, max_pairs_per_call)
        self.max_pairs_per_call: int | None = max_pairs_per_call or self.dialect.max_pairs_per_call
        self._asking = Asking(self.dialect, model, dict(options or {}), self.max_pairs_per_call)
        self.listwise: bool = (
            any(word in (model or "") for word in _LISTWISE_MODELS) if listwise is None else bool(listwise)
        )
        self.concurrency: int = int(concurrency)
        self.timeout_s: float = float(timeout_s)
        self._clock = clock
        self._name = f"{self.dialect.name}{f'/{model}' if model else ''}@{endpoint.place}"
        sent = {name: sendable(_plain(value), f"header {name}") for name, value in (headers or {}).items()}
        # Whatever a service answers, its errors must not show them.
        self._secrets = (*sent.values(), *(endpoint.login or ()), *((key.get_secret_value(),) if key else ()))
        sent["content-type"] = "application/json"
        if key is not None:
            sent["authorization"] = f"Bearer {key.get_secret_value()}"
        clients = Clients(self._name, sent, endpoint.login, self.concurrency)
        self.rate_limit: RateLimit = RateLimit(
            requests_per_minute, pairs_per_minute, max_pairs_per_call=self.max_pairs_per_call, clock=clock
        )
        self._listeners: list[WeakMethod[Callable[[float], object]]] = []
        self._exchange = Exchange(
            self._name, endpoint, clients, self.rate_limit, int(retries) + 1, clock, on_pause=self._tell_of_pause
        )

    @property
    def name(self) -> str:
        """Dialect, model and host: what tells it from others, beside what it says about the probes."""
        return self._name

    @property
    def content(self) -> str:
        """A digest of what else changes a score: options, and the fields of a dialect of one's own. Empty without."""
        return self._asking.digest

    def score(self, pairs: Sequence[Pair], *, deadline_s: float | None = None) -> FloatArray:
        """One score per pair, as the service gives them; the requests follow one another.

        Raises RerankServiceError, RerankerError, and DeadlineExceededError after ``deadline_s`` seconds.
        """
        until = self._until(deadline_s)
        bodies = ((call, self._exchange.send(self._asked(call, until))) for call in self._calls(pairs))
        return joined(len(pairs), ((call, self._read(call, body)) for call, body in bodies))

    async def ascore_pairs(self, pairs: Sequence[Pair], *, deadline_s: float | None = None) -> FloatArray:
        """``score`` in the running event loop; several requests are under way together."""
        until, calls = self._until(deadline_s), self._calls(pairs)
        bodies = await _all([self._exchange.asend(self._asked(call, until)) for call in calls])
        return joined(len(pairs), ((call, self._read(call, body)) for call, body in zip(calls, bodies, strict=True)))

    def on_pause(self, listener: Callable[[float], object]) -> None:
        """Call a method with the seconds of each pause that the service asks for, as long as its object lives.

        It must neither wait nor raise.
        """
        living = [known for known in self._listeners if known() is not None]
        self._listeners = [*living, WeakMethod(listener)]

    def close(self) -> None:
        """Close the connections. Those of an event loop that runs in this thread are closed by ``aclose`` alone."""
        self._exchange.close()

    async def aclose(self) -> None:
        """Close the connections of all threads and event loops."""
        await self._exchange.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        kind = "listwise" if self.listwise else "pointwise"
        return f"<HttpReranker {self._name}: {kind}, {self.concurrency} requests at once>"

    def _calls(self, pairs: Sequence[Pair]) -> list[Call]:
        if self.listwise:
            self._asking.check_listwise(pairs, self._name)
        return self._asking.calls(pairs)

    def _read(self, call: Call, body: bytes) -> FloatArray:
        return read_answer(body, self.dialect, len(call.positions), self._name)

    def _asked(self, call: Call, until: Until) -> Asked:
        return Asked(call.body, len(call.positions), (*self._secrets, *call.texts), until, has_turn())

    def _tell_of_pause(self, seconds: float) -> None:
        for listener in self._listeners:
            if (call := listener()) is not None:
                call(seconds)

    def _until(self, deadline_s: float | None) -> Until:
        left_s = self.timeout_s if deadline_s is None else min(self.timeout_s, deadline_s)
        return Until(self._clock() + left_s, left_s, is_callers=left_s < self.timeout_s)


def _check_numbers(timeout_s: object, retries: object, concurrency: object, max_pairs_per_call: object) -> None:
    check_count("concurrency", concurrency)
    if max_pairs_per_call is not None:
        check_count("max_pairs_per_call", max_pairs_per_call)
    if not isinstance(retries, Integral) or isinstance(retries, bool) or retries < 0:
        raise ConfigurationError(f"retries must be a whole number of at least 0, got {retries!r}")
    if not is_number(timeout_s) or not 0 < timeout_s < inf:
        raise ConfigurationError(f"timeout_s must be a number of seconds above 0, got {timeout_s!r}")


def _known(dialect: str | Dialect) -> Dialect:
    if isinstance(dialect, Dialect):
        return dialect
    if dialect not in DIALECTS:
        raise ConfigurationError(f"dialect {dialect!r} is not known; use one of {', '.join(DIALECTS)}, or a Dialect")
    return DIALECTS[dialect]


def _plain(text: str | SecretStr) -> str:
    return text.get_secret_value() if isinstance(text, SecretStr) else text


async def _all(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; the first error ends the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
