"""A Redis of one's own: a server with vector search that lives exactly as long as its owner."""

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from semcache.errors import EmbeddedRedisError
from semcache.redis.server_files import ServerFiles, find_server_files

_START_TIMEOUT_S = 60.0
"""An empty server is up in 0.1 s; one with 1,000,000 entries on disk builds its graph for most of a minute."""
_GRACE_S = 10.0
"""For the last write to disk of a persistent server. One without a directory has nothing to save and is killed."""
_LONGEST_SOCKET_PATH = 100
"""The operating system takes 103 (macOS) to 107 (Linux) bytes."""
_WATCHER = Path(__file__).with_name("watcher.py")


@dataclass(frozen=True, slots=True)
class _Running:
    """A started server: its watcher, the pipe end that keeps both alive, and the private directory."""

    watcher: "subprocess.Popen[bytes]"
    lifeline: int
    private: Path
    owner: int

    @property
    def socket(self) -> Path:
        return self.private / "redis.sock"

    def printed(self) -> str:
        """The last lines that the server printed."""
        try:
            lines = (self.private / "log").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "(nothing)"
        return "\n".join(lines[-20:]) or "(nothing)"


class EmbeddedRedis:
    """A private redis-server with the search module, on a unix socket that only this user can reach.

    ``with EmbeddedRedis() as server: redis.Redis.from_url(server.url)``; ``async with`` works too. Without a
    ``directory`` nothing is kept. With one the data lie there and survive a restart; one server at a time may use it.
    The server ends with its owner, however that goes: ``close()``, leaving the ``with`` block, garbage collection, the
    interpreter's exit, SIGTERM, SIGKILL. No signal handler of the user's process is touched.

    Raises EmbeddedRedisError (with what the server printed) when it does not come up, and MissingExtraError when there
    is no redis-server with search on this machine.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self._directory = None if directory is None else Path(directory).absolute()
        self._running: _Running | None = None
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize[[_Running], EmbeddedRedis] | None = None

    @property
    def url(self) -> str:
        """``unix://...``, for ``redis.from_url`` and everything built on it."""
        if self._running is None:
            raise EmbeddedRedisError("the embedded Redis is not running; call start() or use it in a with block")
        return f"unix://{quote(str(self._running.socket))}"

    def start(self) -> Self:
        """Start the server and wait until it answers. A running one is left as it is."""
        with self._lock:
            if self._running is None:
                self._running = _launch(find_server_files(), self._directory)
                self._finalizer = weakref.finalize(self, _stop, self._running)
                _alive.add(self)
                _wait_or_stop(self)
        return self

    def close(self) -> None:
        """Stop the server and remove its private directory; returns when both are gone. Closing twice is harmless."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._running = self._finalizer = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        where = "not running" if self._running is None else self.url
        kept = f", directory={str(self._directory)!r}" if self._directory else ""
        return f"<EmbeddedRedis {where}{kept}>"


def _launch(files: ServerFiles, directory: Path | None) -> _Running:
    lock = None if directory is None else _locked(directory)
    private = _private_directory()
    lifeline_end, lifeline = os.pipe()
    try:
        with (private / "log").open("wb") as log:
            watcher = subprocess.Popen(
                [*_watcher_command(private, directory), *_server_command(files, private, directory)],
                stdin=lifeline_end,
                stdout=log,
                stderr=log,
                # The server keeps the lock as long as it lives, also when this process is gone.
                pass_fds=() if lock is None else (lock,),
                start_new_session=True,  # a Ctrl-C in the terminal is for the user's process alone
            )
    except OSError as error:
        os.close(lifeline)
        shutil.rmtree(private, ignore_errors=True)
        raise EmbeddedRedisError(f"cannot start {files.server}: {error}") from error
    finally:
        os.close(lifeline_end)
        if lock is not None:
            os.close(lock)
    return _Running(watcher, lifeline, private, os.getpid())


def _locked(directory: Path) -> int:
    """A descriptor that holds the directory's lock: two servers that write the same files would destroy them."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / "semcache.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise EmbeddedRedisError(
            f"{directory} is in use by another embedded Redis; close that one, use its url, or give another directory"
        ) from error
    return lock


def _private_directory() -> Path:
    """A new directory that only this user can enter, with a name short enough to hold a socket."""
    private = Path(tempfile.mkdtemp(prefix="semcache-"))
    if len(os.fsencode(private / "redis.sock")) <= _LONGEST_SOCKET_PATH:
        return private
    private.rmdir()
    return Path(tempfile.mkdtemp(prefix="semcache-", dir="/tmp"))


def _watcher_command(private: Path, directory: Path | None) -> list[str]:
    # -I -S: neither the user's environment nor site-packages; it starts in 15 ms.
    return [sys.executable, "-I", "-S", str(_WATCHER), str(_GRACE_S if directory else 0), str(private)]


def _server_command(files: ServerFiles, private: Path, directory: Path | None) -> list[str]:
    return [
        str(files.server),
        *("--port", "0", "--unixsocket", str(private / "redis.sock"), "--unixsocketperm", "700"),
        *("--dir", str(directory or private), "--save", ""),
        # An append-only file loses at most one second on a crash; snapshots would lose minutes.
        *("--appendonly", "yes" if directory else "no"),
        *("--loadmodule", str(files.search_module)),
    ]


def _wait_or_stop(server: EmbeddedRedis) -> None:
    running = server._running
    assert running is not None
    try:
        _wait_until_ready(running)
    except BaseException:  # an interrupt while waiting must not leave a server behind either
        server._close()
        raise


def _wait_until_ready(running: _Running) -> None:
    from redis import Redis, exceptions
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    deadline = time.monotonic() + _START_TIMEOUT_S
    with Redis(unix_socket_path=str(running.socket), socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
        while time.monotonic() < deadline:
            try:
                client.ping()
                return
            except (
                exceptions.ConnectionError,
                exceptions.TimeoutError,
            ):  # not listening yet, or still loading its files
                if running.watcher.poll() is not None:
                    break
                time.sleep(0.005)
    raise EmbeddedRedisError(f"the embedded Redis did not come up; it printed:\n{running.printed()}")


def _stop(running: _Running) -> None:
    if os.getpid() != running.owner:  # a forked copy of the owner: the server is not ours
        return
    os.close(running.lifeline)
    try:
        running.watcher.wait(_GRACE_S + 5)
    except subprocess.TimeoutExpired:
        running.watcher.kill()  # takes the server with it, see watcher.py
        running.watcher.wait()
    shutil.rmtree(running.private, ignore_errors=True)


def _drop_inherited_lifelines() -> None:
    """In a forked child: let go of the lifelines, or the server would outlive its owner as long as the child lives."""
    for server in list(_alive):
        if server._running is not None and server._running.owner != os.getpid():
            os.close(server._running.lifeline)
            server._running = server._finalizer = None


_alive: "weakref.WeakSet[EmbeddedRedis]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_drop_inherited_lifelines)
