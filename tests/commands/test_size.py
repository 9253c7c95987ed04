"""``semcache size``: figures of the memory formula in plain words."""

import json

import pytest
from typer.testing import CliRunner

from semcache.commands.app import app
from semcache.redis.memory import Contents, footprint
from semcache.redis.memory_advice import advise


@pytest.fixture(autouse=True)
def _namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_NAMESPACE", "n")


def _size(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["size", "--entries", "100000", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_it_says_what_to_set() -> None:
    advice = advise(Contents(entries=100_000, dims=384, namespace="n"))
    shown = _size()
    assert f"100,000 entries in the server: {advice.expected / 2**20:.0f} MiB" in shown
    assert f"maxmemory {advice.maxmemory // 2**20}mb\n" in shown
    assert "maxmemory-policy allkeys-lru\n" in shown
    assert "hash-max-listpack-value 4096\n" in shown


def test_every_option_counts() -> None:
    options = ("--dims=768", "--scores=100", "--type=float32", "--m=8", "--tenants=7", "--documents=1000")
    shown = json.loads(_size(*options, "--document-vectors", "--shards=3", "--json"))
    contents = Contents(
        entries=100_000,
        dims=768,
        scores=100,
        vector_type="float32",
        m=8,
        tenants=7,
        documents=1000,
        has_document_vectors=True,
        namespace="n",
    )
    advice = advise(contents, 3)
    assert (shown["maxmemory"], shown["machine"], shown["shards"]) == (advice.maxmemory, advice.machine, 3)
    assert shown["per_server"]["total"] == pytest.approx(advice.expected)


def test_the_settings_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_TTL", "none")
    monkeypatch.setenv("SEMCACHE_CACHE__SIGNING_KEY", "a secret of its own")
    shown = json.loads(_size("--json"))["per_server"]
    said = footprint(Contents(entries=100_000, dims=384, namespace="n", expires=False, is_signed=True))
    assert (shown["hashes"], shown["strings"]) == (said.hashes, said.strings)


def test_small_vectors_need_no_setting_of_the_server() -> None:
    assert "hash-max-listpack-value" not in _size("--dims=16")
