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
from tests.scripted import PATIENCE_S, GatedReranker, ScriptedReranker


class TestDefaults:
    @pytest.mark.parametrize(("name", "bound"), [("max_batch_pairs", 128), ("max_queue_pairs", 1024)])
    def test_are_those_of_the_settings(self, name: str, bound: int) -> None:
        assert getattr(DEFAULTS, name) == getattr(Batching(), name) == bound

    def test_merging_gets_the_share_that_the_settings_leave_it(self) -> None:
        settings_s = merging_time_s(Monitor().p95_threshold_s, Batching().admission_factor)
        assert DEFAULTS.max_batch_s == pytest.approx(settings_s) == 0.4

    @pytest.mark.parametrize("name", ["max_batch_pairs", "max_batch_s", "max_queue_pairs"])
    @pytest.mark.parametrize("constructor", [Batcher, AsyncBatchReranker])
    def test_are_those_of_every_constructor(self, constructor: type, name: str) -> None:
        assert signature(constructor).parameters[name].default == getattr(DEFAULTS, name)

    def test_requests_per_call_are_the_batch_size_that_users_know(self) -> None:
        assert signature(AsyncBatchReranker).parameters["batch_size"].default == DEFAULTS.max_requests == 10
        assert signature(Batcher).parameters["max_requests"].default == DEFAULTS.max_requests


@pytest.mark.parametrize("name", ["max_requests", "max_batch_pairs", "max_batch_s", "max_queue_pairs"])
def test_bounds_are_above_0(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Limits(**{name: 0})


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None])
def test_a_count_is_a_whole_number_of_at_least_1(value: object) -> None:
    with pytest.raises(InvalidInputError, match="window must be a whole number of at least 1"):
        check_count("window", value, InvalidInputError)


@pytest.mark.parametrize(
    ("bounds", "sizes"),
    [
        ({}, [250]),  # the default of max_batch_pairs is about merging: a request costs one call, as without a batcher
        ({"max_batch_pairs": 100}, [100, 100, 50]),
        ({"max_batch_pairs": 500}, [250]),
        ({"max_pairs_per_call": 200}, [200, 50]),
        ({"max_batch_pairs": 100, "max_pairs_per_call": 1000}, [250]),
        ({"max_batch_pairs": 128, "max_pairs_per_call": 128}, [128, 122]),
    ],
)
@pytest.mark.parametrize("constructor", [Batcher, AsyncBatchReranker])
def test_a_single_request_is_split_where_a_limit_is_said(
    constructor: type, bounds: dict[str, int], sizes: list[int]
) -> None:
    model = ScriptedReranker()
    with constructor(model, **bounds) as batcher:
        scores = batcher.score([("q", "x" * length) for length in range(250)])
    assert scores.tolist() == list(range(250))
    assert [len(call) for call in model.calls] == sizes


def test_no_call_merges_more_than_it_takes() -> None:
    model = GatedReranker()
    with Batcher(model, max_pairs_per_call=2) as batcher:
        batcher.submit([("q", "first")])
        model.wait_until_inside()
        waiting = [batcher.submit([("q", "x" * length)]) for length in range(3)]
        model.let_go(3)
        assert [future.result(PATIENCE_S).tolist() for future in waiting] == [[0], [1], [2]]
    assert [len(call) for call in model.calls] == [1, 2, 1]


def test_an_order_is_not_split_by_a_bound_on_merging_and_refused_where_a_call_is_limited() -> None:
    model = ScriptedReranker(listwise=True)
    with Batcher(model, max_batch_pairs=2) as batcher:
        batcher.score([("q", str(number)) for number in range(5)])
    assert [len(call) for call in model.calls] == [5]
    with pytest.raises(ConfigurationError, match="max_pairs_per_call=2 cannot be kept for scripted: it is listwise"):
        Batcher(model, max_pairs_per_call=2)


def test_a_bound_of_a_call_is_above_0() -> None:
    with pytest.raises(ConfigurationError, match="max_pairs_per_call must be a whole number of at least 1"):
        Batcher(ScriptedReranker(), max_pairs_per_call=0)
