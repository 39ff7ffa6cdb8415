"""Blocks of the module tree, the pieces that are timed, and the table that answers for every Arch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from msgspec import structs
from torch import nn

import ofa
from ofa._cost import cost_of_parts
from ofa.errors import InvalidInput
from ofa.models import MobileNet, ResNet
from ofa.models.mobilenet_stage import DEFAULT_STAGES
from search.device.latency.block_table import BlockTable, fit_interpolation, padding_of
from search.device.latency.blocks import find_blocks, pairs_of, pieces_of
from search.device.latency.pieces import choose_pieces, from_entries, placed, timed
from search.device.timing import Timing


class Chain(nn.Module):
    """Layers in one Sequential, as VGG has them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Linear(32, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images).mean((2, 3)))


@pytest.fixture(scope="module")
def resnet() -> ofa.Supernet:
    torch.manual_seed(0)
    return ofa.Supernet(ResNet((3, 16, 16), 10, depth=20, widths=(16, 16, 32)).eval(), torch.randn(1, 3, 16, 16))


def timing(ms: float) -> Timing:
    return Timing(ms, ms, ms, 0.0, ms, 8)


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_blocks_of_a_residual_network(resnet):
    names = [block.name for block in find_blocks(resnet)]
    assert names == ["stem", *(f"stages.{stage}.{block}" for stage in range(3) for block in range(3)), "classifier"]


def test_a_layer_in_a_sequential_takes_what_follows_it():
    supernet = ofa.Supernet(Chain().eval(), torch.randn(1, 3, 8, 8))
    assert [block.paths for block in find_blocks(supernet)] == [
        ("features.0", "features.1", "features.2"),
        ("features.3", "features.4", "features.5"),
        ("classifier",),
    ]


def test_blocks_cover_every_layer():
    supernet = ofa.Supernet(MobileNet((3, 32, 32), stages=DEFAULT_STAGES[:3]).eval(), torch.randn(1, 3, 32, 32))
    blocks = find_blocks(supernet)
    parts = cost_of_parts(supernet, [supernet.space.largest], [block.paths for block in blocks])
    assert parts["macs"].sum() == ofa.cost(supernet, [supernet.space.largest])["macs"][0]
    assert (parts["layers"] > 0).all()


def test_pieces_in_a_row_are_the_network(resnet):
    generator = np.random.default_rng(1)
    arch = resnet.space.sample(generator)
    pieces = pieces_of(resnet, arch, find_blocks(resnet))
    body = [piece for piece in pieces if piece.block.name != "classifier"]
    with torch.no_grad():
        for piece, following in itertools.pairwise(body):
            torch.testing.assert_close(piece.net(piece.example_input), following.example_input)
    assert sum(arch.depth.values()) + len([b for b in pieces if "." not in b.block.name]) == len(pieces)


def test_the_table_gives_back_what_was_timed_and_zero_for_what_is_left_out(resnet):
    generator = np.random.default_rng(2)
    archs = [resnet.space.sample(generator) for _ in range(6)]
    pieces = choose_pieces(resnet, archs, 10_000, seed=0)
    entries = timed(placed(resnet, pieces), [timing(weights(piece.net) * 1e-3) for piece, _ in pieces])
    table = BlockTable(resnet, from_entries(resnet, entries))
    sums = table.sums(archs)
    for index, arch in enumerate(archs):
        parts = pieces_of(resnet, arch, table.blocks)  # two blocks in a row take what both take here: no borders
        assert sums["table_ms"][index] == pytest.approx(sum(weights(piece.net) for piece in parts) * 1e-3)
        assert sums["blocks"][index] == len(parts)


def test_what_was_not_timed_lies_between_and_borders_take_off_what_only_a_call_costs(resnet):
    generator = np.random.default_rng(3)
    archs = [resnet.space.sample(generator) for _ in range(30)]
    pieces = choose_pieces(resnet, archs, 40, seed=0)
    assert len([piece for piece, _ in pieces if "+" not in piece.block.name]) <= 40

    def ms(net: nn.Module) -> float:
        return 0.01 + 1e-6 * weights(net)  # a call, and the work

    table = BlockTable(
        resnet, from_entries(resnet, timed(placed(resnet, pieces), [timing(ms(p.net)) for p, _ in pieces]))
    )
    true = []
    for arch in archs:
        parts = pieces_of(resnet, arch, table.blocks)
        true.append(sum(ms(piece.net) for piece in parts) - 0.01 * len(pairs_of(parts)))
    np.testing.assert_allclose(table.sums(archs)["table_ms"], true, rtol=0.03)


def test_a_refused_piece_takes_its_block_out(resnet):
    pieces = choose_pieces(resnet, [resnet.space.largest], 10_000, seed=0)
    timings = [None if piece.block.name == "stem" else timing(1.0) for piece, _ in pieces]
    table = BlockTable(resnet, from_entries(resnet, timed(placed(resnet, pieces), timings)))
    assert "stem" not in [block.name for block in table.blocks]
    assert table.sums([resnet.space.largest])["blocks"][0] == len(find_blocks(resnet)) - 1


def test_entries_of_another_model_are_refused(resnet):
    pieces = choose_pieces(resnet, [resnet.space.largest], 4, seed=0)
    (first, *_) = timed(placed(resnet, pieces), [timing(1.0) for _ in pieces])
    first = structs.replace(first, places=(structs.replace(first.places[0], block="nowhere"),))
    with pytest.raises(InvalidInput, match="nowhere"):
        from_entries(resnet, [first])


def test_padding_is_found():
    generator = np.random.default_rng(0)
    widths = generator.integers(1, 12, (40, 2)) * 8.0

    def samples(padding: int):
        padded = np.ceil(widths / padding) * padding
        macs = padded.prod(axis=1) * 64
        costs = {"macs": macs, "depthwise_macs": 0 * macs, "activations": padded[:, 0] * 64, "params": macs / 64}
        return [(costs, ms)]

    true = np.ceil(widths / 16) * 16
    ms = 0.005 + 1e-6 * true.prod(axis=1) * 64
    assert padding_of(samples) == 16
    fitted = fit_interpolation(*samples(16)[0])
    np.testing.assert_allclose(fitted.predict(samples(16)[0][0]), ms, rtol=0.01)
