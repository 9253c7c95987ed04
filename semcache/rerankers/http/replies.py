"""The response of a rerank service, and the error that says why it is no answer."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from semcache.causes import shown
from semcache.errors import RerankServiceError
from semcache.rerankers.http.attempts import is_passing, retry_after_s

_MESSAGES = ("message", "detail", "error", "msg")  # cohere; Voyage, FastAPI; TEI, OpenAI's format; FastAPI's details

_REMEDIES: Mapping[int, str] = {
    400: "check model and options, or send fewer documents by max_pairs_per_call",
    401: "check api_key",
    403: "check api_key, and what it may be used for",
    404: "check url and model; a url with a path is used as it is, and one without gets the path of the dialect",
    405: "check url; a url with a path is used as it is, and one without gets the path of the dialect",
    413: "send fewer documents by max_pairs_per_call",
    422: "check dialect, model and options, or send fewer documents by max_pairs_per_call",
    429: "set requests_per_minute or pairs_per_minute to what the service allows, or lower concurrency",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers (names in lower case) and body of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_answer(self) -> bool:
        """Whether the service did what it was asked for."""
        return 200 <= self.status < 300

    def error(self, service: str, address: str, secrets: Iterable[str]) -> RerankServiceError:
        """The error of a reply that is no answer; ``secrets`` are texts that it must not show."""
        phrase = f" {HTTPStatus(self.status).phrase}" if self.status in list(HTTPStatus) else ""
        said = shown(_said(self.body), secrets)
        remedy = _REMEDIES.get(self.status, "")
        if 300 <= self.status < 400:
            remedy = f"redirects are not followed; pass url={_without_secrets(self.headers.get('location', ''))!r}"
        return RerankServiceError(
            f"{service} answered {self.status}{phrase} at {address}"
            + (f": {said}" if said else "")
            + (f"; {remedy}" if remedy else ""),
            status=self.status,
            may_pass=is_passing(self.status),
            retry_after_s=retry_after_s(self.headers.get("retry-after")) if is_passing(self.status) else None,
        )


def _said(body: bytes) -> str:
    """The message in the body of an error."""
    text = body.decode("utf-8", "replace").strip()
    try:
        return _message_in(json.loads(text))
    except (ValueError, RecursionError):
        return "a page of HTML" if text.startswith("<") else text


def _message_in(value: Any) -> str:
    if isinstance(value, list):
        return _message_in(value[0]) if value else ""
    if isinstance(value, Mapping):
        return next((_message_in(value[name]) for name in _MESSAGES if value.get(name)), "")
    return str(value)


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path
