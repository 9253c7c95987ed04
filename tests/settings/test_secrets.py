"""Passwords are used and never shown."""

from collections.abc import Callable

import pytest

from semcache.errors import ConfigurationError
from semcache.settings import Redis, Settings, explain, hidden

UNREADABLE = [
    "",
    "a signing key",
    "redis://:12/p@h:1/0",
    "redis://:12#p@h:1",
    "redis://:12?p@h:1/0",
    "redis://:[p@h:1",
    "redis://:1/p",
    "redis://h:1/p",
    "redis://h:p",
    "redis:/:p@h",
    "//:p@h:1",
    "ftp://p@h",
    "http://:12/p@h",
    "http://:12?p@h",
    "unix://p",
    "unix://:1/p@/tmp/s.sock",
]
"""What stands behind a login that ends early may be a part of the password, which is p here."""


class TestSecrets:
    URL = "redis://me:pa:ss/w@rd@host:6379/0"

    def test_the_url_is_usable(self) -> None:
        assert Settings(redis={"url": self.URL}).redis.url.get_secret_value() == self.URL

    @pytest.mark.parametrize(
        "show", [repr, str, lambda s: str(explain(s)), lambda s: repr(s.redis), lambda s: s.model_dump_json()]
    )
    def test_no_display_shows_the_password(self, show: Callable[[Settings], str]) -> None:
        assert "pa:ss" not in show(Settings(redis={"url": self.URL}))

    def test_what_is_not_secret_is_shown(self) -> None:
        lines = {line.setting: line.value for line in explain(Settings(redis={"url": "redis://me:p@host:6379/0"}))}
        assert lines["redis.url"] == "redis://host:6379/0"

    @pytest.mark.parametrize(
        "environment",
        [
            {"SEMCACHE_REDIS_URL": "http://me:geheim@h"},
            {"SEMCACHE_REDIS_URL": "redis://me:geheim@h", "SEMCACHE_REDIS__URL": "redis://me:geheim@h2"},
            {"SEMCACHE_REDIS_URL": "redis://me:geheim@h", "SEMCACHE_REDIS__TIMEOUT_S": "-1"},
            {"SEMCACHE_REDIS_URL": "redis://me:geheim@h", "SEMCACHE_REDIS__RETRY_AFTER_S": "60"},
            {"SEMCACHE_RERANKERS": '{"kind": "http", "dialect": "cohere", "api_key": "geheim"}'},
            {"SEMCACHE_RERANKERS": '{"kind": "http", "dialect": "cohere", "apikey": "geheim"}'},
            {"SEMCACHE_RERANKERS": "kind: http, dialect: cohere, api_key: geheim"},
        ],
    )
    def test_no_error_shows_the_password(self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError) as caught:
            Settings()
        assert "geheim" not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://h:1", "redis://h:1"),
            ("redis://:p@h", "redis://h"),
            ("redis://h?password=p&db=1", "redis://h/1"),
            ("redis://h?password=p&db=p", "redis://h"),
            ("rediss://u:p@[::1]:6380/0", "rediss://[::1]:6380/0"),
            ("redis://p@h:1/2", "redis://h:1/2"),
            ("redis://:a@p@h:1", "redis://h:1"),
            ("unix://u:p@/tmp/s.sock?password=p", "unix:///tmp/s.sock"),
            ("unix:///tmp/s.sock", "unix:///tmp/s.sock"),
            ("embedded", "embedded"),
            ("rediss://u@h", "rediss://h"),
            ("https://me:p@h:8080/v1/rerank?token=p", "https://h:8080/v1/rerank"),
            *((url, "***") for url in UNREADABLE),
        ],
    )
    def test_host_port_and_database_are_shown(self, url: str, shown: str) -> None:
        assert hidden(url) == shown

    def test_a_section_alone_hides_it_too(self) -> None:
        assert "pa:ss" not in repr(Redis(url=self.URL))
