"""The application: routes of rerank services in front of a pipeline, and what watches it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from semcache.observers import PrometheusObserver
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.protocols import Observer
from semcache.server.answering import Answering
from semcache.server.formats import RerankAnswer, RerankRequest, TeiRequest, TeiResult
from semcache.server.live.recorder import Recorder
from semcache.server.live.ring import WINDOWS
from semcache.server.live.view import LiveView
from semcache.server.page_files import PageFiles
from semcache.server.readiness import Readiness
from semcache.server.refusals import Refusal, RefusedError
from semcache.server.scale import Scale
from semcache.server.watching import exposition, has_prometheus
from semcache.settings import Settings, settings_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_CLOSING_S = 2.0
"""For what goes on in the background. Servers end an application after its requests, which had server.shutdown_s by
then: as much again would be more than the 30 s after which Kubernetes kills."""


def create_app(
    pipeline: OptimizedRerankerPipeline | None = None,
    *,
    settings: Settings | None = None,
    registry: "CollectorRegistry | None" = None,
) -> FastAPI:
    """An ASGI application that answers as rerank services do; ``docs/server.md`` has its routes.

    Without a pipeline it opens that of ``settings`` (None: of environment and YAML), and closes it when the server
    ends; one that is passed is left open. ``registry`` has the metrics that /metrics shows, by default those of
    prometheus_client's own; a pipeline that is passed has observers of its own, and one of them may be a ``Recorder``,
    for the page. Raises what ``OptimizedRerankerPipeline.from_settings`` raises.

    Example:
        >>> uvicorn.run(create_app(settings=Settings(redis={"url": "redis://cache"})), port=8080)
    """
    settings = settings_of(settings)
    if pipeline is not None:
        return _Server(pipeline, settings, registry, closes=False).app()
    observers: list[Observer] = [Recorder()]
    if has_prometheus():
        observers.append(PrometheusObserver.from_settings(settings, registry))
    opened = OptimizedRerankerPipeline.from_settings(settings, observers=observers)
    return _Server(opened, settings, registry, closes=True).app()


class _Server:
    """The routes of one application, and the objects that they share."""

    def __init__(
        self,
        pipeline: OptimizedRerankerPipeline,
        settings: Settings,
        registry: "CollectorRegistry | None",
        *,
        closes: bool,
    ) -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.registry = registry
        self.closes = closes
        scale = Scale(settings.server.scores)
        self.answering = Answering(pipeline, settings.server, scale)
        self.readiness = Readiness(pipeline, scale)
        self.live = LiveView(pipeline)

    def app(self) -> FastAPI:
        """The application with its routes. The pages of FastAPI about them are left out: they load from elsewhere."""
        app = FastAPI(
            title="semcache",
            version=metadata.version("redis-semcache"),
            lifespan=self.lifespan,
            docs_url=None,
            redoc_url=None,
        )
        app.add_exception_handler(RefusedError, _refused)
        app.add_exception_handler(HTTPException, _no_route)
        app.add_exception_handler(Exception, _failed)
        self._add_rerank_routes(app)
        app.get("/healthz", response_class=PlainTextResponse)(_alive)
        # Load balancers and watchers of the network ask so.
        for path, answer in (("/healthz", _alive), ("/readyz", self.ready)):
            app.head(path, response_class=PlainTextResponse, include_in_schema=False)(answer)
        app.get("/readyz", response_class=PlainTextResponse, responses=_refusals(503))(self.ready)
        app.get("/metrics", response_class=PlainTextResponse, responses=_refusals(401, 403, 404))(self.metrics)
        app.get("/stats", responses=_refusals(401, 403))(self.stats)
        app.get("/live", responses=_refusals(401, 403, 422))(self.figures)
        if self.settings.server.page:
            PageFiles().add_to(app)
        return app

    def _add_rerank_routes(self, app: FastAPI) -> None:
        cohere: dict[str, Any] = {
            "response_model": RerankAnswer,
            "responses": _refusals(400, 401, 403, 408, 413, 422, 429, 502, 503, 504),
            "openapi_extra": _body(RerankRequest),
        }
        app.post("/v1/rerank", **cohere)(self.rerank_v1)
        app.post("/v2/rerank", **cohere)(self.rerank_v2)
        tei = {"response_model": list[TeiResult] | RerankAnswer, "openapi_extra": _body(TeiRequest, RerankRequest)}
        app.post("/rerank", **(cohere | tei))(self.rerank)

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Load the models beside the first requests, and close the pipeline in the end."""
        loading = asyncio.create_task(self.readiness.load())
        try:
            async with self.live.running():
                yield
        finally:
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading
            if self.closes:
                await self.pipeline.aclose(timeout_s=_CLOSING_S)

    async def rerank_v1(self, request: Request) -> Response:
        """Rerank, as clients of Cohere (v1), Jina and vLLM ask."""
        return await self.answering.rerank(request, 1)

    async def rerank_v2(self, request: Request) -> Response:
        """Rerank, as clients of Cohere (v2) ask."""
        return await self.answering.rerank(request, 2)

    async def rerank(self, request: Request) -> Response:
        """Rerank, as clients of TEI ask ("texts"), and of Infinity and vLLM ("documents")."""
        return await self.answering.tei(request)

    async def ready(self) -> str:
        """200 once the models are loaded; a Redis that is away does not matter."""
        if self.readiness.missing:
            raise RefusedError(503, self.readiness.missing, self.settings.server.retry_after_s)
        return "ready\n"

    # Not asynchronous, so that FastAPI calls it in a thread: the files of many workers take a while to read.
    def metrics(self, request: Request) -> Response:
        """The metrics of all processes, as Prometheus reads them."""
        self.answering.access.check_operator(request.headers)
        body, content_type = exposition(self.registry)
        return Response(body, headers={"Content-Type": content_type})

    # In a thread, too: statistics of quality take some milliseconds, in which no request would be answered.
    def stats(self, request: Request) -> JSONResponse:
        """The ``pipeline.get_stats()`` of the process that answers."""
        self.answering.access.check_operator(request.headers)
        return JSONResponse(jsonable_encoder({"process": os.getpid(), **self.pipeline.get_stats()}))

    async def figures(self, request: Request, window: str = "15m") -> JSONResponse:
        """The figures of all processes of this server, for its page and ``semcache top``."""
        self.answering.access.check_operator(request.headers)
        if window not in WINDOWS:
            raise RefusedError(422, f"window is {window!r}; it must be one of {', '.join(WINDOWS)}")
        return JSONResponse(await self.live.figures(WINDOWS[window]), headers={"Cache-Control": "no-store"})


async def _alive() -> str:
    """200 as long as the process answers."""
    return "alive\n"


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)  # noqa: S101 - starlette's type is wider than what it passes
    return JSONResponse(error.body, error.status, dict(error.headers))


async def _no_route(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - starlette's type is wider than what it passes
    allowed = (error.headers or {}).get("Allow")
    said = (
        f"this path takes {allowed}"
        if allowed
        else "there is nothing at this path; POST rerank requests to /v2/rerank, /v1/rerank or /rerank"
    )
    return JSONResponse(RefusedError(error.status_code, said).body, error.status_code, error.headers)


async def _failed(_: Request, error: Exception) -> JSONResponse:
    # The traceback goes to the log of the server; the caller needs no more than the kind of the error.
    return JSONResponse(RefusedError(500, f"the server failed: {type(error).__name__}").body, 500)


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The description of the refusals of a route."""
    return {status: {"model": Refusal} for status in statuses}


def _body(*kinds: type[BaseModel]) -> dict[str, Any]:
    """The description of a body that is read by hand, so that its size is known before it is parsed."""
    schemas = [kind.model_json_schema() for kind in kinds]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
