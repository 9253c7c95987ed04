"""Keeps a redis-server alive exactly as long as the process that asked for it; run as a script, never imported.

A process of its own, because nothing inside the user's process survives SIGKILL, and because PR_SET_PDEATHSIG fires
when the *thread* that forked ends, which in the user's process may be any short-lived worker. This process has one
thread, so there the signal is right. Its standard input is a pipe whose other end only the user's process holds: end of
file means that process is gone, however it went.

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
    """The server exited by itself, or this process was told to stop."""


def _spawn(command: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
    os._exit(127)


def _has_exited(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # reaped by an earlier look
        return True


def _stop(pid: int, grace_s: float) -> None:
    deadline = time.monotonic() + grace_s
    if grace_s:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)  # a stopped process takes no SIGTERM
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
        # SIGCHLD also comes when the server is merely stopped or continued.
        ended = number == signal.SIGCHLD and bool(pid) and _has_exited(pid)
        if ended or number == signal.SIGTERM:
            raise _Ended

    signal.signal(signal.SIGTERM, on_signal)
    try:
        pid = _spawn(list(command))
        signal.signal(signal.SIGCHLD, on_signal)
        ended = _has_exited(pid)  # it may have gone before the handler was there
        while not ended and os.read(0, 1):
            pass
    except _Ended:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if pid and not ended and not _has_exited(pid):
            _stop(pid, float(grace_s))
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
