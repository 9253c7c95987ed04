"""The answer in place of a ranking: a status, a sentence, and when to come again."""

from collections.abc import Mapping
from http import HTTPStatus

from pydantic import BaseModel


class Refusal(BaseModel):
    """One sentence, where clients of Cohere (message), Jina (detail) and TEI (error, error_type) look for it."""

    message: str
    detail: str
    error: str
    error_type: str


class RefusedError(Exception):
    """A request that is not answered by a ranking; ``status`` is that of HTTP, ``retry_after_s`` when to come again."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def body(self) -> dict[str, str]:
        """A Refusal, ready for JSON."""
        said, kind = str(self), HTTPStatus(self.status).phrase
        return Refusal(message=said, detail=said, error=said, error_type=kind).model_dump()

    @property
    def headers(self) -> Mapping[str, str]:
        """Retry-After, and for a missing key how to give one."""
        if self.status == HTTPStatus.UNAUTHORIZED:
            return {"WWW-Authenticate": "Bearer"}
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
