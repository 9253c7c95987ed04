"""What an earlier release stored is read by later ones for as long as the format has the same number."""

from collections.abc import Iterator
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
import redis

from semcache.entries.checks import VERSION
from semcache.events import EntryDamaged
from tests.redis.conftest import MakeStore
from tests.redis.stored import CUES, NAMESPACE, NEAR, QUERY, SCORES, TENANT, VARIANTS, load, options_of
from tests.scripted import PATIENCE_S


@pytest.fixture
def _loaded(client: redis.Redis) -> Iterator[None]:
    load(client, VERSION)
    yield
    client.delete(*client.keys(f"semcache:{NAMESPACE}:*"))
    for index in client.execute_command("FT._LIST"):
        if index.startswith(f"semcache:{NAMESPACE}:".encode()):
            client.ft(index.decode()).dropindex()


@pytest.mark.usefixtures("_loaded")
@pytest.mark.parametrize("tenant", ["", TENANT])
@pytest.mark.parametrize("variant", VARIANTS)
async def test_entries_of_this_format_are_read(make_store: MakeStore, variant: str, tenant: str) -> None:
    store = make_store(**options_of(variant))
    assert await store.read_exact(tenant, QUERY) == SCORES
    # The first search makes the index, which the server then fills.
    until = monotonic() + PATIENCE_S
    while not (found := await store.find_neighbours(tenant, NEAR, 2)):
        assert monotonic() < until
    (neighbour,) = found
    assert (neighbour.scores, neighbour.cues) == (SCORES, CUES)
    assert neighbour.similarity == pytest.approx(0.99, abs=2e-3)
    assert neighbour.query == (QUERY if "texts" in variant else None)
    assert await store.remember(tenant, QUERY, None, [(b"another document", 4.0)])
    assert await store.read_exact(tenant, QUERY) == {**SCORES, b"another document": 4.0}


@pytest.mark.usefixtures("_loaded")
@pytest.mark.parametrize(
    "options", [{"reranker": "another"}, {"embedder": "another"}, {"signing_key": "another secret, as long as needed"}]
)
async def test_they_are_of_their_scope_alone(make_store: MakeStore, options: dict[str, Any]) -> None:
    store = make_store(**{**options_of("plain"), **options})
    assert await store.read_exact("", QUERY) is None


async def test_a_release_of_another_format_has_entries_of_its_own(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = f"stored-{uuid4().hex}"
    today = make_store(namespace=namespace)
    assert await today.remember("", QUERY, NEAR, list(SCORES.items()))
    for room in ("semcache.entries.codec", "semcache.entries.fields", "semcache.redis.keys"):
        monkeypatch.setattr(f"{room}.VERSION", b"\x03")
    tomorrow = make_store(namespace=namespace)
    assert await tomorrow.read_exact("", QUERY) is None
    assert await tomorrow.find_neighbours("", NEAR, 2) == []
    assert await tomorrow.remember("", QUERY, NEAR, [(b"another document", 4.0)])
    monkeypatch.undo()
    assert await today.read_exact("", QUERY) == SCORES
    assert [one.scores for one in await today.find_neighbours("", NEAR, 2)] == [SCORES]


@pytest.mark.usefixtures("_loaded")
@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_later_format_reads_changes_and_removes_nothing_of_this_one(
    make_store: MakeStore, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    def stored() -> dict[bytes, bytes]:
        return {key: client.dump(key) for key in client.scan_iter(f"semcache:{NAMESPACE}:*")}

    before = stored()
    for room in ("semcache.entries.codec", "semcache.entries.fields", "semcache.redis.keys"):
        monkeypatch.setattr(f"{room}.VERSION", b"\x03")
    events: list[object] = []
    later = make_store(**options_of(variant), on_event=events.append)
    for tenant in ("", TENANT):
        assert await later.read_exact(tenant, QUERY) is None
        assert await later.read_vector(tenant, QUERY) is None
        assert await later.find_neighbours(tenant, NEAR, 2) == []
        assert await later.remember(tenant, QUERY, NEAR, [(b"another document", 4.0)])
        assert await later.read_exact(tenant, QUERY) == {b"another document": 4.0}
    assert await later.forget(TENANT) == await later.clear() == 1
    assert not [event for event in events if isinstance(event, EntryDamaged)]
    assert stored() == before
