"""Asynchronous rerankers: on which event loop they are awaited, for callers with a loop of their own and without."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from semcache.errors import RerankerError
from semcache.protocols import FloatArray, Pair, Reranker
from semcache.rerankers import AwaitedReranker, adapt
from semcache.rerankers.awaiting import OWN_LOOP, is_async, is_awaited
from semcache.rerankers.single import as_ladder
from tests.contracts.reranker import PAIRS, QUERY, TEXTS, PointwiseContract

LENGTHS = [float(len(text)) for text in TEXTS]


class Client:
    """An asynchronous client, which remembers the loops that it was used on, as a pool of connections would."""

    def __init__(self) -> None:
        self.loops: list[asyncio.AbstractEventLoop] = []

    async def rerank(self, query: str, documents: list[str], top_n: int | None = None) -> dict[str, Any]:
        await asyncio.sleep(0)
        self.loops.append(asyncio.get_running_loop())
        best = sorted(range(len(documents)), key=lambda at: -len(documents[at]))[:top_n]
        return {"results": [{"index": at, "relevance_score": float(len(documents[at]))} for at in best]}

    async def of_texts(self, query: str, texts: list[str]) -> list[float]:
        await asyncio.sleep(0)
        self.loops.append(asyncio.get_running_loop())
        return [float(len(text)) for text in texts]

    async def of_one(self, query: str, doc: str) -> float:
        return (await self.of_texts(query, [doc]))[0]

    async def of_pairs(self, pairs: list[Pair]) -> list[float]:
        return await self.of_texts("", [text for _, text in pairs])


class AsynchronousTwin:
    """Has nothing but the method of the asynchronous twin."""

    async def arerank(self, query: str, documents: list[str], top_k: int) -> list[int]:
        return sorted(range(len(documents)), key=lambda at: -len(documents[at]))[:top_k]


class OfProtocol:
    """``name``, ``listwise`` and an asynchronous ``score``."""

    name = "ours"
    listwise = False

    async def score(self, pairs: Sequence[Pair]) -> list[float]:
        return [float(len(text)) for _, text in pairs]


class Called:
    async def __call__(self, query: str, texts: list[str]) -> list[float]:
        return [float(len(text)) for text in texts]


KINDS: dict[str, Callable[[], Any]] = {
    "object": Client,
    "method that ranks": lambda: Client().rerank,
    "partial": lambda: partial(Client().rerank, top_n=99),
    "function of texts": lambda: Client().of_texts,
    "function of one text": lambda: Client().of_one,
    "function of pairs": lambda: Client().of_pairs,
    "object that is called": Called,
    "object of the protocol": OfProtocol,
}


class TestAwaited(PointwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return adapt(Client().of_texts, name="awaited")


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_is_awaited(kind: str) -> None:
    adapted: Any = adapt(KINDS[kind](), name=None if kind == "object of the protocol" else "client")
    assert isinstance(adapted, AwaitedReranker)
    assert (await adapted.ascore_pairs(PAIRS)).tolist() == LENGTHS
    assert (await asyncio.to_thread(adapted.score, PAIRS)).tolist() == LENGTHS


async def test_an_asynchronous_twin_serves_where_there_is_nothing_else() -> None:
    assert (await adapt(AsynchronousTwin()).ascore_pairs(PAIRS)).tolist() == [3.0, 2.0, 1.0]  # type: ignore[attr-defined]


async def test_it_is_awaited_on_the_loop_of_its_caller() -> None:
    client = Client()
    await adapt(client).ascore_pairs(PAIRS)  # type: ignore[attr-defined]
    assert client.loops == [asyncio.get_running_loop()]


def test_callers_without_a_loop_share_one() -> None:
    client = Client()
    reranker = adapt(client)
    threads = [threading.Thread(target=reranker.score, args=(PAIRS,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(client.loops) == 4
    assert len(set(client.loops)) == 1
    assert client.loops[0].is_running()


def test_its_kind_is_not_asked_on_another_loop_than_that_of_its_caller() -> None:
    client = Client()
    assert adapt(client).listwise
    assert adapt(client, listwise=False).listwise is False
    assert client.loops == []


async def test_a_synchronous_function_may_give_something_to_await() -> None:
    client = Client()
    reranker = adapt(not_async(client.of_texts), name="hidden")
    assert not is_awaited(reranker)
    assert (await asyncio.to_thread(reranker.score, PAIRS)).tolist() == LENGTHS


async def test_errors_reach_the_caller() -> None:
    async def fails(query: str, texts: list[str]) -> list[float]:
        raise ConnectionError("no route to host")

    reranker: Any = adapt(fails)
    with pytest.raises(ConnectionError, match="no route"):
        await reranker.ascore_pairs(PAIRS)
    with pytest.raises(ConnectionError, match="no route"):
        await asyncio.to_thread(reranker.score, PAIRS)


def test_a_call_from_within_the_own_loop_is_refused_instead_of_waiting_for_itself() -> None:
    async def nested(query: str, texts: list[str]) -> list[float]:
        return adapt(Client().of_texts, name="inner").score([(query, text) for text in texts]).tolist()

    with pytest.raises(RerankerError, match="called from another one without await"):
        adapt(nested, name="outer").score(PAIRS)


def test_the_own_loop_starts_anew_in_a_forked_process() -> None:
    reranker = adapt(Client().of_texts, name="forked")
    reranker.score(PAIRS)
    child = os.fork()
    if child == 0:
        os._exit(0 if reranker.score(PAIRS).tolist() == LENGTHS else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert reranker.score(PAIRS).tolist() == LENGTHS


def test_a_cancelled_call_is_cancelled_on_the_own_loop() -> None:
    entered, cancelled = threading.Event(), threading.Event()

    async def endless() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    future = OWN_LOOP.submit(endless())
    assert entered.wait(10)
    assert future.cancel()
    assert cancelled.wait(10)


async def test_a_ladder_of_one_rung_awaits_it_and_leaves_it_alone_in_the_background() -> None:
    client = Client()
    ladder = as_ladder(client)
    scored = await ladder.ascore(QUERY, TEXTS, [2, 0])
    assert scored.scores is not None
    assert scored.scores.tolist() == [LENGTHS[2], LENGTHS[0]]
    assert client.loops == [asyncio.get_running_loop()]
    assert not hasattr(ladder, "score_when_idle")
    assert (await asyncio.to_thread(ladder.score, QUERY, TEXTS, [0])).scores.tolist() == LENGTHS[:1]  # type: ignore[union-attr]


class WithTwin:
    """A reranker of the protocol that offers both."""

    name = "both"
    listwise = False

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        raise AssertionError("not in an event loop")

    async def ascore_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


async def test_a_reranker_of_the_protocol_may_offer_an_asynchronous_twin() -> None:
    ours = WithTwin()
    assert adapt(ours) is ours
    scored = await as_ladder(ours).ascore(QUERY, TEXTS, [0, 1, 2])
    assert scored.scores is not None
    assert scored.scores.tolist() == LENGTHS


async def coroutine_function() -> None: ...


def not_async(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function that gives what an asynchronous one does, as some decorators make them."""

    def decorated(query: str, texts: list[str]) -> Any:
        return function(query, texts)

    return decorated


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (coroutine_function, True),
        (Client().rerank, True),
        (partial(Client().rerank, top_n=3), True),
        (Called(), True),
        (len, False),
        (Called, False),
        (not_async(coroutine_function), False),
    ],
)
def test_what_is_asynchronous_is_known_without_a_call(function: Callable[..., Awaitable[Any]], expected: bool) -> None:
    assert is_async(function) is expected
