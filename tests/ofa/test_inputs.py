"""Inputs of any form reach the model as they were given, and every form of output is read."""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.inputs import as_inputs, logits_of, named_outputs, output_tensors
from ofa.prune import initializers
from ofa.randomize import randomize_

Pair = namedtuple("Pair", ["left", "right"])


@dataclass
class Output:
    """As a model's answer of several parts."""

    logits: Tensor
    hidden: tuple[Tensor, ...] | None = None


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


class TwoTowers(nn.Module):
    """Token ids with a mask, and an image; optional arguments; an answer with names."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.text = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 12))
        self.image = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 12, 3))
        self.head = nn.Linear(12, 5)

    def forward(self, ids: Tensor, image: Tensor, *, mask: Tensor | None = None, scale: float = 1.0) -> Output:
        words = self.embedding(ids)
        if mask is not None:
            words = words * mask.unsqueeze(-1)
        both = self.text(words).sum(1) + scale * self.image(image).mean((2, 3))
        return Output(self.head(both), (words,))


def examples() -> list[Any]:
    ids, image, mask = torch.randint(50, (2, 7)), torch.rand(2, 3, 8, 8), torch.rand(2, 7) > 0.3
    return [
        (ids, image),
        {"ids": ids, "image": image, "mask": mask},
        ofa.Inputs(ids, image, mask=mask, scale=0.5),
        ofa.Inputs(ids, image, mask=None),
    ]


@pytest.mark.parametrize("number", range(4))
def test_a_supernet_of_several_inputs(number: int) -> None:
    inputs = as_inputs(examples()[number])
    model = randomize_(TwoTowers()).eval()
    supernet = ofa.Supernet(model, examples()[number] if number < 2 else inputs)
    assert {"width.text.0", "width.image.0"} <= {choice.key for choice in supernet.space.choices}
    assert supernet.refused == {}
    for arch in (supernet.space.largest, supernet.space.smallest):
        view, extracted = supernet.subnet(arch), supernet.extract(arch)
        for a, b in zip(output_tensors(inputs.call(view)), output_tensors(inputs.call(extracted)), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    whole = inputs.call(supernet.subnet(supernet.space.largest))
    torch.testing.assert_close(whole.logits, inputs.call(model).logits, rtol=0, atol=0)


def supernet_of(number: int) -> ofa.Supernet:
    return ofa.Supernet(randomize_(TwoTowers()).eval(), examples()[number])


@pytest.mark.parametrize("number", range(4))
def test_costs_memory_and_files(number: int, tmp_path: Path) -> None:
    supernet = supernet_of(number)
    arch = supernet.space.smallest
    net = supernet.extract(arch)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    assert ofa.cost(supernet, [arch])["params"][0] == parameters
    (peak,) = ofa.peak_activation_bytes(supernet, [arch])
    assert peak == ofa.measure_peak_activation_bytes(net, supernet.inputs)
    loaded = ofa.load(ofa.save(supernet, tmp_path / "saved"), TwoTowers())
    assert loaded.space == supernet.space
    for name, tensor in supernet.inputs.tensors().items():
        again = loaded.inputs.tensors()[name]
        assert again.shape == tensor.shape and again.dtype == tensor.dtype
        assert tensor.is_floating_point() or torch.equal(again, tensor)
    assert loaded.inputs.kwargs.get("scale") == supernet.inputs.kwargs.get("scale")


def labelled() -> list[tuple[Any, Tensor]]:
    ids, image, mask = torch.randint(50, (6, 7)), torch.rand(6, 3, 8, 8), torch.rand(6, 7) > 0.3
    return [({"ids": ids, "image": image, "mask": mask}, torch.arange(6) % 5), ((ids, image), torch.arange(6) % 5)]


@pytest.mark.parametrize("criterion", ["magnitude", "snip", "grasp", "taylor", "synflow"])
def test_the_pruner_measures_on_inputs_of_any_form(criterion: str) -> None:
    model = randomize_(TwoTowers())
    pruner = ofa.prune.Pruner(
        model,
        criterion=getattr(ofa.prune.criteria, criterion),
        example_input=examples()[1],
        batches=labelled,
        keep=["embedding"],
    )
    pruner.prune(0.5)
    assert 0.3 < pruner.report().density < 0.7 and pruner.report().macs is not None
    slim = pruner.slim()[0]
    inputs = as_inputs(examples()[1])
    torch.testing.assert_close(inputs.call(slim).logits, inputs.call(model).logits)


def test_channels_of_a_model_of_several_inputs() -> None:
    model = randomize_(TwoTowers())
    pruner = ofa.prune.Pruner(
        model, granularity=partial(ofa.prune.granularity.channel, multiple_of=4), example_input=examples()[2]
    )
    pruner.prune(0.5)
    slim = pruner.slim()[0]
    assert slim.image[0].weight.shape[0] < 16
    inputs = as_inputs(examples()[0])
    torch.testing.assert_close(inputs.call(slim.eval()).logits, inputs.call(model.eval()).logits)


class Normed(TwoTowers):
    """With statistics to measure."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 12, 3))


def test_accuracy_and_statistics_of_inputs() -> None:
    net = randomize_(Normed())
    batches = labelled()
    inputs, labels = batches[0]
    ofa.calibrate(net, inputs, batch_size=4)
    whole = ofa.calibrate(randomize_(Normed()), inputs)
    torch.testing.assert_close(net.image[1].running_mean, whole.image[1].running_mean)
    right = (as_inputs(inputs).call(net).logits.argmax(1) == labels).float().mean()
    assert ofa.evaluate(net, inputs, labels, batch_size=4) == pytest.approx(float(right))
    assert ofa.evaluate(net, batches[:1]) == pytest.approx(float(right))
    with pytest.raises(ofa.InvalidInput, match="6 images with no labels"):
        ofa.evaluate(net, ofa.Inputs(**inputs))


def test_an_answer_among_several_must_be_named() -> None:
    assert torch.equal(logits_of({"logits": X, "loss": MASK}, Echo()), X)
    assert torch.equal(logits_of((X,), Echo()), X)
    with pytest.raises(ofa.InvalidInput, match=r"Echo returns 2 tensors \(0, 1\), none named logits"):
        logits_of((X, MASK), Echo())


@pytest.mark.parametrize("initializer", [initializers.lsuv_, partial(initializers.data_dependent_, calibrate=False)])
def test_initializers_measure_on_inputs(initializer: initializers.Initializer) -> None:
    model = TwoTowers()
    initializer(model, ofa.Inputs(*labelled()[1][0]), torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = model.text[0](model.embedding(labelled()[1][0][0]))
    assert 0.5 < float(output.std()) < 2


def test_low_rank_counts_on_inputs() -> None:
    thin = ofa.compress.factorise(TwoTowers(), budget=0.7, metric="macs", example_input=examples()[1])
    assert sum(p.numel() for p in thin.parameters()) < sum(p.numel() for p in TwoTowers().parameters())
