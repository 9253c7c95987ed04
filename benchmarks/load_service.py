"""A rerank service with a rate limit, over real HTTP in this process, and the plain client that most code has."""

import json
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import sleep

import httpx
import numpy as np

from benchmarks.load_primaries import Call, Clock, request_of, true_scores
from benchmarks.load_scenarios import NOISE, Scenario
from semcache.protocols import FloatArray, Pair

SERVICE_S = 0.2


class RateLimit:
    """A token bucket: ``rate`` requests a second, and as many at once after a while without any. Has no lock."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._tokens = float(rate)
        self._at = 0.0

    def wait_s(self, now: float) -> float:
        """0 if a request is let in now, which takes a token; else seconds until there is one."""
        self._tokens = min(float(self._rate), self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0


class Service:
    """Answers as Jina's API does, after 200 ms on average; ``calls`` and ``refused`` are in nominal seconds."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self.calls: list[Call] = []
        self.refused: list[float] = []
        self._clock = clock
        self._limit = RateLimit(scenario.limit_per_s)
        self._rng = np.random.default_rng(scenario.seed + 2000)
        self._deciding = Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, answer, wait_s = service.answer([(body["query"], text) for text in body["documents"]])
                content = json.dumps(answer).encode()
                with suppress(ConnectionError):  # a caller who has given up
                    self.send_response(status)
                    if wait_s > 0:
                        # Whole seconds, as most services say it.
                        self.send_header("retry-after", str(int(np.ceil(wait_s))))
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Requests are not printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/rerank"

    def answer(self, pairs: Sequence[Pair]) -> tuple[int, object, float]:
        """Status, body and seconds for Retry-After."""
        started = self._clock()
        with self._deciding:
            wait_s = self._limit.wait_s(started)
            seconds = SERVICE_S * float(np.exp(self._rng.normal(0, NOISE) - NOISE**2 / 2))
        if wait_s > 0:
            self.refused.append(started)
            return 429, {"detail": "too many requests"}, wait_s
        sleep(seconds)
        self.calls.append(Call(started, self._clock(), {request_of(pairs[0]): len(pairs)}, failed=False))
        scores = enumerate(true_scores(pairs))
        return 200, {"results": [{"index": at, "relevance_score": float(score)} for at, score in scores]}, 0.0

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class PlainClient:
    """A client that sends each request at once and raises for everything but 200."""

    name = "primary"
    listwise = False

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(limits=httpx.Limits(max_connections=None, max_keepalive_connections=None))

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair, all of one query."""
        body = {"query": pairs[0][0], "documents": [text for _, text in pairs]}
        answer = self._client.post(self._url, json=body, timeout=30.0).raise_for_status().json()
        scores = np.empty(len(pairs), np.float32)
        for result in answer["results"]:
            scores[result["index"]] = result["relevance_score"]
        return scores
