"""gunicorn with preload: an application whose pipeline was used before the workers were forked serves all requests."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

WORKERS = 4
APPLICATION = """
import json, os
from urllib.parse import unquote
from semcache import OptimizedRerankerPipeline
from tests.fakes import WordEmbedder

def shared_words(query, texts):
    return [len(set(query.split()) & set(text.split())) for text in texts]

PASSAGES = ["a red car", "an apple pie", "the moon is far"]
pipeline = OptimizedRerankerPipeline(shared_words, None, "embedded", embedding_model=WordEmbedder(), eager=True)
pipeline.rerank("used before the fork", PASSAGES)

def application(environ, start_response):
    ranking = pipeline.rerank(unquote(environ["PATH_INFO"]), PASSAGES, 1, deadline_s=10)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([os.getpid(), ranking.status, ranking[0]]).encode()]
"""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket, whose name no other test run can have taken."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def ask(path: Path, query: str) -> list[Any]:
    connection = UnixConnection(path)
    connection.request("GET", f"/{query}")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer  # type: ignore[no-any-return]


@contextmanager
def gunicorn(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The path of its socket, and of its log once it has ended."""
    (folder / "application.py").write_text(APPLICATION)
    listening, log = folder / "http.sock", folder / "log"
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", str(WORKERS), "-b", f"unix:{listening}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(Path.cwd()), *sys.path))}
    with log.open("w") as stderr:
        server = subprocess.Popen(
            [*command, "--no-control-socket", "application:application"], stderr=stderr, env=environment
        )
    try:
        until = monotonic() + 60
        while True:
            try:
                ask(listening, "ready")
                break
            except (OSError, http.client.HTTPException):
                assert server.poll() is None, log.read_text()
                assert monotonic() < until, log.read_text()
        yield listening, log
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


def test_every_worker_serves_and_all_of_them_end(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as (listening, log), ThreadPoolExecutor(8) as clients:
        answers: list[tuple[str, str, str]] = []
        until = monotonic() + 60
        # The kernel chooses which worker accepts a connection, so a busy machine may leave one out for a while.
        while len({worker for worker, _, _ in answers}) < WORKERS and monotonic() < until:
            answers += clients.map(lambda number: ask(listening, f"apple-{number % 50}"), range(200))
        stopping = monotonic()
    assert {(status, best) for _, status, best in answers} <= {
        (status, "a red car") for status in ("fresh", "exact", "verified")
    }
    assert len({worker for worker, _, _ in answers}) == WORKERS
    # A worker that waits at its exit for a thread of its parent would be killed after 30 s.
    assert monotonic() - stopping < 20
    said = [line for line in log.read_text().splitlines() if "[INFO]" not in line]
    assert said == []
