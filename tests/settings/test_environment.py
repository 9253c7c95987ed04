"""Variables and files of the application and of its platform are left alone; ours are read, or named."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from semcache.errors import ConfigurationError
from semcache.settings import Settings

KUBERNETES = {
    "SEMCACHE_SERVICE_HOST": "10.0.0.11",
    "SEMCACHE_SERVICE_PORT": "6379",
    "SEMCACHE_SERVICE_PORT_REDIS": "6379",
    "SEMCACHE_PORT": "tcp://10.0.0.11:6379",
    "SEMCACHE_PORT_6379_TCP": "tcp://10.0.0.11:6379",
    "SEMCACHE_PORT_6379_TCP_PROTO": "tcp",
    "SEMCACHE_PORT_6379_TCP_PORT": "6379",
    "SEMCACHE_PORT_6379_TCP_ADDR": "10.0.0.11",
    "SEMCACHE_REDIS_SERVICE_HOST": "10.0.0.12",
    "SEMCACHE_REDIS_PORT": "tcp://10.0.0.12:6379",
    "SEMCACHE_REDIS_PORT_53_UDP_ADDR": "10.0.0.12",
}


def test_variables_of_a_kubernetes_service_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings().model_dump()
    for name, value in KUBERNETES.items():
        monkeypatch.setenv(name, value)
    assert Settings().model_dump() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("SEMCACHE_PORT", "6379"), ("SEMCACHE_REDIS_PORT", "6379"), ("SEMCACHE_REDIS_HOST", "h"), ("SEMCACHE_HOST", "h")],
)
def test_what_looks_like_one_but_was_meant_as_a_setting_is_an_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=rf"{name} \(environment\) is not a setting; "):
        Settings()


@pytest.mark.parametrize(
    "content",
    [
        b"DATABASE_URL=x\nexport A='b c'\nREDIS_URL=redis://h\nMY_SEMCACHE=1\n",
        "# gr\xf6\xdfe\nDATABASE_URL=x\n".encode("latin-1"),
        "DATABASE_URL=gr\xf6\xdfe\n".encode("utf-16-le"),
        b"\x00\xff\x00 binary \x80",
        b"",
    ],
)
def test_a_dotenv_of_the_application_changes_nothing(tmp_path: Path, content: bytes) -> None:
    before = Settings().model_dump()
    (tmp_path / ".env").write_bytes(content)
    assert Settings().model_dump() == before


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_is_no_dotenv(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / ".env")
    assert Settings().cache.ttl_s == 3600


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfSEMCACHE_TTL=7\n",
        "SEMCACHE_TTL=7\r\n".encode("utf-16"),
        b"export SEMCACHE_TTL='7'  # seconds\n",
        "# gr\xf6\xdfe\nSEMCACHE_TTL=7\n".encode(),
        b"SEVEN=7\nSEMCACHE_TTL=${SEVEN}\n",
    ],
)
def test_our_variables_are_read_from_any_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".env").write_bytes(content)
    assert Settings().cache.ttl_s == 7


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("# gr\xf6\xdfe\nSEMCACHE_TTL=7\n".encode("latin-1"), r"UTF-8 \(byte 4\)"),
        ("# gr\xf6\xdfe\nsemcache_ttl=7\n".encode("utf-16-le"), r"UTF-8 \(byte 8\)"),
        ("SEMCACHE_TTL=7\n".encode("utf-16") + b"x", r"UTF-16 \(byte \d+\)"),
    ],
)
def test_ours_in_what_cannot_be_read_are_an_error_that_names_the_file(
    tmp_path: Path, content: bytes, encoding: str
) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(
        ConfigurationError, match=rf"{tmp_path}/\.env sets variables of semcache, .* {encoding}; save it"
    ):
        Settings()


def test_a_file_that_may_not_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").touch()

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root, whom tests may run as, may open any file
    with pytest.raises(ConfigurationError, match=r"cannot read .*\.env: Permission denied; make it readable"):
        Settings()
