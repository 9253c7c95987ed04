"""Says why something failed: in one line without texts of callers, keys and passwords, and whether by a rate limit."""

import re
from collections.abc import Iterable
from http import HTTPStatus

_LONGEST = 300
"""Characters of a message. More is mostly a response body, and says less."""
_LEFT_OUT = "…"
_WINDOW = 12
"""A part of a text is recognised by this many of its characters. The message is looked at in steps of as many, so every
part of 23 or more is found; smaller steps cost more, and a reranker that fails at every request pays each time."""
_SHORTEST = 4
"""A text of fewer characters is as good as no text, and cutting it out would cut letters out of other words."""

_ENDS = " .,;:"
"""The ends of messages that were whole sentences, or broke off before something that was not said. In our sentence a
remedy or a bracket follows them."""

_SECRETS = (
    # User and password of a url.
    (re.compile(r"(?<=://)[^\s/@]+(?=@)"), "***"),
    (re.compile(r"(?i)\b(bearer|basic) [^\s\"',;]+"), r"\1 ***"),
    (
        re.compile(
            r"(?i)\b([\w-]*(?:key|token|secret|password|passwd|pwd|authorization)[\"']?\s*[:=]\s*[\"']?)"
            r"(?!\*\*\*|bearer|basic)[^\s\"',;&)]+"
        ),
        r"\1***",
    ),
    # The prefixes of well-known services.
    (re.compile(r"\b(sk|pk|hf|ghp|xox[a-z])[-_][\w-]{6,}"), r"\1-***"),
    # Long words of letters and digits are digests, tokens and ids; names of models have hyphens.
    (re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])\w{24,}\b"), "***"),
)
_ESCAPES = re.compile(r"(\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\U[0-9a-fA-F]{8})+")


def cause_of(error: BaseException, texts: Iterable[str] = ()) -> str:
    """Class and message of an error, fit for a log. ``texts`` are those of the request, which the message may quote.

    The message is one line of at most 300 characters, without the full stop at its end. Left out are every part of 23
    or more characters that one of the texts has too, whole texts that are shorter, escaped letters of other alphabets,
    passwords, and whatever looks like a key.

    Example:
        >>> cause_of(ValueError("cannot read 'my diagnosis is secret'"), ["my diagnosis is secret"])
        "ValueError: cannot read '…'"
        >>> cause_of(ConnectionError("redis://me:geheim@host:6379 refused"))
        'ConnectionError: redis://***@host:6379 refused'
    """
    message = shown(str(error), texts)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def message_of(error: BaseException, texts: Iterable[str] = ()) -> str:
    """The words of another library's error, as a part of a sentence of ours: ``cause_of`` without the class.

    Never empty: an error that says nothing is named by its class.

    Example:
        >>> f"localhost cannot be reached: {message_of(OSError('Connection refused.'))}; check the url"
        'localhost cannot be reached: Connection refused; check the url'
        >>> message_of(TimeoutError())
        'TimeoutError'
    """
    return shown(str(error), texts) or type(error).__name__


def shown(message: str, texts: Iterable[str] = ()) -> str:
    """A message of another program, fit for a log: what ``cause_of`` gives after the class of an error.

    Example:
        >>> shown("invalid key sk-1234567890", ["my diagnosis is secret"])
        'invalid key sk-***'
    """
    # Longer than what is shown, so that a password is not cut in two and then no longer looks like one.
    message = " ".join(message.split())[: 4 * _LONGEST].rstrip(_ENDS)
    for pattern, replacement in _SECRETS:
        message = pattern.sub(replacement, message)
    if len(message) > _LONGEST:
        message = message[:_LONGEST] + _LEFT_OUT
    return _ESCAPES.sub(_LEFT_OUT, _without(message, [" ".join(text.split()) for text in texts]))


def is_rate_limited(error: BaseException | None) -> bool:
    """Whether an error says that a service was sent more than it allows (429), whatever client raised it."""
    response = getattr(error, "response", None)
    statuses = (getattr(error, "status", None), getattr(error, "status_code", None))
    return HTTPStatus.TOO_MANY_REQUESTS in (*statuses, getattr(response, "status_code", None))


def _without(message: str, texts: list[str]) -> str:
    """The message without what it has in common with the texts."""
    for text in texts:
        if _SHORTEST <= len(text) < 2 * _WINDOW:
            message = message.replace(text, _LEFT_OUT)
    # A line break is in no message, so nothing is found across two texts.
    everything = "\n".join(text for text in texts if len(text) >= _WINDOW)
    kept: list[str] = []
    start = done = 0
    while start + _WINDOW <= len(message):
        found = everything.find(message[start : start + _WINDOW])
        if found < 0:
            start += _WINDOW
            continue
        first, end = _widest(message, start, everything, found)
        kept += [message[done : max(first, done)], _LEFT_OUT]
        start = done = end
    return "".join([*kept, message[done:]])


def _widest(message: str, start: int, texts: str, found: int) -> tuple[int, int]:
    """Begin and end, in the message, of the longest common part around what was found."""
    end = start + _WINDOW
    after = found + _WINDOW
    while end < len(message) and after < len(texts) and message[end] == texts[after]:
        end, after = end + 1, after + 1
    while start and found and message[start - 1] == texts[found - 1]:
        start, found = start - 1, found - 1
    return start, end
