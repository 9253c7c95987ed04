"""Names of keys and indexes."""

import pytest

from semcache.entries.checks import derived_key, key_name
from semcache.redis.cluster.topology import slot_of
from semcache.redis.keys import KeySpace, entry_id_in


def test_the_scopes_are_those_of_entries_in_the_field() -> None:
    """If this fails, no entry that is stored would be found again."""
    assert KeySpace.of("n", "r", "e").base == "semcache:n:M8Le-Vh6DAI"
    name = key_name(derived_key("a secret of sixteen characters"))
    assert KeySpace.of("n", "r", "e", name).base == "semcache:n:xmU1M0bEsfw"


def test_pinned_tenants_have_a_scope_of_their_own() -> None:
    keys = KeySpace.of("n", "r", "e", pins_tenants=True)
    assert keys.base == "semcache:n:M8Le-Vh6DAIp"
    assert KeySpace.at("n", "M8Le-Vh6DAIp") == keys
    assert KeySpace.at("n", "M8Le-Vh6DAI") == KeySpace.of("n", "r", "e")


def test_all_keys_of_a_pinned_tenant_are_in_one_slot_and_those_of_others_are_not() -> None:
    keys = KeySpace.of("n", "r", "e", pins_tenants=True)

    def of(tenant: str) -> set[int]:
        each = [(keys.vector(tenant, q), keys.scores(tenant, q), keys.lease(tenant, q, "x")) for q in "abcdefgh"]
        documents = [keys.document(tenant, bytes([number]) * 16) for number in range(8)]
        return {slot_of(key) for key in (*(key for entry in each for key in entry), *documents)}

    assert of("acme") == {slot_of(keys.pin("acme") or b"")}
    assert len(of("acme") | of("other")) == 2
    assert len(of("")) == 16
    assert keys.pin("") is None
    assert KeySpace.of("n", "r", "e").pin("acme") is None


@pytest.mark.parametrize("is_pinned", [False, True])
def test_both_keys_of_an_entry_share_a_hash_tag(is_pinned: bool) -> None:
    keys = KeySpace.of("n", "r", "e", pins_tenants=is_pinned)
    for tenant in ("", "acme {x}"):
        family = keys.family(tenant)
        vector, scores = keys.vector(tenant, "q"), keys.scores(tenant, "q")
        assert family.scores_beside(vector) == scores
        assert family.vector_beside(scores) == vector
        assert entry_id_in(vector) == entry_id_in(scores)
        assert vector.count(b"{") == vector.count(b"}") == 1
        assert slot_of(vector) == slot_of(scores) == slot_of(keys.lease(tenant, "q", "x"))
        assert family.tag_in(vector) == keys.tag(tenant)
        assert vector.startswith(keys.start(tenant))
        ((of_tenant, tail),) = keys.families(tenant)
        assert (of_tenant, vector.startswith(family.vectors + tail)) == (family, True)
        assert vector == family.vectors + keys.tail(keys.tag(tenant).decode(), entry_id_in(vector))
