"""The proxy in a process of its own, so that it takes no time from the threads that are measured."""

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.redis.proxy import Proxy

_ROOT = Path(__file__).parents[2]


class ProxyProcess:
    """``Proxy`` as far as faults need it; see there for the fields of ``change``."""

    def __init__(self, server_url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, server_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        self.url = self._answer()

    def heal(self) -> None:
        """Pass everything on as it is."""
        self._ask("heal")

    def change(self, **fields: Any) -> None:
        """Set several fields."""
        self._ask("change", **fields)

    def listen(self, how: str) -> None:
        """``yes``, ``refuse`` new connections, or let them ``wait`` for ever."""
        self._ask("listen", how=how)

    def end_connections(self) -> None:
        """Reset every open connection."""
        self._ask("end_connections")

    def _ask(self, method: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps((method, arguments)) + "\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # it ends with its input
        self._process.wait()


def serve(server_url: str) -> None:
    """Print the proxy's url, then do what each line of the standard input says, and print a line when it is done."""
    with Proxy(server_url).running() as proxy:
        print(proxy.url, flush=True)
        for line in sys.stdin:
            method, arguments = json.loads(line)
            getattr(proxy, method)(**arguments)
            print("done", flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
