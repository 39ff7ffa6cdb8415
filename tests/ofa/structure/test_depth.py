"""Depth of any row of blocks: the view, the extracted network and the network that skips blocks agree."""

from __future__ import annotations

import copy
import functools
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import ofa
from ofa.randomize import randomize_
from ofa.structure.containers import leaves
from ofa.structure.passing import skipped
from ofa.trial.outputs import first_difference
from tests.ofa.block_nets import Net
from tests.ofa.block_zoo import NETS, images
from tests.ofa.residual_blocks import Attending, Base

RULES = ofa.SpaceRules(multiple_of=1, width_ratios=(0.5, 1.0))


@functools.cache
def converted(name: str) -> ofa.Supernet:
    return supernet_of(NETS[name]())


def supernet_of(model: nn.Module, rules: ofa.SpaceRules = RULES) -> ofa.Supernet:
    torch.manual_seed(0)
    return ofa.Supernet(randomize_(model.double().eval()), images().double(), rules)


def equal(first: Tensor, second: Tensor) -> str | None:
    return None if torch.allclose(first, second, rtol=1e-10, atol=1e-10) else "they differ"


def skipping(supernet: ofa.Supernet, arch: ofa.Arch, x: Tensor) -> Any:
    """The whole network's output with the blocks that an Arch leaves out handing on what they get."""
    model = copy.deepcopy(supernet.model).eval()
    left_out = {
        path: how
        for stage in supernet.structure.stages
        for path, how in stage.left_out(arch.depth.get(stage.name, len(stage.blocks))).items()
    }
    with skipped(model, left_out), torch.no_grad():
        return model(x)


def macs(net: nn.Module) -> int:
    frozen = copy.deepcopy(net).eval().requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        frozen(images().double()[:1])
    return int(counter.get_total_flops()) // 2


def tensors(output: Any) -> list[Tensor]:
    return [value for _, value in leaves(output) if isinstance(value, Tensor)]


@pytest.mark.parametrize("name", NETS)
def test_each_depth_is_the_network_that_skips(name: str) -> None:
    supernet = converted(name)
    (depth,) = [choice for choice in supernet.space.choices if choice.kind == "depth"]
    assert len(depth.values) >= 3
    x = images().double()
    for value in depth.values:
        arch = supernet.space.arch({depth.key: value})
        with torch.no_grad():
            viewed = supernet.subnet(arch).eval()(x)
            extracted = supernet.extract(arch).eval()(x)
        assert first_difference(viewed, extracted, equal) is None
        assert first_difference(viewed, skipping(supernet, arch, x), equal) is None
        assert len(tensors(viewed)) == len(tensors(extracted))


@pytest.mark.parametrize("name", NETS)
def test_gradients_reach_exactly_the_blocks_that_run(name: str) -> None:
    supernet = converted(name)
    (stage,) = supernet.structure.stages
    x = images().double()
    for value in stage.depths:
        supernet.model.zero_grad()
        output = supernet.subnet(supernet.space.arch({f"depth.{stage.name}": value})).eval()(x)
        sum(tensor.square().sum() for tensor in tensors(output)).backward()  # type: ignore[union-attr]
        dropped = stage.dropped(value)
        for path in stage.blocks:
            block = supernet.model.get_submodule(path)
            reached = any(weight.grad is not None for weight in block.parameters())
            assert reached == (path not in dropped), path


@pytest.mark.parametrize("name", NETS)
def test_costs_and_memory_are_those_of_the_extracted_network(name: str) -> None:
    supernet = converted(name)
    rng = np.random.default_rng(0)
    archs = [supernet.space.smallest, *(supernet.space.sample(rng) for _ in range(4))]
    nets = [supernet.extract(arch) for arch in archs]
    sizes = [sum(weight.numel() for weight in net.parameters()) for net in nets]
    costs = ofa.cost(supernet, archs)
    assert costs["params"].tolist() == sizes
    assert costs["macs"].tolist() == [macs(net) for net in nets]
    peaks = [ofa.measure_peak_activation_bytes(net, images().double()) for net in nets]
    assert ofa.peak_activation_bytes(supernet, archs).tolist() == peaks


@pytest.mark.parametrize(
    ("rules", "leaving"),
    [
        ({}, (7, 6, 5, 4, 3, 2, 1)),
        ({"min_depth": 0}, (7, 6, 5, 4, 3, 2, 1, 0)),
        ({"min_depth": 6}, (7, 6)),
        ({"keep_last": 2}, (5, 4, 3, 2, 1, 0)),
        ({"keep_first": 3, "keep_last": 2}, (5, 4, 3)),
        ({"keep_first_for": {"layers": 6}, "min_depth": 0}, (7, 6)),
        ({"depth_order": "evenly"}, (7, 5, 3, 1, 6, 2, 4)),
        ({"depth_order_for": {"lay*": "evenly"}, "keep_first": 1, "keep_last": 1}, (6, 4, 2, 3, 5, 1)),
        ({"fix": ["layers"]}, ()),
    ],
)
def test_rules_say_which_blocks_leave_and_in_which_order(rules: dict[str, Any], leaving: tuple[int, ...]) -> None:
    supernet = supernet_of(Net(count=8), ofa.SpaceRules(multiple_of=1, width_ratios=(0.5, 1.0), **rules))
    (stage,) = supernet.structure.stages
    assert stage.leaving == leaving
    x = images().double()
    for depth in stage.depths if len(stage.depths) > 1 else ():
        arch = supernet.space.arch({"depth.layers": depth})
        net = supernet.extract(arch).eval()
        kept = [block.index for block in net.layers]  # type: ignore[union-attr, attr-defined]
        assert kept == sorted(set(range(8)) - set(leaving[: 8 - depth]))
        with torch.no_grad():
            assert first_difference(net(x), skipping(supernet, arch, x), equal) is None
    supernets = [supernet.space.smallest, supernet.space.sample(np.random.default_rng(1))]
    nets = [supernet.extract(arch) for arch in supernets]
    assert ofa.cost(supernet, supernets)["macs"].tolist() == [macs(net) for net in nets]
    peaks = [ofa.measure_peak_activation_bytes(net, x) for net in nets]
    assert ofa.peak_activation_bytes(supernet, supernets).tolist() == peaks


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"keep_last": -1}, "keep_last=-1: give a whole number of blocks, 0 or more"),
        ({"keep_first_for": {"layers": 1.5}}, "layers=1.5: give a whole number of blocks"),
        ({"depth_order": "evenly "}, "depth_order='evenly ' is no order in which blocks leave.*evenly"),
        ({"keep_last_for": {"layer": 1}}, "the pattern 'layer' matches no layer"),
    ],
)
def test_wrong_rules_are_named(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ofa.InvalidInput, match=message):
        supernet_of(Net(), ofa.SpaceRules(multiple_of=1, **rules))


class NotResidual(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x)


class Narrowing(Base):
    def forward(self, x: Tensor) -> Tensor:
        return (x + self.branch(x))[:, 1:]


class Pairs(Net):
    """The sums are around the modules of each pair, in no module of their own."""

    def blocks(self, x: Tensor) -> Tensor:
        for first, second in self.layers:  # type: ignore[attr-defined]
            x = x + first(x)
            x = x + second(x)
        return x


class Repeating(Net):
    def blocks(self, x: Tensor) -> Tensor:
        for block in self.layers:  # type: ignore[attr-defined]
            x = block(block(x))
        return x


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: Net(NotResidual),
            r"layers.3 returns no sum of an argument and something else, at block_nets.py:\d+ `x = b",
        ),
        (lambda: Net(Narrowing), r"layers.3 turns \(2, 2, 8\) into \(2, 1, 8\), at block_nets.py"),
        (lambda: Repeating(), r"layers.3 runs 2 times, at test_depth.py:\d+ `x = block\(block\(x\)\)`"),
        (
            lambda: Pairs(lambda index: nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])),
            r"layers.0 is a ModuleList: what is added around its modules is not in a module of its own",
        ),
    ],
)
def test_the_report_says_why_a_row_of_blocks_has_no_depth(make: Any, reason: str) -> None:
    supernet = supernet_of(make())
    assert not supernet.structure.stages
    (row,) = [row for row in supernet.report().rows if row.kind == "stage"]
    assert (row.layer, row.state) == ("layers", "fixed")
    assert re.match(reason, row.reason), row.reason


def test_torch_layers_in_a_row_are_no_missing_stage() -> None:
    assert not supernet_of(Net(lambda index: nn.Linear(8, 8))).structure.unstaged


def test_a_block_that_left_out_breaks_the_code_is_refused_with_the_line() -> None:
    class Summing(Net):
        def blocks(self, x: Tensor) -> Tensor:
            maps = []
            for block in self.layers:  # type: ignore[attr-defined]
                x, scores = block(x)
                maps.append(scores)
            return x * (maps[0] + maps[1] + maps[2] + maps[3]).mean()

    supernet = supernet_of(Summing(Attending))
    assert not supernet.structure.stages
    assert re.match(
        r"without layers.3.*TypeError.*NoneType.*at test_depth.py:\d+ `return x \* \(maps",
        supernet.refused["depth.layers"],
    )
