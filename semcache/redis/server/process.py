"""Starts a redis-server that ends with this process, waits until it answers, and stops it."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from semcache.causes import message_of
from semcache.errors import EmbeddedRedisError
from semcache.redis.server.files import ServerFiles

if TYPE_CHECKING:  # importing redis-py takes longer than starting a server
    from redis import Redis

_START_TIMEOUT_S = 60.0
"""A server answers only when it has read its files and built the graph of their entries, which takes long for many."""
_GRACE_S = 10.0
"""Time for the last write to disk. A server without a directory has nothing to save and is killed at once."""
_LONGEST_SOCKET_PATH = 100
"""Bytes of the path of a unix socket; systems allow 103 (macOS) to 107 (Linux)."""
_TAIL_BYTES = 8192
"""How much of the end of a log is read for an error message."""
_NODE_TIMEOUT_MS = 1000
"""After so long without an answer the nodes of a cluster take one of them for lost. All run on this machine, where only
a machine that is very busy keeps one silent for so long."""
_WATCHER = Path(__file__).with_name("watcher.py")


@dataclass(frozen=True, slots=True)
class Member:
    """A server as a node of a cluster: its ports on this machine, and the password that all nodes share."""

    port: int
    bus_port: int
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A started server and its watcher, the process that ends it.

    ``lifeline`` is the writing end of a pipe that the watcher reads: when the last copy of it is closed, the server
    ends. ``log`` is a file without a name, so that it cannot be left behind. ``private`` is the directory of the
    socket. ``owner`` is the process that may stop the server; a forked copy of that process may not. ``member`` is None
    for a server that is in no cluster.
    """

    watcher: "subprocess.Popen[bytes]"
    lifeline: int
    log: IO[bytes]
    private: Path
    owner: int
    member: Member | None = None

    @property
    def socket(self) -> Path:
        """The path of the unix socket."""
        return self.private / "redis.sock"

    def printed(self) -> str:
        """The last lines that the server printed."""
        # pread, because a seek would also move the position at which the server goes on writing.
        beginning = max(0, os.fstat(self.log.fileno()).st_size - _TAIL_BYTES)
        text = os.pread(self.log.fileno(), _TAIL_BYTES, beginning).decode(errors="replace")
        return "\n".join(text.splitlines()[-20:]) or "(nothing)"


def launch(files: ServerFiles, directory: Path | None, private: Path | None = None) -> ServerProcess:
    """Start a server that keeps its data in the directory, or with None nowhere; it may not answer yet.

    ``private`` is where its socket is to be, a directory that does not exist; None makes one with a new name.
    Raises EmbeddedRedisError when it cannot be started, or when another server uses the directory.
    """
    if directory is None:
        return _spawn(files, None, (), private)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "semcache.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedRedisError(
            f"cannot use {directory} for the embedded Redis: {error.strerror}; give a directory that can be written"
        ) from error
    try:
        # Two servers that write the same files would destroy them. The server inherits the descriptor and keeps the
        # lock as long as it lives, also while it writes its files after this process was killed.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise EmbeddedRedisError(
            f"{directory} is in use by another embedded Redis; close that one, use its url, or give another directory"
        ) from error
    try:
        return _spawn(files, directory, (lock,), private)
    finally:
        os.close(lock)


def launch_member(files: ServerFiles, member: Member) -> ServerProcess:
    """Start a server that is to be a node of a cluster, and keeps its data nowhere; it may not answer yet.

    Raises EmbeddedRedisError when it cannot be started.
    """
    return _spawn(files, None, (), None, member)


def _private_directory(private: Path | None) -> Path:
    """A new directory that only this user can enter, with this name or a new one."""
    if private is not None:
        try:
            private.mkdir(mode=0o700)  # fails where another user has made it meanwhile
        except OSError as error:
            raise EmbeddedRedisError(f"cannot start the embedded Redis again in {private}: {error.strerror}") from error
        return private
    private = Path(tempfile.mkdtemp(prefix="semcache-"))
    if len(os.fsencode(private / "redis.sock")) > _LONGEST_SOCKET_PATH:
        private.rmdir()
        private = Path(tempfile.mkdtemp(prefix="semcache-", dir="/tmp"))
    return private


def _spawn(
    files: ServerFiles,
    directory: Path | None,
    kept_open: tuple[int, ...],
    private: Path | None,
    member: Member | None = None,
) -> ServerProcess:
    private = _private_directory(private)
    # -I -S: neither the user's environment nor site-packages, so that the watcher starts quickly and runs no code of
    # theirs.
    watcher_command = [sys.executable, "-I", "-S", str(_WATCHER), str(_GRACE_S if directory else 0), str(private)]
    log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server runs
    # The reading end becomes the watcher's standard input. Programs that this process starts do not inherit the writing
    # end (PEP 446), so the pipe ends with this process. Only forks copy it, see embedded.py.
    inherited, lifeline = os.pipe()
    try:
        watcher = subprocess.Popen(  # noqa: S603 - this Python, with a program of ours and no shell
            [*watcher_command, *_server_command(files, private, directory, member)],
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
        raise EmbeddedRedisError(
            f"cannot start {files.server}: {message_of(error)}; end other processes, or raise the limits of this user "
            "(ulimit -a)"
        ) from error
    finally:
        os.close(inherited)
    return ServerProcess(watcher, lifeline, log, private, os.getpid(), member)


def _server_command(files: ServerFiles, private: Path, directory: Path | None, member: Member | None) -> list[str]:
    return [
        str(files.server),
        *(("--port", "0") if member is None else _member_options(member, private)),
        *("--unixsocket", str(private / "redis.sock"), "--unixsocketperm", "700"),
        *("--dir", str(directory or private), "--save", ""),
        # An append-only file loses at most one second of writes in a crash; snapshots would lose minutes.
        *("--appendonly", "yes" if directory else "no"),
        # Keeps hashes with a vector of 768 bytes in Redis' compact form: 976 bytes (benchmarks/results/size.md).
        *("--hash-max-listpack-value", "4096"),
        *("--loadmodule", str(files.search_module)),
    ]


def _member_options(member: Member, private: Path) -> Sequence[str]:
    # In a file, since any user of the machine may read the arguments of a process. The nodes of a cluster talk over
    # TCP, which other users can reach, too: the password is what keeps them out.
    secrets = private / "redis.conf"
    secrets.touch(0o600)
    secrets.write_text(f"requirepass {member.password}\nmasterauth {member.password}\n")
    return (
        str(secrets),
        *("--bind", "127.0.0.1", "--port", str(member.port)),
        *("--cluster-enabled", "yes", "--cluster-port", str(member.bus_port), "--cluster-announce-ip", "127.0.0.1"),
        *("--cluster-node-timeout", str(_NODE_TIMEOUT_MS)),
        # A part of a cache is better than none.
        *("--cluster-require-full-coverage", "no"),
        # A replica that was without its primary for a while is still better than an empty shard.
        *("--cluster-replica-validity-factor", "0"),
        *("--repl-diskless-sync-delay", "0"),
        # Nodes name a replica only once it has received something, and an idle primary has nothing else to send.
        *("--repl-ping-replica-period", "1"),
    )


def wait_until_ready(running: ServerProcess) -> None:
    """Return when the server answers. Raises EmbeddedRedisError with what it printed when it does not."""
    from redis import exceptions

    deadline = time.monotonic() + _START_TIMEOUT_S
    with client_of(running) as client:
        while time.monotonic() < deadline:
            try:
                client.ping()
                return
            # Not listening yet, or still loading its files.
            except (exceptions.ConnectionError, exceptions.TimeoutError):
                if running.watcher.poll() is not None:
                    break
                time.sleep(0.005)
    raise EmbeddedRedisError(f"the embedded Redis did not come up; it printed:\n{running.printed()}")


def client_of(running: ServerProcess) -> "Redis":
    """redis-py's client of a server, over its socket; it repeats nothing."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    password = None if running.member is None else running.member.password
    never = Retry(NoBackoff(), 0)
    return Redis(unix_socket_path=str(running.socket), password=password, socket_timeout=5, retry=never)


def stop(*running: ServerProcess) -> None:
    """End servers and remove their private directories; returns when all are gone."""
    # Not in a forked copy of the owner, where finalizers run as well.
    owned = [one for one in running if os.getpid() == one.owner]
    # The watcher reads the end of the pipe and stops the server, with its grace. Only then it exits.
    for one in owned:
        os.close(one.lifeline)
    for one in owned:
        try:
            one.watcher.wait(_GRACE_S + 5)
        except subprocess.TimeoutExpired:
            one.watcher.kill()  # the kernel then kills the server, see watcher.py
            one.watcher.wait()
        one.log.close()
        shutil.rmtree(one.private, ignore_errors=True)
