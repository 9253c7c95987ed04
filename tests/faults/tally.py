"""Counts what becomes of requests that are made one by one."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

from tests.faults.subjects import Answer, Subject
from tests.faults.traffic import TOP_K, fate_of


@dataclass
class Tally:
    """``leaked``: hits of requests that were the first of their tenant, namespace or query. ``note``: what else."""

    requests: int = 0
    failed: int = 0
    wrong: int = 0
    leaked: int = 0
    degraded: int = 0
    unanswered: int = 0
    error: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        self._lock = Lock()

    def ask(
        self, subject: Subject, query: str, documents: Sequence[str], tenant: str = "", *, is_first: bool = False
    ) -> None:
        """Make a request and count it."""
        answer, error = None, ""
        try:
            answer = subject.rerank(query, documents, min(TOP_K, len(documents)), tenant)
        except BaseException as raised:  # noqa: BLE001 - whatever comes to the caller is counted
            error = f"{type(raised).__name__}: {str(raised)[:200]}"
        self.count(answer, error, query, documents, is_first=is_first)

    async def await_(
        self, subject: Subject, query: str, documents: Sequence[str], tenant: str = "", *, is_first: bool = False
    ) -> None:
        """``ask`` in an event loop."""
        answer, error = None, ""
        try:
            answer = await subject.arerank(query, documents, min(TOP_K, len(documents)), tenant)
        except asyncio.CancelledError as raised:
            error = type(raised).__name__
        except Exception as raised:  # noqa: BLE001 - whatever comes to the caller is counted
            error = f"{type(raised).__name__}: {str(raised)[:200]}"
        self.count(answer, error, query, documents, is_first=is_first)

    def count(
        self, answer: Answer | None, error: str, query: str, documents: Sequence[str], *, is_first: bool = False
    ) -> None:
        fate, is_wrong = fate_of(answer, query, documents, min(TOP_K, len(documents)))
        with self._lock:
            self.requests += 1
            self.failed += fate == "failed"
            self.degraded += fate == "degraded"
            self.wrong += is_wrong
            self.leaked += is_first and fate == "hit"
            self.error = self.error or error

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
