"""Tags that put the name of an index on the right shard, and that all processes agree on."""

import pytest

from semcache.redis.cluster.topology import Node, Topology, choose_tag, slot_of, tag_in, tag_of_slot

A, B = Node("a", 1), Node("b", 2)


@pytest.mark.parametrize("slot", [0, 1, 8191, 16383])
def test_a_tag_lies_in_its_slot(slot: int) -> None:
    assert slot_of(tag_of_slot(slot)) == slot
    assert slot_of(f"semcache:docs:scope:named:{{{tag_of_slot(slot)}}}") == slot
    assert tag_in(f"semcache:docs:scope:named:{{{tag_of_slot(slot)}}}") == tag_of_slot(slot)


def test_an_index_without_a_tag_has_none() -> None:
    assert tag_in("semcache:docs:scope:named") == ""


class TestChoice:
    there = (f"semcache:a:{{{tag_of_slot(5)}}}", f"semcache:b:{{{tag_of_slot(7)}}}", f"semcache:c:{{{tag_of_slot(7)}}}")

    def test_the_highest_slot_where_there_is_no_index(self) -> None:
        assert choose_tag(range(10), ["semcache:other"]) == tag_of_slot(9)

    def test_that_of_most_indexes_which_are_there(self) -> None:
        assert choose_tag(range(10), self.there) == tag_of_slot(7)

    def test_not_that_of_an_index_whose_slot_has_moved_away(self) -> None:
        assert choose_tag(range(6), self.there) == tag_of_slot(5)
        assert choose_tag(range(4), self.there) == tag_of_slot(3)

    def test_the_present_one_as_long_as_its_slot_is_owned(self) -> None:
        assert choose_tag(range(10), self.there, tag_of_slot(2)) == tag_of_slot(2)
        assert choose_tag(range(3, 10), self.there, tag_of_slot(2)) == tag_of_slot(7)


def test_with_a_coordinator_an_index_has_one_name() -> None:
    owners = [A] * 8000 + [B] * 8384
    apart = Topology(0, owners, {A: tag_of_slot(1), B: tag_of_slot(9000)})
    together = Topology(0, owners, {A: tag_of_slot(1), B: tag_of_slot(9000)}, has_coordinator=True)
    assert apart.owner(apart.index_on(B, "i")) == B
    assert together.index_on(B, "i") == "i"
