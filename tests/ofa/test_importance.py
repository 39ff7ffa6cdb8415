import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.importance import Measure, activation, taylor, weight
from ofa.models import GPT, ViT
from ofa.randomize import randomize_
from ofa.sorting import l1, sort_units_
from ofa.task import Batch, classification
from tests.ofa.nets import SHAPE, SHIPPED, from_zoo, shipped
from tests.ofa.zoo import AWKWARD, PLAIN

MEASURES: dict[str, Measure] = {"weight": weight, "activation": activation, "taylor": taylor}
TASK = classification(num_classes=10)


def batches(shape: tuple[int, ...] = SHAPE, classes: int = 10, count: int = 2) -> list[Batch]:
    generator = torch.Generator().manual_seed(3)
    drawn = [torch.randn(6, *shape, generator=generator, dtype=torch.float64) for _ in range(count)]
    return [Batch(each, torch.randint(classes, (6,), generator=generator)) for each in drawn]


def transformer(name: str) -> tuple[ofa.Supernet, list[Batch]]:
    torch.manual_seed(0)
    if name == "gpt":
        model: nn.Module = GPT((8,), 12, width=32, depth=2, heads=4, head_size=8)
        generator = torch.Generator().manual_seed(0)
        ids = [torch.randint(12, (6, 8), generator=generator) for _ in range(2)]
        batch = [Batch(each, each[:, 0]) for each in ids]
    else:
        model = ViT((1, 8, 8), 10, width=32, depth=2, heads=4, head_size=8)
        batch = batches((1, 8, 8))
    rules = ofa.SpaceRules(multiple_of=8)
    return ofa.Supernet(randomize_(model.double().eval()), batch[0].inputs[:2], rules), batch


def check_function_stays(supernet: ofa.Supernet, found: dict[str, Tensor], inputs: Any) -> None:
    largest = supernet.space.largest
    with torch.no_grad():
        before = supernet.subnet(largest).eval()(inputs)
        order = copy.deepcopy(supernet.model.state_dict())
        sort_units_(supernet, found)
        torch.testing.assert_close(supernet.subnet(largest).eval()(inputs), before, rtol=1e-10, atol=1e-10)
    moved = any(not torch.equal(value, order[name]) for name, value in supernet.model.state_dict().items())
    assert moved or not supernet.groups


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", SHIPPED)
def test_sorting_by_any_measure_keeps_the_function_of_shipped_models(name: str, measure: str) -> None:
    supernet, images = shipped(name)
    found = MEASURES[measure](supernet, batches(), TASK)
    assert found.keys() == {group.name for group in supernet.groups}
    assert all(bool((values >= 0).all()) and float(values.max()) > 0 for values in found.values())
    check_function_stays(supernet, found, images)
    again = MEASURES[measure](supernet, batches(), TASK)
    for group in supernet.groups:
        if group.name not in supernet.unsortable:
            ranked = again[group.name]
            assert bool((ranked[:-1] >= ranked[1:] * (1 - 1e-9) - 1e-12).all()), group.name


@pytest.mark.parametrize("name", [*PLAIN, *AWKWARD])
def test_sorting_by_data_keeps_the_function_of_other_peoples_models(name: str) -> None:
    supernet, images = from_zoo(name)
    with torch.no_grad():
        outputs = supernet.model(images)
    labels = torch.zeros(len(images), dtype=torch.int64)
    task = ofa.task.Task(
        name="squares",
        loss=lambda outputs, batch: sum(each.square().mean() for each in ofa.inputs.output_tensors(outputs)),
        metrics=TASK.metrics,
    )
    assert outputs is not None
    for measure in (activation, taylor):
        found = measure(supernet, [Batch(images, labels)], task)
        check_function_stays(supernet, found, images)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", ["gpt", "vit"])
def test_sorting_keeps_the_function_of_transformers_in_every_kind_of_group(name: str, measure: str) -> None:
    supernet, batch = transformer(name)
    kinds = {group.name.rpartition(".")[2] for group in supernet.groups}
    assert {"query", "expand"} <= kinds and len(supernet.groups) == 5  # heads, hidden and the embedding
    check_function_stays(supernet, MEASURES[measure](supernet, batch, classification(num_classes=12)), batch[0].inputs)


def test_taylor_is_the_squared_derivative_by_a_gate_on_each_unit() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 10)).double()
    supernet = ofa.Supernet(net, torch.randn(2, 5).double(), ofa.SpaceRules(multiple_of=1))
    (batch,) = batches((5,), count=1)
    (found,) = taylor(supernet, [batch], TASK, examples=2).values()
    expected = torch.zeros(8, dtype=torch.float64)
    for start in (0, 2, 4):
        part = batch.rows(start, start + 2)
        for layer, dim in ((0, 0), (2, 1)):
            gates = torch.ones(8, dtype=torch.float64, requires_grad=True)
            gate = gates[:, None] if dim == 0 else gates
            parameters = {**dict(net.named_parameters()), f"{layer}.weight": net[layer].weight * gate}  # type: ignore[union-attr, operator]
            loss = TASK.loss(torch.func.functional_call(net, parameters, part.inputs), part)
            (derivative,) = torch.autograd.grad(loss, gates)
            expected += derivative.square() / 3
    torch.testing.assert_close(found, expected)


def test_activation_is_the_mean_size_of_what_the_next_layer_reads() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 10, 3), nn.Flatten(2)).double()
    supernet = ofa.Supernet(net, torch.randn(2, 3, 9, 9).double(), ofa.SpaceRules(multiple_of=1))
    images = torch.randn(6, 3, 9, 9, dtype=torch.float64)
    task = ofa.task.Task(name="any", loss=lambda outputs, batch: outputs.sum(), metrics=TASK.metrics)
    group = next(group for group in supernet.groups if group.units == 8)
    found = activation(supernet, [images[:2], images[2:]], task)[group.name]
    read = net[:2](images).mean((0, 2, 3))
    torch.testing.assert_close(found, read / read.mean())


def test_a_dead_unit_is_last_by_data_though_its_weights_are_large() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 10)).double()
    with torch.no_grad():
        net[0].weight[3] *= 5  # type: ignore[index, operator]
        net[0].bias[3] = -1000.0  # type: ignore[index, operator]
    supernet = ofa.Supernet(net, torch.randn(2, 5).double(), ofa.SpaceRules(multiple_of=1))
    (group,) = supernet.groups
    assert int(l1(supernet, group).argmax()) == 3
    for measure in (activation, taylor):
        assert int(measure(supernet, batches((5,)), TASK)[group.name].argmin()) == 3


def test_measuring_changes_nothing_and_frozen_weights_can_be_measured() -> None:
    supernet, _ = shipped("resnet20_conv")
    before = {name: value.clone() for name, value in supernet.model.state_dict().items()}
    expected = taylor(supernet, batches(), TASK)
    supernet.model.requires_grad_(False).train()
    found = taylor(supernet, batches(), TASK)
    activation(supernet, batches(), TASK)
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert all(torch.equal(value, before[name]) for name, value in supernet.model.state_dict().items())
    assert not any(each.requires_grad or each.grad is not None for each in supernet.model.parameters())
    assert all(module.training for module in supernet.model.modules())


@pytest.mark.parametrize("measure", [activation, taylor])
def test_what_cannot_be_measured_is_refused(measure: Measure) -> None:
    supernet, _ = shipped("lenet5")
    with pytest.raises(ofa.InvalidInput, match="there are none: give at least one"):
        measure(supernet, [], TASK)
    (bad,) = batches(count=1)
    bad.inputs.fill_(float("nan"))
    with pytest.raises(ofa.InvalidInput, match="not finite; check the weights and the data"):
        measure(supernet, [bad], TASK)


def test_scores_of_an_unknown_group_are_refused() -> None:
    supernet, _ = shipped("lenet5")
    name = supernet.groups[0].name
    with pytest.raises(ofa.InvalidInput, match=f"'{name}x', which is not a group of units; .*{name}"):
        sort_units_(supernet, {f"{name}x": torch.zeros(3)})
