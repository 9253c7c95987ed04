"""Causes that may stand in a log: the reason is kept, texts of the request, keys and passwords are not."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.causes import cause_of, is_rate_limited
from semcache.errors import RerankServiceError

DOCUMENT = "The patient John Smith was diagnosed with a rare disease in May and must not be named anywhere."
QUERY = "diagnosis of j. smith"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory"),
        (ConnectionRefusedError(111, "Connection refused"), "ConnectionRefusedError: [Errno 111] Connection refused"),
        (ValueError(), "ValueError"),
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (RuntimeError("no model ms-marco-MiniLM-L-12-v2 here"), "RuntimeError: no model ms-marco-MiniLM-L-12-v2 here"),
        (ValueError("token limit exceeded"), "ValueError: token limit exceeded"),
    ],
)
def test_the_reason_is_kept(error: Exception, cause: str) -> None:
    assert cause_of(error, [QUERY, DOCUMENT]) == cause


def test_a_long_message_is_cut() -> None:
    assert len(cause_of(RuntimeError("so long " * 1000))) < 330


@pytest.mark.parametrize(
    "message",
    [
        f"cannot read {DOCUMENT!r}",
        f"cannot read {DOCUMENT[:60]}...",
        f"cannot read {DOCUMENT[10:40]}",
        f"{DOCUMENT[4:44]} / {DOCUMENT[44:]}",
        f"bad query: {QUERY}",
        "bad pair: " + str((QUERY, DOCUMENT)),
        "two\nlines of " + DOCUMENT.replace(" ", "\n"),
    ],
)
def test_texts_of_the_request_are_left_out(message: str) -> None:
    cause = cause_of(ValueError(message), [QUERY, DOCUMENT])
    assert "…" in cause
    for word in ("Smith", "smith", "disease", "diagnos"):
        assert word not in cause


def test_texts_in_other_alphabets_are_left_out_as_they_are_and_escaped() -> None:
    text = "这个病人的诊断结果不能告诉任何其他人因为它是一个重要的秘密"
    for quoted in (text, repr(text), ascii(text)):
        assert cause_of(ValueError(f"cannot read {quoted} here"), [text]).replace("'", "") == (
            "ValueError: cannot read … here"
        )


def test_a_text_of_a_letter_cuts_no_words() -> None:
    assert cause_of(ValueError("cannot read a table"), ["a", "ta"]) == "ValueError: cannot read a table"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("redis://me:geheim@host:6379 refused", "redis://***@host:6379 refused"),
        ("rediss://:geheim@host refused", "rediss://***@host refused"),
        (
            "GET https://api.example.com/v1?api_key=geheim&n=3 gave 401",
            "GET https://api.example.com/v1?api_key=***&n=3",
        ),
        ("Authorization: Bearer geheim", "Authorization: Bearer ***"),
        ("{'token': 'geheim', 'n': 3}", "{'token': '***', 'n': 3}"),
        ("password=geheim host=a", "password=*** host=a"),
        ("Incorrect API key provided: sk-geheim123.", "Incorrect API key provided: sk-***"),
        ("key semcache:d3b07384d113edec49eaa6238ad5ff00", "key semcache:***"),
    ],
)
def test_keys_and_passwords_are_hidden(message: str, shown: str) -> None:
    cause = cause_of(ValueError(message))
    assert "geheim" not in cause
    assert cause.startswith(f"ValueError: {shown}")


def test_a_password_at_the_cut_is_hidden_too() -> None:
    assert "geheim" not in cause_of(ValueError("x" * 285 + " redis://me:geheim@host"))


@given(st.text(min_size=23, max_size=200), st.data())
def test_no_part_of_23_characters_of_a_text_gets_through(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 23))
    cause = cause_of(ValueError(f"cannot read <{text[start : start + 100]}> here"), ["another text", text])
    plain = " ".join(text.split())
    assert not any(plain[at : at + 23] in cause for at in range(len(plain) - 22))


@pytest.mark.parametrize(
    ("error", "is_limited"),
    [
        (RerankServiceError("too many", status=429), True),
        (RerankServiceError("overloaded", status=503), False),
        (httpx.HTTPStatusError("", request=httpx.Request("POST", "http://a"), response=httpx.Response(429)), True),
        (httpx.HTTPStatusError("", request=httpx.Request("POST", "http://a"), response=httpx.Response(500)), False),
        (ValueError("429"), False),
        (None, False),
    ],
)
def test_a_rate_limit_is_recognised_by_the_status_whatever_client_raised_it(
    error: BaseException | None, is_limited: bool
) -> None:
    assert is_rate_limited(error) is is_limited
