"""The sample of a profile: the subnets, blocks and probes that are timed, and what a profile remembers of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ofa.arch import Arch
from ofa.cost import cost
from ofa.errors import InvalidInput
from search.device.alignment import probe_networks
from search.device.anchors import choose_anchors
from search.device.fit import LEAST_NETWORKS
from search.device.pieces import choose_pieces, placed
from search.device.timing import Floats

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Network = tuple[nn.Module, torch.Tensor]  # with its input


@dataclass(frozen=True)
class SampleItems:
    """What is timed, in words that fit in a file.

    Attributes:
        archs: the subnets.
        pieces: {"key", "places"} of each block that is timed alone, see `search.device.pieces.placed`.
        widths: of the networks that probe alignment.
    """

    archs: tuple[Arch, ...]
    pieces: tuple[Mapping[str, Any], ...] = ()
    widths: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sample:
    """The networks of a SampleItems: `nets` are the subnets, `parts` the pieces and after them the probes."""

    items: SampleItems
    nets: tuple[nn.Module, ...]
    parts: tuple[Network, ...]


def choose_sample(supernet: Supernet, *, anchors: int, blocks: int, alignment: bool, seed: int) -> Sample:
    """Returns what a profile of so many anchors and, at most, blocks is made of; a function of its arguments.

    Raises:
        InvalidInput: too few anchors to fit a latency model.
    """
    if anchors < LEAST_NETWORKS:
        raise InvalidInput(f"anchors={anchors} must be at least {LEAST_NETWORKS} to fit a latency model")

    def macs(archs: Sequence[Arch]) -> Floats:
        return cost(supernet, archs)["macs"].astype(float)

    archs = choose_anchors(supernet.space, macs, anchors, seed)
    pieces = choose_pieces(supernet, archs, blocks, seed)
    probes = probe_networks() if alignment else []
    items = SampleItems(tuple(archs), tuple(placed(supernet, pieces)), tuple(width for width, _, _ in probes))
    parts = [(piece.net, piece.example_input) for piece, _ in pieces]
    return Sample(
        items,
        tuple(supernet.extract(arch).eval() for arch in archs),
        (*parts, *((net, example) for _, net, example in probes)),
    )
