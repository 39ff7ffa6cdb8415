"""Networks of several inputs pass through everything that takes a network."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import ofa
from ofa.inputs import as_inputs, output_tensors
from ofa.prune import initializers
from ofa.randomize import randomize_
from tests.ofa.several_inputs import TwoTowers, examples, labeled, supernet_of


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


@pytest.mark.parametrize("criterion", ["magnitude", "snip", "grasp", "taylor", "synflow"])
def test_the_pruner_measures_on_inputs_of_any_form(criterion: str) -> None:
    model = randomize_(TwoTowers())
    pruner = ofa.prune.Pruner(
        model,
        criterion=getattr(ofa.prune.criteria, criterion),
        example_input=examples()[1],
        batches=labeled,
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
    batches = labeled()
    inputs, labels = batches[0]
    ofa.calibrate(net, inputs, batch_size=4)
    whole = ofa.calibrate(randomize_(Normed()), inputs)
    torch.testing.assert_close(net.image[1].running_mean, whole.image[1].running_mean)
    right = (as_inputs(inputs).call(net).logits.argmax(1) == labels).float().mean()
    assert ofa.evaluate(net, inputs, labels, batch_size=4) == pytest.approx(float(right))
    assert ofa.evaluate(net, batches[:1]) == pytest.approx(float(right))
    with pytest.raises(ofa.InvalidInput, match="6 images with no labels"):
        ofa.evaluate(net, ofa.Inputs(**inputs))


@pytest.mark.parametrize("initializer", [initializers.lsuv_, partial(initializers.data_dependent_, calibrate=False)])
def test_initializers_measure_on_inputs(initializer: initializers.Initializer) -> None:
    model = TwoTowers()
    initializer(model, ofa.Inputs(*labeled()[1][0]), torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = model.text[0](model.embedding(labeled()[1][0][0]))
    assert 0.5 < float(output.std()) < 2


def test_low_rank_counts_on_inputs() -> None:
    thin = ofa.compress.factorize(TwoTowers(), budget=0.7, metric="macs", example_input=examples()[1])
    assert sum(p.numel() for p in thin.parameters()) < sum(p.numel() for p in TwoTowers().parameters())
