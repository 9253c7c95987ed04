"""Passwords are used and never shown."""

from collections.abc import Callable

import pytest

from semcache.errors import ConfigurationError
from semcache.settings import Redis, Settings, explain, hidden


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
        lines = {line.setting: line.value for line in explain(Settings(redis={"url": self.URL}))}
        assert lines["redis.url"] == "redis://me:***@host:6379/0"

    @pytest.mark.parametrize(
        "environment",
        [
            {"SEMCACHE_REDIS_URL": "http://me:geheim@h"},
            {"SEMCACHE_REDIS_URL": "redis://me:geheim@h", "SEMCACHE_REDIS__URL": "redis://me:geheim@h2"},
            {"SEMCACHE_REDIS_URL": "redis://me:geheim@h", "SEMCACHE_REDIS__TIMEOUT_S": "-1"},
            {"SEMCACHE_REDIS_URL": "redis://me:geheim@h", "SEMCACHE_REDIS__RETRY_AFTER_S": "60"},
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
            ("redis://:p@h", "redis://:***@h"),
            ("redis://h?password=p&db=1", "redis://h?password=***&db=1"),
            ("unix:///tmp/s.sock", "unix:///tmp/s.sock"),
            ("embedded", "embedded"),
            ("rediss://u@h", "rediss://u@h"),
        ],
    )
    def test_only_the_password_is_hidden(self, url: str, shown: str) -> None:
        assert hidden(url) == shown

    def test_a_section_alone_hides_it_too(self) -> None:
        assert "pa:ss" not in repr(Redis(url=self.URL))
