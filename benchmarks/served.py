"""`semcache serve` as a process of its own, with the packaged models."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import httpx

_READY_S = 120.0
_SERVE = "import sys; from semcache.commands import main; main()"


@contextmanager
def served(redis_url: str, namespace: str, workers: int = 1) -> Iterator[tuple[str, int]]:
    """The url of a server that is ready, and the id of its process."""
    environment = {**os.environ, "SEMCACHE_REDIS_URL": redis_url, "SEMCACHE_NAMESPACE": namespace}
    arguments = ["serve", "--port", "0", "--workers", str(workers)]
    with TemporaryDirectory() as folder:
        # A file, for a pipe that is not read while the clients ask holds the server up once it is full.
        log = Path(folder) / "log"
        with log.open("w") as written:
            process = subprocess.Popen([sys.executable, "-c", _SERVE, *arguments], env=environment, stderr=written)
        try:
            url = _address(log, process)
            _wait_until_ready(url)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(timeout=60)
            if process.returncode:
                print(log.read_text(), file=sys.stderr)


def _address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """The url of the server, as soon as it says so."""
    while not (found := re.search(r"running on (http://\S+)", log.read_text())):
        assert process.poll() is None, log.read_text()
        sleep(0.05)
    return found[1]


def _wait_until_ready(url: str) -> None:
    """Until 20 answers in a row, each over a new connection, say so: every worker is then met."""
    late, ready = monotonic() + _READY_S, 0
    while ready < 20:
        assert monotonic() < late, "the server does not become ready"
        try:
            ready = ready + 1 if httpx.get(f"{url}/readyz").is_success else 0
        except httpx.ConnectError:
            ready = 0
        sleep(0.05)
