"""The sample of a profile: the anchors, blocks and probes that are timed, and their records for a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ofa._cost import cost
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.resolution import resized
from ofa.space import Space
from search.config.rules import FEWEST_ANCHORS
from search.device.latency.alignment import probe_networks
from search.device.latency.fit import check_count
from search.device.latency.pieces import PlacedPiece, choose_pieces, placed
from search.device.measuring import Network
from search.device.runtime import simplest
from search.device.timing import Floats
from search.device.workload import USUAL, Workload

if TYPE_CHECKING:
    from ofa.supernet import Supernet

POOL = 30  # candidates for every anchor
# How similar the choices of one draw are: at 2, draws that lean neither way are uniform.
CONCENTRATION = 2.0


def choose_anchors(space: Space, macs: Callable[[Sequence[Arch]], Floats], count: int, seed: int) -> list[Arch]:
    """Returns up to `count` distinct Archs: smallest, largest, and random ones spread evenly over log MACs.

    Uniform draws from a large space all lie near its middle; a search under a tight limit ends near its edge.

    Args:
        space: the space that the Archs are drawn from.
        macs: returns the MACs (N,) of Archs.
        count: how many to return; fewer if the space has no more.
        seed: the seed of the draws.

    Raises:
        InvalidInput: fewer than two anchors.
    """
    if count < 2:
        raise InvalidInput(f"anchors={count} must be at least 2: the smallest and the largest subnet")
    generator = np.random.default_rng(seed)
    ends = list(dict.fromkeys([space.smallest, space.largest]))
    drawn = (leaning(space, generator) for _ in range(POOL * count))
    pool = [arch for arch in dict.fromkeys(drawn) if arch not in ends]
    if not pool:
        return ends
    position = np.log(macs(pool))
    low, high = np.log(macs(ends)).min(), np.log(macs(ends)).max()
    chosen: list[int] = []
    for target in np.linspace(low, high, count)[1:-1]:
        free = np.setdiff1d(np.arange(len(pool)), chosen)
        if len(free) == 0:
            break
        # A random one of the few nearest, so that anchors differ in more than their MACs.
        near = free[np.argsort(np.abs(position[free] - target), kind="stable")[:5]]
        chosen.append(int(generator.choice(near)))
    return [*ends, *(pool[index] for index in chosen)]


def leaning(space: Space, generator: np.random.Generator) -> Arch:
    """Returns a random Arch whose choices lean together towards small, large or middle values."""
    lean = generator.uniform(0.01, 0.99)
    values = {}
    for choice in space.choices:
        chance = generator.beta(CONCENTRATION * lean, CONCENTRATION * (1 - lean))
        values[choice.key] = choice.values[int(generator.binomial(len(choice.values) - 1, chance))]
    return space.arch(values)


@dataclass(frozen=True)
class SampleItems:
    """The items that are timed, as values that fit in a file.

    Attributes:
        archs: the subnets.
        pieces: the blocks that are timed alone.
        widths: the widths of the networks that probe alignment.
    """

    archs: tuple[Arch, ...]
    pieces: tuple[PlacedPiece, ...] = ()
    widths: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sample:
    """The networks of a SampleItems: `nets` are the subnets, `parts` the pieces and after them the probes."""

    items: SampleItems
    nets: tuple[Network, ...]
    parts: tuple[Network, ...]


def choose_sample(
    supernet: Supernet, *, anchors: int, blocks: int, alignment: bool, seed: int, workload: Workload = USUAL
) -> Sample:
    """Returns the sample of a profile with up to so many anchors and blocks; a function of its arguments.

    Blocks are not timed alone for the next token of a text: each holds a cache of its own.

    Raises:
        InvalidInput: too few anchors to fit a latency model.
    """
    if anchors < FEWEST_ANCHORS:
        raise InvalidInput(f"anchors={anchors} must be at least {FEWEST_ANCHORS} to fit a latency model")

    def macs(archs: Sequence[Arch]) -> Floats:
        return cost(supernet, archs)["macs"].astype(float)

    archs = choose_anchors(supernet.space, macs, anchors, seed)
    nets = tuple(network_of(supernet, arch, workload) for arch in archs)  # first: they say what does not run
    check_count(len(archs))
    pieces = choose_pieces(supernet, archs, 0 if workload.decode else blocks, seed, workload)
    probes = probe_networks() if alignment else []
    items = SampleItems(tuple(archs), tuple(placed(supernet, pieces)), tuple(width for width, _, _ in probes))
    parts = [(piece.net, piece.example_input) for piece, _ in pieces]
    return Sample(
        items,
        nets,
        (*parts, *((net, _repeated(example, workload)) for _, net, example in probes)),
    )


def network_of(supernet: Supernet, arch: Arch, workload: Workload = USUAL) -> Network:
    """Returns what is timed of the subnet of an Arch, in eval mode, with its input at the Arch's resolution."""
    net, inputs = workload.network(supernet.extract(arch).eval(), resized(supernet.inputs.rows(0, 1), arch))
    return net, simplest(inputs)


def _repeated(example: Tensor, workload: Workload) -> Tensor:
    return example.repeat(workload.batch, *[1] * (example.dim() - 1))
