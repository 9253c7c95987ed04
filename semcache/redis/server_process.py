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

from semcache.errors import EmbeddedRedisError
from semcache.redis.server_files import ServerFiles

_START_TIMEOUT_S = 60.0
"""An empty server is up in 0.1 s; one with 1,000,000 entries on disk builds its graph for most of a minute."""
_GRACE_S = 10.0
"""For the last write to disk of a persistent server. One without a directory has nothing to save and is killed."""
_LONGEST_SOCKET_PATH = 100
"""The operating system takes 103 (macOS) to 107 (Linux) bytes."""
_WATCHER = Path(__file__).with_name("watcher.py")


@dataclass(frozen=True, slots=True)
class ServerProcess:
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


def launch(files: ServerFiles, directory: Path | None) -> ServerProcess:
    """Start a server that keeps its data in the directory, or with None nowhere; it may not answer yet."""
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
    return ServerProcess(watcher, lifeline, private, os.getpid())


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
    shutil.rmtree(running.private, ignore_errors=True)
