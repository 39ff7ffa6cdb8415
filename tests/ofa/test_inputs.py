"""Inputs of any form reach the model as they were given, and every form of output is read."""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from typing import Any

import pytest
import torch
from torch import nn

import ofa
from ofa.inputs import as_inputs, logits_of, named_outputs, output_tensors
from tests.ofa.several_inputs import Output

Pair = namedtuple("Pair", ["left", "right"])


class Echo(nn.Module):
    """Returns its arguments."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs


X, MASK, TABLE = torch.rand(3, 5), torch.ones(3, 5, dtype=torch.bool), torch.rand(7, 2)


@pytest.mark.parametrize(
    ("example", "names"),
    [
        (X, ["0"]),
        ((X, None, MASK), ["0", "2"]),
        ({"images": X, "mask": MASK, "flag": True}, ["images", "mask"]),
        (UserDict({"images": X}), ["images"]),
        (ofa.Inputs(X, mask=MASK), ["0", "mask"]),
        (ofa.Inputs([X, {"a": MASK}], Pair(TABLE, 3)), ["0.0", "0.1.a", "1.left"]),
        (ofa.Inputs(Output(X, (MASK,))), ["0.logits", "0.hidden.0"]),
        (ofa.Inputs(X, X), ["0"]),
    ],
)
def test_arguments_arrive_as_given(example: Any, names: list[str]) -> None:
    inputs = as_inputs(example)
    assert list(inputs.tensors()) == names
    args, kwargs = inputs.call(Echo())
    assert (args, kwargs) == (inputs.args, dict(inputs.kwargs))
    first = next(iter(inputs.tensors().values()))
    assert first is X and inputs.batch == 3


def test_map_keeps_the_containers_and_what_is_no_tensor() -> None:
    inputs = ofa.Inputs([X, 1], Pair(MASK, None), Output(X, (TABLE,)), ordered=OrderedDict(a=X), text="t", size=(2, 3))
    mapped = inputs.map(lambda tensor: tensor[:1])
    (first, one), pair, output = mapped.args
    assert (one, pair.right, mapped.kwargs["text"], mapped.kwargs["size"]) == (1, None, "t", (2, 3))
    assert isinstance(pair, Pair) and isinstance(output, Output) and isinstance(mapped.kwargs["ordered"], OrderedDict)
    assert first.shape == (1, 5) and first is output.logits and first is mapped.kwargs["ordered"]["a"]
    assert inputs.args[2].logits is X, "the first are as they were"


def test_rows_leave_tensors_of_all_examples_whole() -> None:
    rows = ofa.Inputs(X, mask=MASK, table=TABLE, scale=torch.tensor(2.0)).rows(1, 2)
    assert {name: tuple(tensor.shape) for name, tensor in rows.tensors().items()} == {
        "0": (1, 5),
        "mask": (1, 5),
        "table": (7, 2),
        "scale": (),
    }
    assert torch.equal(rows.args[0], X[1:2])


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ([X], "list is one argument"),
        ("text", "must be a tensor with a first dimension of examples"),
        ({1: X}, "has the key 1"),
        ((), "no tensor"),
        ((None, 3), "no tensor"),
        (torch.rand(()), "first dimension of examples"),
        (torch.rand(0, 3), r"\(0, 3\)"),
        ({"a": {"b": X}, "a.b": MASK}, "named 'a.b'"),
    ],
)
def test_what_is_no_example_is_refused(example: Any, message: str) -> None:
    with pytest.raises(ofa.InvalidInput, match=message):
        as_inputs(example)


def test_outputs_of_every_form_are_read() -> None:
    for output in (
        [X, (MASK, None)],
        {"a": X, "b": {"c": MASK}},
        Output(X, (MASK,)),
        Pair(X, MASK),
        UserDict(a=X, b=MASK),
    ):
        first, second = output_tensors(output)
        assert first is X and second is MASK
    assert list(named_outputs(Output(X, (MASK,)))) == ["logits", "hidden.0"]
    assert list(named_outputs(X)) == [""]
    assert output_tensors("no tensor") == []


def test_an_answer_among_several_must_be_named() -> None:
    assert torch.equal(logits_of({"logits": X, "loss": MASK}, Echo()), X)
    assert torch.equal(logits_of((X,), Echo()), X)
    with pytest.raises(ofa.InvalidInput, match=r"Echo returns 2 tensors \(0, 1\), none named logits"):
        logits_of((X, MASK), Echo())
