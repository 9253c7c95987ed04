"""Policies refuse values out of range, with the remedy."""

import pytest

from semcache.entries.fingerprint import tenant_group
from semcache.errors import ConfigurationError
from semcache.flow.policy import FlowPolicy, PrunePolicy, ReusePolicy, TenantTrust
from semcache.settings import Settings

NAN = float("nan")


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("trust_threshold", 1.1),
        ("reuse_threshold", -1.1),
        ("reuse_threshold", NAN),
        ("trust_threshold", 0.5),
        ("confidence", -0.1),
        ("confidence", NAN),
        ("max_rounds", 0),
        ("max_pairs_share", 0.0),
        ("max_pairs_share", 1.5),
        ("drift_limit", 0.0),
        ("drift_limit", NAN),
    ],
)
def test_a_value_out_of_range_is_named_with_its_remedy(knob: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"{knob} is {value!r}; "):
        ReusePolicy(**{knob: value})


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("mode", "sometimes"),
        ("mode", True),
        ("confidence", NAN),
        ("max_rounds", 0),
        ("explore", 1.1),
        ("explore", NAN),
        ("document_vectors", "on"),
        ("max_document_vectors", 0),
    ],
)
def test_a_value_of_pruning_out_of_range_is_named_with_its_remedy(knob: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"{knob} is {value!r}; "):
        PrunePolicy(**{knob: value})  # type: ignore[arg-type]


def test_limits_of_the_ranges_are_allowed() -> None:
    PrunePolicy(confidence=0.0, max_rounds=1, explore=0.0, max_document_vectors=1)
    ReusePolicy(trust_threshold=1.0, reuse_threshold=-1.0, confidence=0.0, max_rounds=1, max_pairs_share=1.0)


def test_a_service_is_asked_once_unless_the_user_says_more() -> None:
    policy = FlowPolicy(ReusePolicy(confidence=1.5), prune=PrunePolicy(confidence=1.75))
    assert policy.reuse is not None and policy.prune is not None
    assert (policy.reuse.most_rounds, policy.prune.rule().most_rounds) == (3, 5)
    served = policy.for_service()
    assert served.reuse == ReusePolicy(confidence=1.5, max_rounds=1)
    assert served.prune == PrunePolicy(confidence=1.75, max_rounds=1)
    told = FlowPolicy(ReusePolicy(max_rounds=4), prune=PrunePolicy(max_rounds=2))
    assert told.for_service() == told
    assert FlowPolicy(None).for_service() == FlowPolicy(None)


def test_the_settings_have_the_defaults_of_the_policies() -> None:
    settings, reuse = Settings(), ReusePolicy()
    shared = {name: getattr(settings.reuse, name) for name in ReusePolicy.__slots__}
    assert shared == {name: getattr(reuse, name) for name in ReusePolicy.__slots__}
    assert settings.prune.model_dump() == {name: getattr(PrunePolicy(), name) for name in PrunePolicy.__slots__}
    assert settings.cache.max_query_chars == FlowPolicy(reuse).max_query_chars


class TestTenants:
    def test_mostly_all_tenants_have_the_same_policy(self) -> None:
        policy = FlowPolicy(ReusePolicy())
        assert policy.for_tenant("a") is policy.for_tenant("") is policy

    def test_a_group_of_tenants_may_be_trusted_less(self) -> None:
        own = TenantTrust(trust_near=False, trust_exact=True, trust_threshold=0.99, withdrawn="costs")
        policy = FlowPolicy(ReusePolicy(), tenants={tenant_group("a"): own})
        less = policy.for_tenant("a")
        assert (less.trust_near, less.trust_exact, less.withdrawn) == (False, True, "costs")
        assert less.reuse == ReusePolicy(trust_threshold=0.99)
        assert policy.for_tenant("b") is policy.for_tenant("") is policy

    def test_trust_is_never_less_than_what_is_verified(self) -> None:
        own = TenantTrust(trust_near=True, trust_exact=True, trust_threshold=0.8)
        policy = FlowPolicy(ReusePolicy(reuse_threshold=0.9), tenants={"": own})
        assert policy.for_tenant("").reuse == ReusePolicy(trust_threshold=0.9, reuse_threshold=0.9)

    def test_without_reuse_there_is_nothing_to_raise(self) -> None:
        policy = FlowPolicy(None, tenants={"": TenantTrust(True, False, 0.97)})
        assert (policy.for_tenant("").reuse, policy.for_tenant("").trust_exact) == (None, False)
