"""Names of loaded models follow what is in memory."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from semcache.models.memory import callable_hint, weights_hint


def layer(seed: int = 0, **options: Any) -> torch.nn.Linear:
    torch.manual_seed(seed)
    return torch.nn.Linear(7, 5, **options)


def changed(change: Callable[[torch.nn.Linear], object]) -> torch.nn.Linear:
    module = layer()
    with torch.no_grad():
        change(module)
    return module


def quantised(seed: int = 0) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will be replaced one day
        return torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(layer(seed)), {torch.nn.Linear})


class Scaled(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits * self.factor


class TestWeights:
    def test_equal_weights_are_equal_wherever_they_are(self) -> None:
        assert weights_hint(layer()) == weights_hint(layer())
        assert weights_hint(quantised()) == weights_hint(quantised())

    @pytest.mark.parametrize(
        "other",
        [
            layer(1),
            layer(bias=False),
            layer().to(torch.bfloat16),
            layer().to(torch.float64),
            changed(lambda module: module.weight.mul_(-1)),
            changed(lambda module: module.weight.add_(1e-6)),
            changed(lambda module: module.weight[2, 3].mul_(2)),
            changed(lambda module: module.weight.copy_(module.weight.flip(0))),
            torch.nn.Sequential(layer()),
            quantised(),
        ],
        ids=str,
    )
    def test_other_weights_are_not(self, other: torch.nn.Module) -> None:
        assert weights_hint(other) != weights_hint(layer())

    def test_quantised_weights_are_read(self) -> None:
        assert weights_hint(quantised(0)) != weights_hint(quantised(1))

    def test_a_large_tensor_counts_to_its_last_number(self) -> None:
        one, other = torch.nn.Embedding(1000, 100), torch.nn.Embedding(1000, 100)
        other.load_state_dict(one.state_dict())
        assert weights_hint(one) == weights_hint(other)
        with torch.no_grad():
            other.weight[777, 77] += 1e-7 * abs(other.weight[777, 77]) + 1e-7
        assert weights_hint(one) != weights_hint(other)

    @pytest.mark.parametrize("nothing", [torch.nn.ReLU(), object(), layer(device="meta")])
    def test_where_nothing_can_be_read_there_is_no_name(self, nothing: object) -> None:
        assert weights_hint(nothing) is None


class TestCallables:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (torch.nn.LeakyReLU(0.1), torch.nn.LeakyReLU(0.2)),
            (torch.nn.Sigmoid(), torch.nn.Identity()),
            (Scaled(1.0), Scaled(2.0)),
            (torch.nn.PReLU(init=0.1), torch.nn.PReLU(init=0.2)),
            (lambda logits: logits * 2, lambda logits: logits * 3),
            (torch.sigmoid, torch.tanh),
            (None, torch.nn.Identity()),
        ],
    )
    def test_parameters_and_code_count(self, one: Any, other: Any) -> None:
        assert callable_hint(one) != callable_hint(other)

    def test_being_used_does_not(self) -> None:
        activation = Scaled(2.0)
        before = callable_hint(activation)
        activation.eval()(torch.ones(2))
        assert callable_hint(activation) == before == callable_hint(Scaled(2.0))
