"""Names of keys and indexes."""

from semcache.entries.checks import derived_key, key_name
from semcache.redis.keys import KeySpace, entry_id_in


def test_the_scopes_are_those_of_entries_in_the_field() -> None:
    """If this fails, no entry that is stored would be found again."""
    assert KeySpace.of("n", "r", "e").base == "semcache:n:M8Le-Vh6DAI"
    name = key_name(derived_key("a secret of sixteen characters"))
    assert KeySpace.of("n", "r", "e", name).base == "semcache:n:xmU1M0bEsfw"


def test_both_keys_of_an_entry_share_a_hash_tag() -> None:
    keys = KeySpace.of("n", "r", "e")
    for tenant in ("", "acme {x}"):
        family = keys.family(tenant)
        vector, scores = keys.vector(tenant, "q"), keys.scores(tenant, "q")
        assert family.scores_beside(vector) == scores
        assert family.vector_beside(scores) == vector
        assert entry_id_in(vector) == entry_id_in(scores)
        assert vector.count(b"{") == vector.count(b"}") == 1
