"""Keys of services: where they come from, and that no other host is shown them."""

import pytest
from pydantic import SecretStr

from semcache.errors import ConfigurationError
from semcache.rerankers.http.dialects import DIALECTS
from semcache.rerankers.http.endpoint import Endpoint
from semcache.rerankers.http.keys import key_of

COHERE = DIALECTS["cohere"]


def key(url: str | None = None, api_key: str | SecretStr | None = None, variable: str | None = None) -> str | None:
    found = key_of(api_key, variable, COHERE, Endpoint.of(url, COHERE))
    return None if found is None else found.get_secret_value()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CO_API_KEY", "theirs")
    monkeypatch.setenv("OUR_KEY", " ours\n")
    monkeypatch.setenv("EMPTY", " ")


def test_a_key_is_given_or_named() -> None:
    assert key(api_key="given") == "given"
    assert key(api_key=SecretStr("given")) == "given"
    assert key(variable="OUR_KEY") == "ours"


def test_the_variable_of_a_service_is_read_for_its_own_host_alone() -> None:
    assert key() == "theirs"
    assert key("https://api.cohere.com/v2/rerank") == "theirs"
    assert key("https://proxy.internal") is None
    assert key("http://api.cohere.com") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"api_key": "a", "variable": "OUR_KEY"}, "both api_key and api_key_variable are given"),
        ({"variable": "NOT_SET"}, r"the environment variable NOT_SET \(api_key_variable\) is not set"),
        ({"variable": "EMPTY"}, r"EMPTY \(api_key_variable\) is not set"),
        ({"api_key": ""}, "api_key is empty"),
        ({"api_key": "geheim\nX-Header: 1"}, "characters that no header can hold"),
        ({"api_key": "geheim\N{EM DASH}"}, "characters that no header can hold"),
        ({"url": "https://me:geheim@h", "api_key": "geheim"}, "url holds a login and there is an api_key"),
    ],
)
def test_what_cannot_be_used_is_refused_without_being_shown(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        key(**arguments)
    assert "geheim" not in str(caught.value)


def test_a_hosted_service_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CO_API_KEY")
    with pytest.raises(
        ConfigurationError, match=r"https://api\.cohere\.com needs a key; pass api_key, or set CO_API_KEY"
    ):
        key()
    assert key("https://me:pass@api.cohere.com") is None
