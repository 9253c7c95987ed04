"""Keeps a redis-server alive exactly as long as the process that asked for it; run as a script, never imported.

This is a process of its own for two reasons. Nothing inside the user's process survives SIGKILL. And the kernel's
signal at the parent's death (PR_SET_PDEATHSIG) comes when the *thread* that forked ends, which in the user's process
may be any short-lived worker; this process has one thread, so here the signal is right.

Standard input is a pipe whose other end only the user's process holds. Its end of file means that the user's process is
gone, however it ended.

Arguments: seconds of grace for a clean shutdown (0: nothing to save), the private directory to remove, the command.
"""

import ctypes
import os
import shutil
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1


class _Ended(Exception):  # noqa: N818 - not an error
    """The server has exited, or this process got SIGTERM. Raised out of ``os.read`` by the signal handler."""


def _spawn(command: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        if sys.platform == "linux":
            # Set in the child, before it becomes the server: if this process is killed, the kernel kills the server.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execv(command[0], command)  # noqa: S606 - without a shell on purpose: nothing is to be expanded
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
    os._exit(127)  # not sys.exit: this is a copy of the watcher, whose clean-up must run once


def _has_exited(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # an earlier call has collected it
        return True


def _stop(pid: int, grace_s: float) -> None:
    deadline = time.monotonic() + grace_s
    if grace_s:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)  # a stopped process acts on SIGTERM only when it goes on
    while time.monotonic() < deadline:
        if _has_exited(pid):
            return
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def main(grace_s: str, directory: str, *command: str) -> None:
    pid = 0
    ended = False

    def on_signal(number: int, _frame: object) -> None:
        nonlocal ended
        # SIGCHLD also comes when the server was stopped or continued.
        ended = number == signal.SIGCHLD and bool(pid) and _has_exited(pid)
        if ended or number == signal.SIGTERM:
            raise _Ended

    signal.signal(signal.SIGTERM, on_signal)
    try:
        pid = _spawn(list(command))
        # The handler first, then the look: a server that ended before is seen here, one that ends later by the handler.
        signal.signal(signal.SIGCHLD, on_signal)
        ended = _has_exited(pid)
        # Nothing is ever written to the pipe: this waits for its end of file, or for a signal.
        while not ended and os.read(0, 1):
            pass
    except _Ended:
        pass
    finally:
        # From here on signals may not interrupt: a second SIGTERM would leave the server and the directory behind.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if pid and not ended and not _has_exited(pid):
            _stop(pid, float(grace_s))
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
