"""Limits: the defaults stand once, in the settings where those have them, and every constructor uses them."""

from inspect import signature

import pytest

from semcache.batching.admission import merging_time_s
from semcache.batching.batcher import Batcher
from semcache.batching.limits import DEFAULTS, Limits
from semcache.batching.reranker import AsyncBatchReranker
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.flow.requests import check_count
from semcache.settings import Batching, Monitor


class TestDefaults:
    @pytest.mark.parametrize(("name", "bound"), [("max_pairs", 128), ("max_queue_pairs", 1024)])
    def test_are_those_of_the_settings(self, name: str, bound: int) -> None:
        assert getattr(DEFAULTS, name) == getattr(Batching(), name) == bound

    def test_merging_gets_the_share_that_the_settings_leave_it(self) -> None:
        settings_s = merging_time_s(Monitor().p95_threshold_s, Batching().admission_factor)
        assert DEFAULTS.max_batch_s == pytest.approx(settings_s) == 0.4

    @pytest.mark.parametrize("name", ["max_pairs", "max_batch_s", "max_queue_pairs"])
    @pytest.mark.parametrize("constructor", [Batcher, AsyncBatchReranker])
    def test_are_those_of_every_constructor(self, constructor: type, name: str) -> None:
        assert signature(constructor).parameters[name].default == getattr(DEFAULTS, name)

    def test_requests_per_call_are_the_batch_size_that_users_know(self) -> None:
        assert signature(AsyncBatchReranker).parameters["batch_size"].default == DEFAULTS.max_requests == 10
        assert signature(Batcher).parameters["max_requests"].default == DEFAULTS.max_requests


@pytest.mark.parametrize("name", ["max_requests", "max_pairs", "max_batch_s", "max_queue_pairs"])
def test_bounds_are_above_0(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Limits(**{name: 0})


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None])
def test_a_count_is_a_whole_number_of_at_least_1(value: object) -> None:
    with pytest.raises(InvalidInputError, match="window must be a whole number of at least 1"):
        check_count("window", value, InvalidInputError)
