"""A peer as a side of a comparison: its process, and the requests that are sent to it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.workload import Workload
from semcache.commands.bench.measuring import Seconds, Side

SCRIPTS = Path(__file__).parent
VENVS = SCRIPTS.parent / ".venvs"


@dataclass(frozen=True, slots=True)
class PeerKind:
    """``script`` beside this file, run in the environment of this name; an empty one is semcache's own."""

    name: str
    script: str
    environment: str = ""

    @property
    def python(self) -> Path:
        return VENVS / self.environment / "bin" / "python" if self.environment else Path(sys.executable)

    @property
    def is_installed(self) -> bool:
        return self.python.is_file()


KINDS = (
    PeerKind("RedisVL SemanticCache", "redisvl_cache.py"),
    PeerKind("langchain-redis RedisSemanticCache", "langchain_cache.py", "langchain"),
    PeerKind("GPTCache (SQLite, FAISS)", "gptcache_faiss.py", "gptcache"),
    PeerKind("betterdb-semantic-cache", "betterdb_cache.py", "betterdb"),
    PeerKind("hnswlib in process (limit)", "hnswlib_index.py", "hnswlib"),
)


class PeerError(Exception):
    """The error of a peer that failed."""


class Peer:
    """A running peer. ``failure`` says why it takes no further part, or is None."""

    def __init__(self, kind: PeerKind, url: str) -> None:
        self.kind = kind
        self.failure: str | None = None
        self.hits: dict[tuple[str, int], float] = {}
        self._loaded = 0
        self._size = 0
        self._printed = TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process does
        self._process = subprocess.Popen(
            [kind.python, SCRIPTS / kind.script, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            text=True,
        )

    def load(self, workload: Workload) -> None:
        """Store the entries that the peer does not hold yet."""
        request = {"op": "load", "folder": str(workload.folder), "start": self._loaded, "stop": workload.size}
        try:
            self._ask(request)
            self._loaded = self._size = workload.size
        except PeerError as error:
            self.failure = str(error)

    def side(self, kind: str) -> Side:
        """Look-ups of a kind; the share of hits is noted."""

        def look_up(numbers: Sequence[int]) -> Seconds:
            reply = self._ask({"op": "look_up", "kind": kind, "numbers": list(numbers)})
            self.hits[kind, self._size] = reply["hits"] / len(numbers)
            return np.array(reply["seconds"])

        return look_up

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError as error:
            raise PeerError(self._failure_text()) from error
        if not line:
            raise PeerError(self._failure_text())
        reply = json.loads(line)
        if "error" in reply:
            raise PeerError(reply["error"])
        return dict(reply)

    def _failure_text(self) -> str:
        """The last line that the process printed before it ended."""
        self._printed.seek(0)
        lines = self._printed.read().splitlines()
        return f"its process ended: {lines[-1] if lines else 'nothing was printed'}"

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._printed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
