"""``semcache export`` and ``semcache import``: the same answers in another Redis, and nothing that does not fit."""

import json
import os
from collections.abc import Callable, Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import pytest
import redis

from semcache import CachedReranker, RedisSemanticCache
from semcache.commands import models as models_module
from semcache.commands.models import Models
from semcache.commands.transfer import source
from semcache.ranking import Ranking
from semcache.redis.client.connection import RedisConnection
from semcache.redis.inspection import count
from semcache.redis.rights import acl_rules
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore
from semcache.settings import Settings
from tests.commands.conftest import DOCUMENTS, QUERIES, Cli, fill
from tests.fakes import CountingReranker, WordEmbedder

ASKED = (*QUERIES, "how is the moon far", "is the moon not far", "something else")
TENANTS = ("", "shop-a", "shop-b")


@pytest.fixture(scope="module")
def other() -> Iterator[EmbeddedRedis]:
    """Another server."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "entries.jsonl"


@pytest.fixture
def exported(filled: Settings, cli: Cli, file: Path) -> Path:
    cli("export", str(file))
    return file


def answers(url: str) -> list[tuple[Any, ...]]:
    """What a pipeline on this Redis answers, and whose model it asked for it."""
    found: list[tuple[Any, ...]] = []
    settings = Settings(redis={"url": url})
    for tenant in TENANTS:
        for query in ASKED:
            reranker = CountingReranker()
            # One by one, since each request is remembered.
            cache = RedisSemanticCache.from_settings(settings, embedder=WordEmbedder())
            with CachedReranker(reranker, cache) as cached:
                ranking: Ranking[str] = cached.rerank(query, DOCUMENTS, 3, tenant=tenant)
            found.append((ranking.status, list(ranking), ranking.scores, ranking.similarity, len(reranker.pairs)))
    return found


@pytest.mark.parametrize("way", ["server to server", "server to cluster", "cluster to server"])
def test_the_same_answers_in_another_redis(
    way: str,
    configured: Settings,
    redis_url: str,
    other: EmbeddedRedis,
    cluster: EmbeddedRedis,
    file: Path,
    cli: Cli,
) -> None:
    here = cluster.url if way.startswith("cluster") else redis_url
    there = cluster.url if way.endswith("cluster") else other.url
    fill(Settings(redis={"url": here}), "", "shop-a")
    cli("export", str(file), "--redis-url", here)
    assert "6 of 6 entries stored" in cli("import", str(file), "--redis-url", there).stderr
    assert answers(there) == answers(here)


def test_ends_and_fields_are_kept(
    exported: Path, cli: Cli, other: EmbeddedRedis, redis_url: str, namespace: str
) -> None:
    cli("import", str(exported), "--redis-url", other.url)
    with redis.Redis.from_url(redis_url) as before, redis.Redis.from_url(other.url) as after:
        keys: Any = before.keys(f"semcache:{namespace}:*v:*")
        assert len(keys) == 2 * len(QUERIES)
        for key in keys:
            assert after.hgetall(key) == before.hgetall(key)
            beside = key.replace(b":v:", b":s:").replace(b":tv:", b":ts:")
            assert after.get(beside) == before.get(beside)
            for each in (key, beside):
                assert abs(int(after.pttl(each)) - int(before.pttl(each))) < 2000


def test_an_entry_that_has_no_end_or_no_vector_keeps_it_so(
    configured: Settings, cli: Cli, other: EmbeddedRedis, file: Path, redis_url: str, namespace: str
) -> None:
    with RedisConnection(redis_url, timeout_s=10) as connection:
        layout: Any = {"namespace": namespace, "reranker": "counting", "embedder": "words", "dims": 64}
        RedisStore(connection, ttl_s=None, **layout).remember("", "q", None, [(b"d" * 16, 1.5)])
    cli("export", str(file))
    cli("import", str(file), "--redis-url", other.url)
    with RedisConnection(other.url, timeout_s=10) as connection:
        assert RedisStore(connection, **layout).read_exact("", "q") == {b"d" * 16: 1.5}
    with redis.Redis.from_url(other.url) as client:
        [key] = client.keys(f"semcache:{namespace}:*")  # type: ignore[misc]
        assert client.pttl(key) == -1


def test_what_is_there_already_stays(exported: Path, cli: Cli, other: EmbeddedRedis) -> None:
    cli("import", str(exported), "--redis-url", other.url)
    said = cli("import", str(exported), "--redis-url", other.url).stderr
    assert "0 of 6 entries stored, 6 were there" in said


def test_what_has_expired_is_left_out(exported: Path, cli: Cli, other: EmbeddedRedis) -> None:
    header, first, *rest = exported.read_text().splitlines(keepends=True)
    over = json.dumps({**json.loads(first), "expires_at": 1000.0}) + "\n"
    exported.write_text("".join((header, over, *rest)))
    assert "can be imported: 6 entries, 1 have expired" in cli("import", str(exported), "--check").stderr
    assert "5 of 6 entries stored, 1 have expired" in cli("import", str(exported), "--redis-url", other.url).stderr


def test_a_file_may_come_by_a_pipe(exported: Path, cli: Cli) -> None:
    receiving, sending = os.pipe()
    with os.fdopen(receiving), os.fdopen(sending, "wb") as pipe:
        pipe.write(exported.read_bytes())
        pipe.close()
        assert "can be imported: 6 entries" in cli("import", f"/dev/fd/{receiving}", "--check").stderr


def test_into_another_namespace(exported: Path, cli: Cli, namespace: str) -> None:
    cli("import", str(exported), "--namespace", f"{namespace}-b")
    found = json.loads(cli("inspect", QUERIES[0], "--namespace", f"{namespace}-b", "--json").stdout)
    assert found["exact"]["known"] == len(DOCUMENTS)
    assert found["exact"]["verdict"].startswith("trusted")


LAYOUTS: dict[str, dict[str, str]] = {
    "usual": {},
    "float32": {"SEMCACHE_CACHE__VECTOR_TYPE": "float32"},
    "links": {"SEMCACHE_CACHE__M": "8"},
    "pinned": {"SEMCACHE_CACHE__PIN": "tenant"},
}


@pytest.mark.parametrize(
    ("before", "after"), [("usual", "float32"), ("float32", "usual"), ("usual", "pinned"), ("pinned", "links")]
)
def test_between_caches_that_are_laid_out_otherwise(
    configured: Settings,
    cli: Cli,
    other: EmbeddedRedis,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    after: str,
) -> None:
    with monkeypatch.context() as patch:
        for name, value in LAYOUTS[before].items():
            patch.setenv(name, value)
        fill(Settings(), "", "shop-a")
        cli("export", str(file))
    for name, value in LAYOUTS[after].items():
        monkeypatch.setenv(name, value)
    assert "6 of 6 entries stored" in cli("import", str(file), "--redis-url", other.url).stderr
    statuses = [answer[0] for answer in answers(other.url)]
    assert statuses[:6] == ["exact", "exact", "exact", "semantic", "verified", "fresh"] == statuses[6:12]
    found = json.loads(cli("inspect", QUERIES[0], "--tenant", "shop-a", "--redis-url", other.url, "--json").stdout)
    assert found["exact"]["known"] == len(DOCUMENTS) and found["neighbours"]
    scopes = json.loads(cli("stats", "--redis-url", other.url, "--json").stdout)["scopes"]
    assert [scope["is_configured"] for scope in scopes if scope["entries"]] == [True]
    assert json.loads(cli("clear", "--yes", "--redis-url", other.url, "--json").stdout)["entries"] >= 6


def test_of_one_tenant(filled: Settings, cli: Cli, file: Path) -> None:
    cli("export", str(file), "--tenant", "shop-a")
    entries = [json.loads(line) for line in file.read_text().splitlines()[1:-1]]
    assert len(entries) == len(QUERIES)
    assert len({entry["tenant"] for entry in entries}) == 1


def test_there_are_no_texts_and_no_names_of_tenants(exported: Path, cli: Cli) -> None:
    text = exported.read_text()
    assert not any(word in text for word in ("moon", "passage", "shop"))


def test_texts_of_queries_are_there_if_they_are_kept(
    configured: Settings, cli: Cli, other: EmbeddedRedis, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMCACHE_CACHE__STORE_QUERIES", "true")
    fill(Settings(), "")
    cli("export", str(file))
    cli("import", str(file), "--redis-url", other.url)
    shown = cli("inspect", "how is the moon far", "--redis-url", other.url).stdout
    assert "'how far is the moon'" in shown


def test_by_a_pipe(filled: Settings, cli: Cli, other: EmbeddedRedis) -> None:
    text = cli("export", "-").stdout
    assert "6 of 6 entries stored" in cli("import", "-", "--redis-url", other.url, input=text).stderr


def test_the_rights_that_are_advised_suffice(
    filled: Settings, cli: Cli, other: EmbeddedRedis, redis_url: str, namespace: str, file: Path
) -> None:
    urls = []
    for url in (redis_url, other.url):
        with redis.Redis.from_url(url) as client:
            client.execute_command("ACL", "SETUSER", *acl_rules(namespace, "advised-transfer").split())
        urls.append(url.replace("unix://", "unix://advised-transfer:password@"))
    cli("export", str(file), "--redis-url", urls[0])
    assert "6 of 6 entries stored" in cli("import", str(file), "--redis-url", urls[1]).stderr
    for command in (("inspect", QUERIES[0]), ("forget", "--document", DOCUMENTS[0]), ("clear", "--yes")):
        cli(*command, "--redis-url", urls[1])


def test_check_stores_nothing(exported: Path, cli: Cli, other: EmbeddedRedis, namespace: str) -> None:
    assert "can be imported: 6 entries" in cli("import", str(exported), "--check", "--redis-url", other.url).stderr
    with redis.Redis.from_url(other.url) as client:
        assert not client.keys(f"semcache:{namespace}:*")


class TestSigned:
    @pytest.fixture
    def signed(self, configured: Settings, cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("SEMCACHE_CACHE__SIGNING_KEY", "a secret of more than sixteen letters")
        fill(Settings(), "")
        cli("export", str(file))
        return file

    def test_entries_stay_verifiable(self, signed: Path, cli: Cli, other: EmbeddedRedis, redis_url: str) -> None:
        cli("import", str(signed), "--redis-url", other.url)
        assert answers(other.url) == answers(redis_url)

    def test_another_key_is_refused(self, signed: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEMCACHE_CACHE__SIGNING_KEY", "another secret of more than sixteen")
        said = cli("import", str(signed), code=2).stderr
        assert "was written with another signing key; set SEMCACHE_CACHE__SIGNING_KEY" in said

    def test_no_key_is_refused(self, signed: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SEMCACHE_CACHE__SIGNING_KEY")
        assert "with another signing key" in cli("import", str(signed), code=2).stderr

    def test_a_forged_entry_is_refused(self, signed: Path, cli: Cli, other: EmbeddedRedis, namespace: str) -> None:
        header, first, second, *rest = signed.read_text().splitlines()
        forged = {**json.loads(second), "id": json.loads(first)["id"]}
        signed.write_text("\n".join((header, first, json.dumps(forged), *rest)))
        said = cli("import", str(signed), "--redis-url", other.url, code=2).stderr
        assert "line 3: this entry cannot be used (check): it was changed, or signed with another key" in said
        with redis.Redis.from_url(other.url) as client:
            assert not client.keys(f"semcache:{namespace}:*"), "nothing is stored before every line was checked"


Damage = Callable[[list[str]], list[str]]


def changed(number: int, old: str, new: str) -> Damage:
    """Changes one line of a file."""
    return lambda lines: [line.replace(old, new) if place == number else line for place, line in enumerate(lines)]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:-1], "is not whole: 6 entries, and no end"),
        (lambda lines: [*lines[:3], lines[-1]], "is not whole: 2 entries, and an end after 6"),
        (lambda lines: [*lines, lines[1]], "is not whole"),
        (lambda lines: lines[1:], "line 1: this is no export of semcache"),
        (lambda lines: [], "line 1: not JSON"),
        (lambda lines: [lines[0], "[]\n", *lines[2:]], "line 2: [] is no JSON object"),
        (lambda lines: [lines[0], lines[1][:-20], *lines[2:]], "line 2: not JSON"),
        (changed(0, '"semcache export": 1', '"semcache export": 2'), "another release"),
        (changed(0, '"dims": 64', '"dims": "64"'), "the header is damaged"),
        (changed(1, '"id": "', '"id": "x'), "line 2: this is no whole entry"),
        *(
            (changed(1, '"expires_at": ', f'"expires_at": {end}, "was": '), "line 2: this is no whole entry")
            for end in ("1e300", "-Infinity", "NaN", f"1{'0' * 400}")
        ),
        (lambda lines: [lines[0], f"{'[' * 100_000}\n", *lines[2:]], "line 2: not JSON"),
        (changed(1, '"tenant": ""', '"tenant": "0123456789abcdef"'), "line 2: this entry cannot be used (check)"),
    ],
)
def test_a_damaged_file_is_refused_whole(
    exported: Path, cli: Cli, other: EmbeddedRedis, namespace: str, damage: Damage, said: str
) -> None:
    exported.write_text("".join(damage(exported.read_text().splitlines(keepends=True))))
    assert said in cli("import", str(exported), "--redis-url", other.url, code=2).stderr
    with redis.Redis.from_url(other.url) as client:
        assert not client.keys(f"semcache:{namespace}:*")


@pytest.mark.parametrize(
    ("reranker", "embedder", "said"),
    [
        ("counting two", "words", "has scores of counting, and the reranker here is counting two; set the reranker"),
        ("counting", "words two", "has vectors of words, and the embedder here is words two; set the embedder"),
    ],
)
def test_other_models_are_refused(
    exported: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, reranker: str, embedder: str, said: str
) -> None:
    words = WordEmbedder()
    words.name = embedder
    monkeypatch.setattr(models_module, "configured_models", lambda settings: Models(words, CountingReranker(reranker)))
    assert said in cli("import", str(exported), code=2).stderr


def test_a_file_is_not_replaced_by_mistake(exported: Path, cli: Cli) -> None:
    before = exported.read_text()
    assert "pass --overwrite" in cli("export", str(exported), code=2).stderr
    assert exported.read_text() == before
    cli("export", str(exported), "--overwrite")


def test_a_file_that_is_not_there_is_named(configured: Settings, cli: Cli, tmp_path: Path) -> None:
    assert "cannot read" in cli("import", str(tmp_path / "none"), code=2).stderr
    assert "make it first" in cli("export", str(tmp_path / "none" / "a"), code=2).stderr


class TestStopped:
    """Ctrl-C in the middle of many entries."""

    ENTRIES = 250

    @pytest.fixture
    def many(self, configured: Settings, namespace: str, redis_url: str) -> None:
        vector = WordEmbedder().embed(["a query"])[0]
        with RedisConnection(redis_url, timeout_s=10) as connection:
            store = RedisStore(connection, namespace=namespace, reranker="counting", embedder="words", dims=64)
            for number in range(self.ENTRIES):
                store.remember("", f"query {number}", vector, [(b"d" * 16, float(number))])

    @staticmethod
    def stopping(call: Callable[..., Any], after: int) -> Callable[..., Any]:
        """The function, until it was called so often; then Ctrl-C."""
        calls = 0

        def stopped(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > after:
                raise KeyboardInterrupt
            return call(*arguments)

        return stopped

    def test_an_export_goes_on_where_it_stopped(
        self, many: None, cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            # The first call looks whether there is anything.
            patch.setattr(source, "read_raw", self.stopping(source.read_raw, 3))
            said = cli("export", str(file), code=130).stderr
        assert "the same command goes on" in said
        assert not file.exists()
        part = file.with_name(f"{file.name}.part")
        with part.open("a") as output:
            output.write('{"id": "half a li')
        cli("export", str(file))
        lines = file.read_text().splitlines()
        assert len(lines) == self.ENTRIES + 2 and not part.exists()
        assert len({json.loads(line)["id"] for line in lines[1:-1]}) == self.ENTRIES
        assert json.loads(lines[-1]) == {"end": self.ENTRIES}
        assert f"{self.ENTRIES} entries" in cli("import", str(file), "--check").stderr

    def test_the_part_of_another_export_is_refused(self, exported: Path, cli: Cli, namespace: str) -> None:
        exported.rename(exported.with_name("b.part"))
        said = cli("export", str(exported.with_name("b")), "--namespace", f"{namespace}-b", code=2).stderr
        assert "is of another export; remove it" in said

    @pytest.mark.parametrize(
        "rest",
        [
            b"\0" * 4096,
            b"\0" * 100 + b"\n",
            b'{"id": "\xff\xfe"}\n',
            b"[" * 100_000 + b"\n",
            b'{"end": 6}\n',
            b'{"id": "' + b"A" * 22 + b'", "tenant": "", "scores": "", "expires_at": 1' + b"0" * 400 + b"}\n",
        ],
        ids=["zeros", "a line of zeros", "not UTF-8", "brackets", "an end", "a time without end"],
    )
    def test_what_is_no_whole_entry_is_cut_off(self, exported: Path, cli: Cli, rest: bytes) -> None:
        lines = exported.read_bytes().splitlines(keepends=True)
        exported.rename(exported.with_name("b.part"))
        exported.with_name("b.part").write_bytes(b"".join([*lines[:3], rest, *lines[3:]]))
        cli("export", str(exported.with_name("b")))
        assert "6 entries" in cli("import", str(exported.with_name("b")), "--check").stderr

    @pytest.mark.parametrize("begun", [0, 1, 30])
    def test_a_header_that_was_not_finished_is_written_anew(self, exported: Path, cli: Cli, begun: int) -> None:
        exported.with_name("b.part").write_bytes(exported.read_bytes()[:begun])
        cli("export", str(exported.with_name("b")))
        assert "6 entries" in cli("import", str(exported.with_name("b")), "--check").stderr

    @pytest.mark.parametrize("content", ["a note", "a note\n", "\0\0", '{"query": "a"}\n'])
    def test_a_file_of_the_users_own_is_left_as_it_is(
        self, filled: Settings, cli: Cli, file: Path, content: str
    ) -> None:
        own = file.with_name(f"{file.name}.part")
        own.write_text(content)
        assert "is of another export; remove it" in cli("export", str(file), code=2).stderr
        assert own.read_text() == content

    def test_two_exports_to_one_file(self, filled: Settings, cli: Cli, file: Path) -> None:
        with file.with_name(f"{file.name}.part").open("a") as output:
            flock(output, LOCK_EX)
            assert "is being written by another export" in cli("export", str(file), code=2).stderr
        cli("export", str(file))
        assert "6 entries" in cli("import", str(file), "--check").stderr

    def test_what_was_exported_of_all_tenants_is_not_taken_for_one_of_them(self, exported: Path, cli: Cli) -> None:
        exported.rename(exported.with_name("b.part"))
        said = cli("export", str(exported.with_name("b")), "--tenant", "shop-a", code=2).stderr
        assert "is of another export; remove it" in said
        assert not exported.with_name("b").exists()

    @pytest.mark.parametrize("tenant", ["", "shop-a"])
    def test_what_was_exported_of_a_tenant_goes_on(self, filled: Settings, cli: Cli, file: Path, tenant: str) -> None:
        for _ in range(2):
            cli("export", str(file), "--tenant", tenant)
            # As if it could not be given its name.
            whole = file.read_text()
            file.rename(file.with_name(f"{file.name}.part"))
        assert len(whole.splitlines()) == len(QUERIES) + 2
        cli("export", str(file))
        assert len(file.read_text().splitlines()) == 2 * len(QUERIES) + 2

    def test_an_import_goes_on_where_it_stopped(
        self,
        many: None,
        cli: Cli,
        file: Path,
        other: EmbeddedRedis,
        namespace: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from semcache.flow.drive import drive
        from semcache.redis import transfer
        from semcache.redis.operation import StoreState

        cli("export", str(file))
        with monkeypatch.context() as patch:
            patch.setattr(transfer, "store_raw", self.stopping(transfer.store_raw, 1))
            said = cli("import", str(file), "--redis-url", other.url, code=130).stderr
        assert "stopped; 100 entries stored" in said
        with RedisConnection(other.url, timeout_s=10) as connection:
            state = StoreState.of("there", namespace=namespace, reranker="counting", embedder="words", dims=64)
            assert drive(count(state), connection.execute) == 100
            assert (
                "150 of 250 entries stored, 100 were there" in cli("import", str(file), "--redis-url", other.url).stderr
            )
            assert drive(count(state), connection.execute) == self.ENTRIES
