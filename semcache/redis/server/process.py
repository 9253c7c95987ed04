"""Starts a redis-server that ends with this process, waits until it answers, and stops it."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from semcache.errors import EmbeddedRedisError
from semcache.redis.server.files import ServerFiles

_START_TIMEOUT_S = 60.0
"""An empty server is up in 0.1 s; one with 1,000,000 entries on disk builds its graph for most of a minute."""
_GRACE_S = 10.0
"""For the last write to disk of a persistent server. One without a directory has nothing to save and is killed."""
_LONGEST_SOCKET_PATH = 100
"""The operating system takes 103 (macOS) to 107 (Linux) bytes."""
_TAIL_BYTES = 8192
_WATCHER = Path(__file__).with_name("watcher.py")


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A started server: its watcher, the pipe end that keeps both alive, what it printed, and its private directory.

    The log is a file without a name: nothing of it can be left behind.
    """

    watcher: "subprocess.Popen[bytes]"
    lifeline: int
    log: IO[bytes]
    private: Path
    owner: int

    @property
    def socket(self) -> Path:
        return self.private / "redis.sock"

    def printed(self) -> str:
        """The last lines that the server printed."""
        # pread: the server writes on at the position that this process shares with it.
        beginning = max(0, os.fstat(self.log.fileno()).st_size - _TAIL_BYTES)
        text = os.pread(self.log.fileno(), _TAIL_BYTES, beginning).decode(errors="replace")
        return "\n".join(text.splitlines()[-20:]) or "(nothing)"


def launch(files: ServerFiles, directory: Path | None) -> ServerProcess:
    """Start a server that keeps its data in the directory, or with None nowhere; it may not answer yet."""
    if directory is None:
        return _spawn(files, None, ())
    lock = _locked(directory)
    try:
        # The server keeps the lock as long as it lives, also when this process is gone.
        return _spawn(files, directory, (lock,))
    finally:
        os.close(lock)


def _spawn(files: ServerFiles, directory: Path | None, kept_open: tuple[int, ...]) -> ServerProcess:
    private = _private_directory()
    log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server runs
    inherited, lifeline = os.pipe()
    try:
        watcher = subprocess.Popen(
            [*_watcher_command(private, directory), *_server_command(files, private, directory)],
            stdin=inherited,
            stdout=log,
            stderr=log,
            pass_fds=kept_open,
            start_new_session=True,  # a Ctrl-C in the terminal is for the user's process alone
        )
    except OSError as error:
        log.close()
        os.close(lifeline)
        shutil.rmtree(private, ignore_errors=True)
        raise EmbeddedRedisError(f"cannot start {files.server}: {error}") from error
    finally:
        os.close(inherited)
    return ServerProcess(watcher, lifeline, log, private, os.getpid())


def _locked(directory: Path) -> int:
    """A descriptor that holds the directory's lock: two servers that write the same files would destroy them."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "semcache.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedRedisError(
            f"cannot use {directory} for the embedded Redis: {error.strerror}; give a directory that can be written"
        ) from error
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
        # An entry's hash with its 768 bytes of vector then takes 0.9 KB instead of 1.2 KB.
        *("--hash-max-listpack-value", "4096"),
        *("--loadmodule", str(files.search_module)),
    ]


def wait_until_ready(running: ServerProcess) -> None:
    """Return when it answers. Raises EmbeddedRedisError with what it printed when it does not."""
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


def stop(running: ServerProcess) -> None:
    """End the server and remove its private directory; returns when both are gone."""
    if os.getpid() != running.owner:  # a forked copy of the owner: the server is not ours
        return
    os.close(running.lifeline)
    try:
        running.watcher.wait(_GRACE_S + 5)
    except subprocess.TimeoutExpired:
        running.watcher.kill()  # takes the server with it, see watcher.py
        running.watcher.wait()
    running.log.close()
    shutil.rmtree(running.private, ignore_errors=True)
