"""Mixed latency: ms of subnets of which some layers compute in int8, from two profiles that were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa._cost import cost_of_parts
from ofa.arch import Arch
from search.candidates.mixtures import Groups, group_of
from search.device.latency.block_table import BlockTable
from search.device.latency.blocks import Block, find_blocks
from search.device.latency.pieces import block_holds
from search.device.timing import Floats

if TYPE_CHECKING:
    from ofa.supernet import Supernet
    from search.device.profile import Profile

Bools = np.ndarray[Any, np.dtype[np.bool_]]


class MixedLatency:
    """The sum of parts: of the time in float32 what the blocks in float32 have of it, of that in int8 the others' part.

    Where a block in int8 follows one in float32, or the other way round, values are converted. That takes half of
    what two blocks in int8 save in a row, beyond what two in float32 save: alone each converts its input and output.
    Parts are those of the blocks that were timed alone, or of MACs where the profiles have not timed the same ones.

    Args:
        usual, quick: the profiles in float32 and in int8.
        groups: globs of layers by the group's name; a block is in the group of its first layer.
    """

    def __init__(self, supernet: Supernet, usual: Profile, quick: Profile, groups: Groups) -> None:
        self._supernet, self._profiles = supernet, (usual, quick)
        tables = tuple(table for profile in self._profiles if (table := profile.table(supernet)) is not None)
        alike = len(tables) == 2 and tables[0].blocks == tables[1].blocks
        self._tables = tables if alike else ()
        self._blocks = tables[0].blocks if alike else find_blocks(supernet)
        self._groups = [group_of(_first_layer(supernet, block), groups) for block in self._blocks]
        means = [_mean_transition(table) for table in self._tables]
        self.border_ms = max(0.0, (means[0] - means[1]) / 2) if means else 0.0

    def predict(self, archs: Sequence[Arch], chosen: Sequence[Sequence[str]]) -> Floats:
        """Returns ms (archs,) of Archs, each with the groups that it has in int8."""
        usual, quick = (profile.predict_archs(self._supernet, archs) for profile in self._profiles)
        parts = [table.times(archs) for table in self._tables] or [self._macs(archs)] * 2
        in_int8 = np.array([[group in names for names in chosen] for group in self._groups], dtype=np.bool_)
        shares = [times / times.sum(axis=0) for times in parts]
        ms: Floats = usual * (shares[0] * ~in_int8).sum(axis=0) + quick * (shares[1] * in_int8).sum(axis=0)
        return ms + self.border_ms * borders(in_int8, parts[0] > 0)

    def _macs(self, archs: Sequence[Arch]) -> Floats:
        costs: Mapping[str, Any] = cost_of_parts(self._supernet, archs, [block.paths for block in self._blocks])
        return np.asarray(costs["macs"], dtype=np.float64)


def borders(in_int8: Bools, present: Bools) -> Floats:
    """Returns how often subnets change between int8 and float32 from block to block, (archs,).

    Args:
        in_int8, present: (blocks, archs), in order of the blocks.
    """
    count, before = np.zeros(in_int8.shape[1]), np.full(in_int8.shape[1], -1)
    for now, there in zip(in_int8.astype(int), present, strict=True):
        count += there & (before >= 0) & (before != now)
        before = np.where(there, now, before)
    return count


def _first_layer(supernet: Supernet, block: Block) -> str:
    inside = (layer.module for layer in supernet.structure.trace.contractions if block_holds(block, layer.module))
    return next(inside, block.paths[0])


def _mean_transition(table: BlockTable) -> float:
    """The mean over pairs of blocks of what they take in a row beyond each alone, in ms."""
    return float(np.mean([each.mean for each in table.transitions.values()])) if table.transitions else 0.0
