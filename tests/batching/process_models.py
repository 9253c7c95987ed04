"""Rerankers for worker processes, which import this module by themselves."""

import os
import signal
import time
from collections.abc import Sequence

from semcache.protocols import Pair


class InProcess:
    """Scores a pair by the number of the process, or does what the text says."""

    name = "in-process"
    listwise = False

    def __init__(self, loads: str | None = None) -> None:
        self.loads = loads

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self.loads is not None:
            raise OSError(self.loads)

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        for _, text in pairs:
            if text == "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            if text in ("SIGINT", "SIGTERM"):
                os.kill(os.getpid(), signal.Signals[text])
            if text == "raise":
                raise ValueError("cannot read that")
            if text == "exit":
                raise SystemExit(3)
            if text == "hang":
                time.sleep(3600)
        return [float(os.getpid())] * len(pairs)


def by_words(query: str, texts: list[str]) -> list[float]:
    """One score per text."""
    return [float(len(set(query.split()) & set(text.split()))) for text in texts]
