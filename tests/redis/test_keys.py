"""Names of keys and indexes."""

from semcache.redis.keys import KeySpace, entry_id_in


def test_both_keys_of_an_entry_share_a_hash_tag() -> None:
    keys = KeySpace.of("n", "r", "e")
    for tenant in ("", "acme {x}"):
        family = keys.family(tenant)
        vector, scores = keys.vector(tenant, "q"), keys.scores(tenant, "q")
        assert family.scores_beside(vector) == scores
        assert family.vector_beside(scores) == vector
        assert entry_id_in(vector) == entry_id_in(scores)
        assert vector.count(b"{") == vector.count(b"}") == 1
