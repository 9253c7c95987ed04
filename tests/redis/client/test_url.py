"""A url says where Redis is, never how semcache talks to it, and is not quoted where it may hold a password."""

from pathlib import Path

import pytest

from semcache.errors import ConfigurationError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.url import address_of_url


@pytest.mark.parametrize(
    "url",
    [
        *("redis://:se/cret@host:1", "redis://:se#cret@host", "redis://:12/cret@host", "redis://:12#cret@host"),
        *(
            "redis://:12?cret@host",
            "redis://:12?cret=1@host",
            "http://u:secret@host",
            "secret",
            "redis://h:port",
            "redis://h:99999",
            *("redis+sentinel://:se/cret@h/m", "redis+sentinel://:12?cret@h/m", "redis+sentinel://:se#cret@h/m"),
            *(
                "redis+sentinel://:12/cret@h/m",
                "redis+sentinel://h/m/cret",
                "redis+sentinel:///m",
                "unix+sentinel://h/m",
            ),
            *("redis+sentinel://:secret@h,/m", "redis+sentinel://:secret@h:port/m"),
            *("redis://:secret@h,", "redis://:secret@h,,i", "redis://:secret@h,i:port"),
        ),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read .*percent-encoded") as caught:
        RedisConnection(url)
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "redis_url is None, not a text; write redis://.*is the environment variable that it comes from set"),
        (6379, "redis_url is 6379, not a text; write redis://"),
        (b"redis://:secret@h", "redis_url is a bytes, not a text"),
        ("", "redis_url is empty; write redis://"),
        ("unix://", "redis_url names no socket"),
        ("redis+sentinel://h", "redis_url names no service that the Sentinels watch; write .*/service"),
        ("redis+sentinel://h/m/1", "Redis database 1 .* cannot be used"),
        ("redis+sentinel://h/m?ssl_cert_reqs=none", "is for TLS"),
        ("redis://h?sentinel_password=p", "sentinel_password is no option of a Redis url"),
        ("redis://h?foo=bar", "foo is no option of a Redis url; known are: client_name, "),
        ("redis://h?decode_response=1", r"did you mean decode_responses\?"),
        ("redis://h?ssl_cert_reqs=none", "the option ssl_cert_reqs of the Redis url is for TLS; write rediss://"),
        ("rediss://h?ssl_cert_reqs=nope", "ssl_cert_reqs in the Redis url must be none, optional or required"),
        ("rediss://h?ssl_validate_ocsp=1", "ssl_validate_ocsp .* is unknown to redis-py's connections for event loops"),
        ("rediss://h?ssl_ca_certs=/no/such/file", "ssl_ca_certs .* names /no/such/file, which does not exist"),
        ("redis://h?db=cache", "the value of db in the Redis url cannot be used"),
    ],
)
def test_what_is_wrong_is_named_with_the_remedy(url: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        address_of_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["redis://h/1", "redis://h/1?db=0", "redis://h?db=1", "unix:///s?db=15", "redis://h?db=-1"]
)
def test_a_database_other_than_0_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Redis database -?\d+ \(db=-?\d+\) cannot be used: .*use database 0"):
        address_of_url(url)


@pytest.mark.parametrize(
    ("url", "kind", "parameters"),
    [
        ("redis://h", "tcp", {"host": "h"}),
        ("redis://u%40:p%2Fw@h:1/0", "tcp", {"host": "h", "port": 1, "username": "u@", "password": "p/w", "db": 0}),
        ("redis://h?password=a@b&client_name=&client_name=c", "tcp", {"host": "h", "password": "a@b"}),
        ("unix://u:p@/tmp/a%20b", "unix", {"path": "/tmp/a b", "username": "u", "password": "p"}),
        ("rediss://h?ssl_cert_reqs=none", "tls", {"host": "h", "ssl_cert_reqs": "none"}),
        (f"rediss://h?ssl_ca_certs={Path(__file__)}", "tls", {"host": "h", "ssl_ca_certs": __file__}),
        ("redis://h?health_check_interval=30", "tcp", {"host": "h"}),
        ("redis://h?encoding=latin-1&timeout=5", "tcp", {"host": "h"}),
    ],
)
def test_what_a_url_says(url: str, kind: str, parameters: dict[str, object]) -> None:
    address = address_of_url(url)
    assert (address.kind, address.parameters) == (kind, parameters)


def test_several_hosts_are_the_nodes_of_a_cluster() -> None:
    address = address_of_url("rediss://u:p@h:1,[::1]:2,i?ssl_cert_reqs=none")
    assert [one.where for one in address.each()] == [
        f"Redis at rediss://{host}" for host in ("h:1", "[::1]:2", "i:6379")
    ]
    assert {one.parameters["password"] for one in address.each()} == {"p"}


@pytest.mark.parametrize(
    ("url", "where", "parameters", "at_sentinels"),
    [
        ("redis+sentinel://h/m", "redis+sentinel://h:26379/m", {}, {}),
        (
            "redis+sentinel://u:p%2Fw@h:1,[::1]:2,i/my-master.1/0?sentinel_username=s&sentinel_password=q",
            "redis+sentinel://h:1,[::1]:2,i:26379/my-master.1",
            {"username": "u", "password": "p/w", "db": 0},
            {"username": "s", "password": "q"},
        ),
        (
            "rediss+sentinel://h:1/m?ssl_cert_reqs=none&client_name=c",
            "rediss+sentinel://h:1/m",
            {"ssl_cert_reqs": "none", "client_name": "c"},
            {"ssl_cert_reqs": "none", "ssl": True},
        ),
    ],
)
def test_a_url_of_sentinels(
    url: str, where: str, parameters: dict[str, object], at_sentinels: dict[str, object]
) -> None:
    address = address_of_url(url)
    assert address.sentinels is not None
    assert (address.where, address.parameters) == (f"Redis at {where}", parameters)
    assert address.sentinels.parameters == at_sentinels
    assert "p/w" not in repr(address)


def test_the_password_is_not_in_its_repr() -> None:
    assert "secret" not in repr(address_of_url("redis://:secret@h"))
