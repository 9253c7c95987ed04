"""The Redis of the benchmarks: a private one with the search module, on a unix socket."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

import redis

from semcache import EmbeddedRedis
from semcache.redis.server.files import find_server_files


@contextmanager
def started() -> Iterator[str]:
    """Start an empty server that ends with the block; yields its url."""
    with EmbeddedRedis() as server:
        yield server.url


def seconds_to_load(snapshot: Path) -> float:
    """How long a server that is started with this RDB file takes until it answers."""
    files = find_server_files()
    with tempfile.TemporaryDirectory(prefix="semcache-") as folder:
        shutil.copy(snapshot, Path(folder) / "dump.rdb")
        socket = Path(folder) / "redis.sock"
        options = ("--port", "0", "--unixsocket", socket, "--dir", folder, "--save", "", "--loglevel", "warning")
        options += ("--hash-max-listpack-value", "4096", "--loadmodule", files.search_module)
        started = perf_counter()
        with subprocess.Popen([files.server, *options], stdout=subprocess.DEVNULL) as process:
            try:
                while not _answers(socket):
                    assert process.poll() is None, "the server has ended"
                    sleep(0.02)
                return perf_counter() - started
            finally:
                process.kill()


def _answers(socket: Path) -> bool:
    with redis.Redis(unix_socket_path=str(socket)) as asked:
        try:
            return bool(asked.ping())
        except redis.ConnectionError:  # not there yet, or LOADING
            return False


def client(url: str, db: int = 0) -> redis.Redis:
    """A plain redis-py client, with the parser and the protocol that semcache uses."""
    return redis.Redis.from_url(f"{url}?db={db}", protocol=2)
