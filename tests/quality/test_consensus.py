"""Evidence of several tenants: none of them decides for all."""

from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from semcache.quality import sequential_test
from semcache.quality.consensus import decide_for_all, pooled
from semcache.quality.statistics import EXACT, ReuseStatistics
from semcache.quality.trust import NEVER, Trust, decide

LIMITS = (0.97, 0.01, 0.9)


def seen(count: int, loss: float) -> ReuseStatistics:
    losses = np.zeros(sequential_test.BINS)
    losses[sequential_test.bin_of(loss)] = count
    return ReuseStatistics(recent=losses, loss=count * loss)


GOOD, BAD = {"0.98": seen(400, 0.0)}, {"0.98": seen(400, 0.4)}


def test_the_empty_tenant_alone_decides_as_if_there_were_no_tenants() -> None:
    assert decide_for_all(Trust(), {"": BAD}, *LIMITS) == decide(Trust(), BAD, *LIMITS)
    assert decide_for_all(Trust(), {}, *LIMITS) == Trust()


def test_one_group_does_not_withdraw_for_all_however_much_it_loses() -> None:
    for groups in ({"1": BAD}, {"1": BAD, "2": GOOD}, {"1": BAD, "2": GOOD, "": GOOD}, {"1": BAD, "": GOOD}):
        assert decide_for_all(Trust(), groups, *LIMITS) == Trust()


def test_nor_does_it_restore_or_lower_for_all_however_good_it_looks() -> None:
    withdrawn = Trust(NEVER, reason="near queries cost more than the budget")
    assert decide_for_all(withdrawn, {"1": GOOD, "2": {}}, *LIMITS) is withdrawn
    cheap = {"0.96": seen(2000, 0.0)}
    assert decide_for_all(Trust(), {"1": cheap, "2": {}}, *LIMITS) == Trust()
    assert decide_for_all(Trust(), {"1": cheap, "2": cheap}, *LIMITS).low == 0.96


def test_what_two_groups_saw_holds_for_all() -> None:
    decision = decide_for_all(Trust(), {"1": BAD, "2": BAD, "3": GOOD}, *LIMITS)
    assert decision.near > 0.97
    decision = decide_for_all(Trust(), {"1": {EXACT: seen(200, 0.5)}, "2": {EXACT: seen(200, 0.5)}}, *LIMITS)
    assert not decision.exact


def test_of_two_decisions_the_smaller_one_is_taken() -> None:
    worse = {"0.98": seen(400, 0.4), "0.995": seen(400, 0.4)}
    groups = {"1": worse, "2": BAD, "3": BAD}
    assert decide(Trust(), pooled(groups.values()), *LIMITS).near == NEVER
    assert decide_for_all(Trust(), groups, *LIMITS).near == 0.99


groups_of_any = st.dictionaries(
    st.sampled_from(["", "1", "2", "f"]),
    st.dictionaries(
        st.sampled_from([EXACT, "0.99", "0.98", "0.96", "0.8"]),
        st.builds(seen, st.integers(0, 300), st.sampled_from([0.0, 0.005, 0.02, 0.5])),
        max_size=3,
    ),
    max_size=4,
)


@given(groups_of_any, st.sampled_from([Trust(), Trust(0.99), Trust(NEVER, exact=False), Trust(low=0.95)]))
def test_no_group_moves_what_holds_for_all_without_the_others(
    groups: Mapping[str, Mapping[str, ReuseStatistics]], trust: Trust
) -> None:
    decision = decide_for_all(trust, groups, *LIMITS)
    if any(groups):
        for group in groups:
            others = pooled(statistics for name, statistics in groups.items() if name != group)
            alone = decide(trust, others, *LIMITS)
            if alone == trust:
                assert decision == trust
