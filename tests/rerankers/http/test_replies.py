"""Errors of services become errors that say what to do, and show neither keys nor documents."""

import json
from typing import Any

import pytest

from semcache.rerankers.http.replies import Reply

SECRETS = ("sk-geheim-1", "a question about me", "my diagnosis is a secret of mine")


def said(status: int, body: Any = b"", **headers: str) -> str:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return str(Reply(status, headers, body).error("ours", "http://host/rerank", SECRETS))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"message": "invalid api token"}, ": invalid api token; check api_key"),
        ({"detail": "Provided API key is invalid."}, ": Provided API key is invalid; check api_key"),
        ({"error": "batch size 40 > maximum allowed batch size 32", "error_type": "Validation"}, ": batch size 40"),
        ({"error": {"message": "The model does not exist", "code": 404}}, ": The model does not exist;"),
        ({"detail": [{"loc": ["body"], "msg": "Field required", "input": {"query": "mine"}}]}, ": Field required;"),
        ({"detail": []}, "401 Unauthorized at http://host/rerank; check api_key"),
        ({"code": 7}, "401 Unauthorized at http://host/rerank; check api_key"),
        (b"<!doctype html><h1>Sign in</h1>", ": a page of HTML; check api_key"),
        (b"upstream said no", ": upstream said no; check api_key"),
        (b"\xff\xfe", "401 Unauthorized at http://host/rerank"),
        (b"", "401 Unauthorized at http://host/rerank; check api_key"),
    ],
)
def test_the_message_of_a_service_is_found_wherever_it_has_it(body: Any, message: str) -> None:
    assert message in said(401, body)


@pytest.mark.parametrize("secret", SECRETS)
def test_what_a_service_repeats_is_not_shown(secret: str) -> None:
    for body in ({"message": f"cannot use {secret!r}"}, f"what is {secret}?".encode()):
        assert secret not in said(400, body)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (400, "max_pairs_per_call"),
        (403, "api_key"),
        (404, "check url and model"),
        (405, "check url"),
        (413, "max_pairs_per_call"),
        (422, "check dialect"),
        (429, "requests_per_minute"),
    ],
)
def test_every_status_that_a_user_can_mend_says_how(status: int, remedy: str) -> None:
    assert remedy in said(status)


def test_a_status_that_has_no_name_is_told_all_the_same() -> None:
    assert said(599) == "ours answered 599 at http://host/rerank"


def test_a_redirect_names_the_new_address_without_its_secrets() -> None:
    error = said(308, location="https://me:geheim@new-host/v2/rerank?token=geheim")
    assert "redirects are not followed; pass url='https://new-host/v2/rerank'" in error
    assert "geheim" not in error
    assert "pass url='/other'" in said(302, location="/other?x=1")


@pytest.mark.parametrize(
    ("status", "may_pass", "after"), [(429, True, 7.0), (503, True, 7.0), (500, False, None), (301, False, None)]
)
def test_what_may_pass_says_when(status: int, may_pass: bool, after: float | None) -> None:
    error = Reply(status, {"retry-after": "7"}, b"").error("ours", "http://host", ())
    assert (error.status, error.may_pass, error.retry_after_s) == (status, may_pass, after)
