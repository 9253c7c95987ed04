"""From a request over HTTP to the ranking of its documents, and the headers that say where the scores came from."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from semcache.errors import (
    DeadlineExceededError,
    InvalidInputError,
    QueueFullError,
    RerankerError,
    SemcacheError,
)
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.ranking import Ranking, Status
from semcache.server.access import Access
from semcache.server.formats import Asked, RerankRequest, TeiRequest, parsed, rerank_answer, tei_answer
from semcache.server.limits import Limits
from semcache.server.refusals import RefusedError
from semcache.server.scale import Scale
from semcache.settings import Server

A = TypeVar("A", bound=Asked)

# Names of fields, with the colon behind them: a query may be "texts", too.
_HAS_DOCUMENTS, _HAS_TEXTS = (re.compile(rb'"%b"\s*:' % name) for name in (b"documents", b"texts"))


class Answering:
    """Answers rerank requests with a pipeline, within the limits of the settings."""

    def __init__(self, pipeline: OptimizedRerankerPipeline, server: Server, scale: Scale) -> None:
        self._pipeline = pipeline
        self._server = server
        self._scale = scale
        self._limits = Limits(server)
        self.access: Access = Access(server)

    async def rerank(self, request: Request, version: int) -> Response:
        """The answer for clients of Cohere and Jina. Raises RefusedError."""
        return await self._within_limits(
            request, lambda body: self._rerank(request, parsed(RerankRequest, body), version)
        )

    async def tei(self, request: Request) -> Response:
        """The answer for clients of TEI, and for those of Infinity and vLLM, which send documents to the same path."""
        return await self._within_limits(request, lambda body: self._by_its_fields(request, body))

    async def _within_limits(self, request: Request, answer: Callable[[bytes], Awaitable[Response]]) -> Response:
        # The key comes first: who has none is not told about limits, nor takes up any.
        self.access.tenant_of(request.headers)
        with self._limits.entered():
            return await answer(await self._limits.body_of(request, self._limits.deadline_s(request)))

    async def _rerank(self, request: Request, asked: RerankRequest, version: int) -> Response:
        ranking = await self._ranking(request, asked)
        meaning, scores = self._scale.shown(ranking)
        return _response(rerank_answer(asked, version, ranking, scores), ranking, meaning)

    # Not asynchronous, so that the body is let go of before the reranker is waited for: its texts are held then anyway.
    def _by_its_fields(self, request: Request, body: bytes) -> Awaitable[Response]:
        if _HAS_DOCUMENTS.search(body) and not _HAS_TEXTS.search(body):
            return self._rerank(request, parsed(RerankRequest, body), 1)
        return self._tei(request, parsed(TeiRequest, body))

    async def _tei(self, request: Request, asked: TeiRequest) -> Response:
        ranking = await self._ranking(request, asked)
        meaning, scores = self._scale.shown(ranking, raw=asked.raw_scores)
        return _response(tei_answer(asked, ranking, scores), ranking, meaning)

    async def _ranking(self, request: Request, asked: Asked) -> Ranking[str]:
        texts = asked.texts
        self._limits.check(asked, texts)
        tenant = self.access.tenant_of(request.headers)
        # The whole deadline, not what reading left of it: equal requests in flight share an answer, if they may wait
        # for it as long.
        deadline_s = self._limits.deadline_s(request)
        retry_after_s = self._server.retry_after_s
        try:
            ranking = await self._pipeline.arerank(
                asked.query, texts, min(asked.best, len(texts)), tenant=tenant, deadline_s=deadline_s
            )
        except InvalidInputError as error:
            raise RefusedError(422, str(error)) from error
        except QueueFullError as error:
            raise RefusedError(429, str(error), retry_after_s) from error
        except DeadlineExceededError as error:
            raise RefusedError(504, str(error)) from error
        except RerankerError as error:
            # Its message may be a service's, and hold texts.
            raise RefusedError(502, f"the reranker failed: {type(error).__name__}") from error
        except SemcacheError as error:
            raise RefusedError(503, str(error), retry_after_s) from error
        if ranking.status is Status.DEGRADED and self._server.degraded == "refuse":
            raise RefusedError(503, f"the reranker cannot answer now: {ranking.reason}", retry_after_s)
        return ranking


def _response(body: str | bytes, ranking: Ranking[str], meaning: str) -> Response:
    return Response(body, media_type="application/json", headers=_headers(ranking, meaning))


def _headers(ranking: Ranking[str], meaning: str) -> Mapping[str, str]:
    said = {
        "Status": ranking.status.value,
        "Reason": ranking.reason,
        "Similarity": None if ranking.similarity is None else f"{ranking.similarity:.4f}",
        "Asked": ranking.asked,
        "Reused": ranking.reused,
        "Skipped": ranking.skipped,
        "Reranker": ranking.reranker,
        "Scores": meaning,
    }
    # Names of folders may hold any letters, headers only those of ASCII.
    return {
        f"X-Semcache-{name}": str(value).encode("ascii", "replace").decode()
        for name, value in said.items()
        if value is not None
    }
