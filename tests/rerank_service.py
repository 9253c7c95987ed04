"""A rerank service in this process, over real HTTP: it speaks every dialect, as their documentation has it."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any, Self


def relevance(query: str, text: str) -> float:
    """A score that float32 holds as it is: shared words, and a part for the length."""
    return len(set(query.split()) & set(text.split())) + min(len(text), 1000) / 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the service was sent; header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Any
    connection: int


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of the service: JSON, or bytes as they are."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[["Handler", Request], Response | None]
"""Answers a request. None means that it has written to the handler's ``wfile`` by itself, or nothing at all."""


def ranked(query: str, texts: list[str], score: str, **more: Any) -> list[dict[str, Any]]:
    """Results as all services give them: best first."""
    best = sorted(enumerate(texts), key=lambda sent: -relevance(query, sent[1]))
    return [{"index": at, score: relevance(query, text), **more} for at, text in best]


def checked(request: Request, required: set[str], optional: set[str], most: int) -> Response | None:
    """The error of a service for fields that are missing or unknown to it, and for too many documents."""
    fields = set(request.body)
    if required - fields or fields - required - optional:
        return Response({"message": f"unknown or missing: {sorted(fields ^ required)}"}, 422)
    documents = next(value for value in request.body.values() if isinstance(value, list))
    if not documents or len(documents) > most or not all(documents):
        return Response({"message": f"{len(documents)} documents, some may be empty; at most {most}"}, 400)
    return None


def cohere(_: "Handler", request: Request) -> Response:
    optional = {"top_n", "max_tokens_per_doc", "relevant_spans", "priority", "return_documents", "max_chunks_per_doc"}
    if error := checked(request, {"model", "query", "documents"}, optional, 1000):
        return error
    body = request.body
    results = ranked(body["query"], body["documents"], "relevance_score")[: body.get("top_n")]
    return Response({"id": "8f1c", "results": results, "meta": {"api_version": {"version": "2"}}})


def jina(_: "Handler", request: Request) -> Response:
    if error := checked(request, {"model", "query", "documents"}, {"top_n", "return_documents"}, 2048):
        return error
    body = request.body
    results = ranked(body["query"], body["documents"], "relevance_score")
    if body.get("return_documents", True):
        results = [{**result, "document": {"text": body["documents"][result["index"]]}} for result in results]
    return Response({"model": body["model"], "usage": {"total_tokens": 9}, "results": results})


def voyage(_: "Handler", request: Request) -> Response:
    if error := checked(request, {"model", "query", "documents"}, {"top_k", "return_documents", "truncation"}, 1000):
        return error
    data = ranked(request.body["query"], request.body["documents"], "relevance_score")
    return Response({"object": "list", "data": data, "model": "rerank-2.5", "usage": {"total_tokens": 9}})


def mixedbread(_: "Handler", request: Request) -> Response:
    if error := checked(request, {"model", "query", "input"}, {"top_k", "return_input", "rewrite_query"}, 1000):
        return error
    data = ranked(request.body["query"], request.body["input"], "score", object="rank_result", input=None)
    return Response({"usage": {}, "model": "m", "data": data, "object": "list", "top_k": -1, "return_input": False})


def vllm(_: "Handler", request: Request) -> Response:
    optional = {"top_n", "truncate_prompt_tokens", "use_activation", "max_tokens_per_doc", "priority"}
    if error := checked(request, {"model", "query", "documents"}, optional, 10_000):
        return error
    body = request.body
    results = [
        {**result, "document": {"text": body["documents"][result["index"]], "multi_modal": None}}
        for result in ranked(body["query"], body["documents"], "relevance_score")
    ]
    return Response({"id": "score-1", "model": body["model"], "usage": {"total_tokens": 9}, "results": results})


def infinity(_: "Handler", request: Request) -> Response:
    if error := checked(request, {"query", "documents"}, {"model", "return_documents", "raw_scores", "top_n"}, 2048):
        return error
    if any(len(text) > 8192 * 15 for text in request.body["documents"]):
        return Response({"detail": [{"loc": ["body", "documents"], "msg": "String too long", "input": "..."}]}, 422)
    results = ranked(request.body["query"], request.body["documents"], "relevance_score", document=None)
    return Response({"object": "rerank", "results": results, "model": "m", "usage": {}, "id": "1", "created": 1})


def tei(_: "Handler", request: Request) -> Response:
    if error := checked(
        request, {"query", "texts"}, {"truncate", "truncation_direction", "raw_scores", "return_text"}, 10_000
    ):
        return error
    texts = request.body["texts"]
    if len(texts) > 32:
        said = f"batch size {len(texts)} > maximum allowed batch size 32"
        return Response({"error": said, "error_type": "Validation"}, 413)
    return Response(ranked(request.body["query"], texts, "score"))


ROUTES: Mapping[str, Mapping[str, Answer]] = {
    "cohere": {"/v2/rerank": cohere},
    "cohere-v1": {"/v1/rerank": cohere},
    "jina": {"/v1/rerank": jina},
    "voyage": {"/v1/rerank": voyage},
    "mixedbread": {"/v1/reranking": mixedbread},
    "vllm": dict.fromkeys(("/rerank", "/v1/rerank", "/v2/rerank"), vllm),
    "infinity": {"/rerank": infinity},
    "tei": {"/rerank": tei},
}
"""How each service answers, by the path of the request."""


class RerankService:
    """A service of one dialect; a ``with`` block runs it.

    ``script`` holds answers for the next requests, in place of those of the dialect. ``requests`` are all that came.

    Example:
        with RerankService("tei") as service:
            service.script.append(lambda handler, request: Response("busy", 503))
            HttpReranker("tei", url=service.url).score(PAIRS)
    """

    def __init__(self, dialect: str, key: str | None = None) -> None:
        self.requests: list[Request] = []
        self.script: deque[Answer] = deque()
        self.always: Answer | None = None
        self.connections = 0
        self.open_connections = 0
        self.changing = Condition()
        self.dialect = dialect
        self.routes = ROUTES[dialect]
        self.key = key
        self.server = _Server(("127.0.0.1", 0), Handler)
        self.server.service = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def all_closed(self, patience_s: float = 5.0) -> bool:
        """Whether no connection is open any more, or none is within this time."""
        with self.changing:
            return self.changing.wait_for(lambda: self.open_connections == 0, patience_s)

    def answer(self, handler: "Handler", request: Request) -> Response | None:
        with self.changing:
            self.requests.append(request)
            scripted = self.script.popleft() if self.script else self.always
        if scripted is not None:
            return scripted(handler, request)
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return Response({"message": "invalid api token"}, 401)
        if request.path not in self.routes:
            return Response({"detail": "Not Found"}, 404)
        return self.routes[request.path](handler, request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    service: RerankService

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: some tests do so on purpose."""


class Handler(BaseHTTPRequestHandler):
    """One connection, which is kept open between requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        service = self.server.service
        with service.changing:
            service.connections += 1
            service.open_connections += 1
            self.number = service.connections

    def finish(self) -> None:
        super().finish()
        with self.server.service.changing:
            self.server.service.open_connections -= 1
            self.server.service.changing.notify_all()

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.server.service.answer(self, Request(self.path, headers, json.loads(sent), self.number))
        if response is None:
            self.close_connection = True
            return
        raw = response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
        self.send_response(response.status)
        for name, value in {"content-type": "application/json", "content-length": str(len(raw))}.items():
            if name not in response.headers:
                self.send_header(name, value)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is that of the base class
        """Say nothing."""
