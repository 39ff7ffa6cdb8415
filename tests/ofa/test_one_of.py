"""Operators: a subnet has the chosen layer alone, and equals the network in which it was written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import ofa
from ofa.arch import Arch
from ofa.errors import InvalidArch, InvalidInput
from ofa.one_of import OneOf
from ofa.randomize import randomize_

RULES = ofa.SpaceRules(multiple_of=4, width_ratios=(0.5, 1.0))


class Zero(nn.Module):
    """The operator that gives nothing, of NAS-Bench-201 (Dong and Yang 2020, 2001.00326)."""

    def forward(self, value: Tensor) -> Tensor:
        return value * 0.0


def edge(channels: int) -> OneOf:
    def conv(size: int) -> nn.Sequential:
        layer = nn.Conv2d(channels, channels, size, padding=size // 2, bias=False)
        return nn.Sequential(nn.ReLU(), layer, nn.BatchNorm2d(channels))

    pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return OneOf(none=Zero(), skip=nn.Identity(), pool=pool, conv1=conv(1), conv3=conv(3))


class Cell(nn.Module):
    """NAS-Bench-201's cell: four nodes, each the sum of an operator of every node before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict({f"{end}<{start}": edge(channels) for end in (1, 2, 3) for start in range(end)})

    def forward(self, value: Tensor) -> Tensor:
        nodes = [value]
        for end in (1, 2, 3):
            nodes.append(sum(self.edges[f"{end}<{start}"](nodes[start]) for start in range(end)))  # type: ignore[arg-type]
        return nodes[-1]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cell, self.head = nn.Conv2d(3, 8, 3), Cell(8), nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.cell(self.stem(images)).mean((2, 3)))


class Inverted(nn.Module):
    """A residual block, which has a hidden width of its own."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand, self.norm, self.project = (
            nn.Conv2d(channels, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, value: Tensor) -> Tensor:
        return value + self.project(self.norm(self.expand(value)).relu())


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = OneOf(nn.Identity(), nn.Sequential(Inverted(8, 8), Inverted(8, 12)), Inverted(8, 16))

    def forward(self, value: Tensor) -> Tensor:
        return value + self.mix(value).tanh()


class Branch(nn.Module):
    """An operator with a stage of blocks inside."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix, self.head = nn.Conv2d(3, 8, 3), Block().mix, nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.mix(self.stem(images)).mean((2, 3)))


class Deep(nn.Module):
    """Operators with widths of their own, in blocks that can be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks, self.head = (
            nn.Conv2d(3, 8, 3),
            nn.Sequential(*(Block() for _ in range(3))),
            nn.Linear(8, 5),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(images)).mean((2, 3)))


IMAGES = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
SUPERNETS: dict[type[nn.Module], ofa.Supernet] = {}


def supernet_of(kind: type[nn.Module]) -> ofa.Supernet:
    if kind not in SUPERNETS:
        SUPERNETS[kind] = ofa.Supernet(kind().double(), IMAGES, RULES)
        randomize_(SUPERNETS[kind].model)
    return SUPERNETS[kind]


def chosen_by_hand(supernet: ofa.Supernet, arch: Arch) -> nn.Module:
    """The supernet's own model in which every operator runs what the Arch says; only for full widths and depths."""
    for operator in supernet.structure.operators:
        number = arch.operator.get(operator.path, -1)
        supernet.model.get_submodule(operator.path).chosen = operator.options[number]
    return supernet.model.eval()


@pytest.mark.parametrize("kind", [Net, Deep, Branch])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_subnet_is_the_network_with_its_operators_written_by_hand(kind: type[nn.Module], seed: int) -> None:
    supernet = supernet_of(kind)
    drawn = supernet.space.sample(np.random.default_rng(seed))
    full = supernet.space.arch({key: value for key, value in drawn.values.items() if key.startswith("operator.")})
    with torch.no_grad():
        expected = chosen_by_hand(supernet, full)(IMAGES)
        chosen_by_hand(supernet, supernet.space.largest)
        torch.testing.assert_close(supernet.extract(full).eval()(IMAGES), expected, rtol=1e-12, atol=1e-12)
        extracted, view = supernet.extract(drawn).eval(), supernet.subnet(drawn).eval()
        torch.testing.assert_close(view(IMAGES), extracted(IMAGES), rtol=1e-12, atol=1e-12)
    assert not any(isinstance(module, OneOf) for module in extracted.modules())
    assert Arch.from_json(drawn.to_json()) == drawn
    cost = ofa.cost(supernet, [drawn])
    assert cost["params"][0] == sum(parameter.numel() for parameter in extracted.parameters())
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        extracted(IMAGES[:1])
    assert 2 * cost["macs"][0] == counter.get_total_flops()
    measured = ofa.measure_peak_activation_bytes(extracted, IMAGES)
    assert ofa.peak_activation_bytes(supernet, [drawn]).tolist() == [measured]


def test_the_space_of_the_cell_is_nas_bench_201s_times_its_width() -> None:
    space = supernet_of(Net).space
    assert [choice.key for choice in space.choices if choice.kind == "width"] == ["width.stem"]
    assert space.size == 5**6 * 2
    assert len(set(space.choices)) == 7


def test_widths_inside_a_layer_count_where_it_is_chosen() -> None:
    space = supernet_of(Deep).space
    inside = [choice for choice in space.choices if ".options." in choice.name]
    assert {choice.kind for choice in inside} == {"width"}
    identity = space.arch({f"operator.blocks.{number}.mix": 0 for number in range(3)})
    assert not any(".options." in key for key in identity.values)
    shallow = space.arch({"depth.blocks": 1})
    assert [key for key in shallow.values if key.startswith("operator.")] == ["operator.blocks.0.mix"]
    width = next(choice for choice in inside if choice.kind == "width")
    with pytest.raises(InvalidArch, match="belongs to layers that are left out"):
        space.validate(Arch({**identity.width, width.name: width.values[0]}, identity.depth, {}, identity.operator))


def test_a_stage_inside_a_layer_counts_where_it_is_chosen() -> None:
    space = supernet_of(Branch).space
    assert space.arch({"operator.mix": 1}).depth == {"mix.options.1": 2}
    assert space.arch({"operator.mix": 2}).depth == {}


def test_gradients_reach_the_chosen_layer_alone() -> None:
    supernet = supernet_of(Net)
    for parameter in supernet.parameters():
        parameter.grad = None
    arch = supernet.space.arch({f"operator.cell.edges.{end}<{start}": 3 for end in (1, 2, 3) for start in range(end)})
    supernet.subnet(arch)(IMAGES).square().sum().backward()
    reached = {name for name, parameter in supernet.model.named_parameters() if parameter.grad is not None}
    assert any(".options.conv1." in name for name in reached)
    assert not any(".options.conv3." in name for name in reached)


def test_an_arch_file_holds_operators(tmp_path: Path) -> None:
    from ofa.arch import read_arch, write_arch

    arch = supernet_of(Net).space.sample(np.random.default_rng(3))
    write_arch(tmp_path / "arch.json", arch)
    assert read_arch(tmp_path / "arch.json") == arch
    assert len(json.loads((tmp_path / "arch.json").read_text())["operator"]) == 6


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Identity()], "two or more"),
        ([nn.Identity(), "conv"], "is no torch.nn.Module"),
        ([nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1)], r"0 returns \(2, 8, 4, 4\) and 1 \(2, 8, 6, 6\)"),
    ],
)
def test_layers_that_cannot_stand_for_each_other(layers: list[nn.Module], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        model = nn.Sequential(nn.Conv2d(3, 8, 3), OneOf(*layers), nn.Conv2d(8, 4, 1))
        ofa.Supernet(model, torch.randn(2, 3, 8, 8))


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match="conv3"):
        edge(8).choose_("conv5")
