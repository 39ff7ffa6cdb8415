"""Filling a model by names: all of it or nothing, and what does not fit is said with its count and the nearest."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ofa.errors import InvalidInput
from ofa.fill import PREFIXES, Filled, fill_, unwrapped
from ofa.randomize import randomize_
from tests.ofa.test_weights_file import Tied


def network(classes: int = 5) -> nn.Sequential:
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3))
    return nn.Sequential(body, nn.Flatten(), nn.Linear(8, classes))


def copies(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(model: nn.Module, tensors: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, tensors[name]) for name, tensor in model.state_dict().items())


@given(st.lists(st.sampled_from(PREFIXES), max_size=3), st.integers(0, 9))
def test_any_wrappers_are_taken_off(prefixes: list[str], seed: int) -> None:
    saved = randomize_(network(), seed)
    wrapped = {"".join(prefixes) + name: tensor for name, tensor in saved.state_dict().items()}
    model = network()
    assert fill_(model, wrapped, "file") == Filled(len(wrapped))
    assert equal(model, copies(saved))


def test_a_prefix_of_ones_own_and_what_else_lies_beside_it() -> None:
    saved = randomize_(network())
    beside = {f"student.{name}": tensor for name, tensor in saved.state_dict().items()} | {"loss.scale": torch.ones(1)}
    with pytest.raises(InvalidInput, match=r"the model lacks loss\.scale, 1 of 12 in the file"):
        fill_(network(), beside, "file")
    model = network()
    assert fill_(model, beside, "file", ["loss.*"]).ignored == ("loss.scale",)
    assert equal(model, copies(saved))


def test_the_model_is_wrapped_and_the_file_is_not() -> None:
    saved, model = randomize_(network()), nn.ModuleDict({"inner": network()})
    fill_(model, saved.state_dict(), "file")
    assert equal(model["inner"], copies(saved))


def test_names_that_meet_by_chance_are_not_taken_for_wrapped() -> None:
    names = {"a.weight", "a.bias", *(f"b.{n}" for n in range(8))}
    given_ = {"x.a.weight": torch.ones(1), "y": torch.ones(1)}
    assert unwrapped(given_, names).keys() == given_.keys()


def test_a_new_head_keeps_its_own_weights() -> None:
    saved, model = randomize_(network(1000)), randomize_(network(5), 1)
    before = copies(model)
    with pytest.raises(InvalidInput, match=r"2 have another shape: 2\.weight \(1000, 8\) .* \(5, 8\) here.*\[2\.\*\]"):
        fill_(model, saved.state_dict(), "file")
    assert equal(model, before)
    done = fill_(model, saved.state_dict(), "file", ["2"])
    assert done.missing == done.ignored == ("2.weight", "2.bias")
    assert torch.equal(model[2].weight, before["2.weight"])
    assert equal(model[0], copies(saved[0]))


def test_missing_and_surplus_are_counted_with_the_nearest_name() -> None:
    state = dict(network().state_dict())
    state["0.1.wieght"] = state.pop("0.1.weight")
    with pytest.raises(InvalidInput) as caught:
        fill_(network(), state, "w.pt")
    text = str(caught.value)
    assert "the file lacks 0.1.weight, 1 of 11 (0.1.weight: did you mean 0.1.wieght?)" in text
    assert "the model lacks 0.1.wieght, 1 of 11 in the file" in text and "\n" not in text


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_another_precision_becomes_the_models(kind: torch.dtype) -> None:
    saved, model = randomize_(network()), network()
    fill_(model, {n: t.to(kind) if t.is_floating_point() else t for n, t in saved.state_dict().items()}, "file")
    assert model[2].weight.dtype == torch.float32
    assert torch.equal(model[2].weight, saved[2].weight.to(kind).float())


def test_what_older_files_lack_and_averages_have() -> None:
    saved, model = randomize_(network()), network()
    state = {n: t for n, t in saved.state_dict().items() if "num_batches" not in n}
    fill_(model, {f"module.{n}": t for n, t in state.items()} | {"n_averaged": torch.tensor(7)}, "file")
    assert torch.equal(model[0][1].running_var, saved[0][1].running_var)


BAD = {
    "NaN": (lambda s: {**s, "2.bias": torch.full((5,), torch.nan)}, (), r"2\.bias holds NaN"),
    "quantized": (lambda s: {**s, "2.bias": torch.zeros(5, dtype=torch.int8)}, (), r"int8.*float32.*not quantized"),
    "nothing": (lambda s: {}, (), r"lacks 0\.0\.weight, 0\.0\.bias, 0\.1\.weight and \d more"),
    "no such pattern": (lambda s: s, ("heads.*",), r"ignore='heads\.\*' matches no weight"),
    "a text": (lambda s: s, "head", "give a list"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_changes_nothing(case: str) -> None:
    change, ignore, message = BAD[case]
    model = network()
    before = copies(model)
    with pytest.raises(InvalidInput, match=message):
        fill_(model, change(dict(network().state_dict())), "file", ignore)
    assert equal(model, before)


def test_tied_weights_are_missing_once_and_stay_tied() -> None:
    with pytest.raises(InvalidInput, match=r"lacks embedding\.weight, 1 of"):
        fill_(Tied(), {n: t for n, t in Tied().state_dict().items() if "num" not in n and t.dim() < 2}, "file")
    model, saved = Tied(), randomize_(Tied())
    fill_(model, {n: t for n, t in saved.state_dict().items() if n != "embedding.weight"}, "file")
    assert model.head.weight is model.embedding.weight and torch.equal(model.head.weight, saved.head.weight)
