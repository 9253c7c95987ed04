"""Addresses of services: which path they get, what of them is shown, and which are refused."""

import pytest

from semcache.errors import ConfigurationError
from semcache.rerankers.http.dialects import DIALECTS
from semcache.rerankers.http.endpoint import Endpoint

TEI, COHERE = DIALECTS["tei"], DIALECTS["cohere"]


@pytest.mark.parametrize(
    ("url", "sent", "place"),
    [
        ("http://localhost:8080", "http://localhost:8080/rerank", "localhost:8080"),
        ("http://localhost:8080/", "http://localhost:8080/rerank", "localhost:8080"),
        (" http://LOCALHOST:80 ", "http://localhost/rerank", "localhost"),
        ("https://h:443/gateway/rerank", "https://h/gateway/rerank", "h/gateway/rerank"),
        ("https://h/rerank?api-version=1", "https://h/rerank?api-version=1", "h"),
        ("http://[::1]:8080", "http://[::1]:8080/rerank", "[::1]:8080"),
    ],
)
def test_a_url_without_a_path_gets_that_of_the_dialect(url: str, sent: str, place: str) -> None:
    endpoint = Endpoint.of(url, TEI)
    assert (endpoint.url, endpoint.place) == (sent, place)


def test_a_dialect_with_a_hosted_service_needs_no_url() -> None:
    endpoint = Endpoint.of(None, COHERE)
    assert (endpoint.url, endpoint.is_own) == ("https://api.cohere.com/v2/rerank", True)


@pytest.mark.parametrize("url", ["https://api.cohere.com.example.org", "http://api.cohere.com", "https://proxy"])
def test_another_host_is_not_the_hosted_service(url: str) -> None:
    assert not Endpoint.of(url, COHERE).is_own


def test_login_and_query_are_used_and_not_shown() -> None:
    endpoint = Endpoint.of("https://me:ge%2Fheim@host:9000/rerank?token=geheim", TEI)
    assert endpoint.login == ("me", "ge/heim")
    assert endpoint.url == "https://host:9000/rerank?token=geheim"
    assert endpoint.shown == "https://host:9000/rerank"
    assert "heim" not in repr(endpoint)


@pytest.mark.parametrize(
    "url", ["https://me:12/heim@h", "https://me:12?heim@h", "https://me:12#heim@h", "https://h/#heim"]
)
def test_a_password_that_is_not_encoded_is_neither_sent_nor_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="percent-encode user and password") as caught:
        Endpoint.of(url, TEI)
    assert "heim" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://geheim@h", "http://", "http://h:geheim", "https:///rerank", "http://[::geheim"]
)
def test_what_is_no_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"url|pass url") as caught:
        Endpoint.of(url, TEI)
    assert "geheim" not in str(caught.value)
