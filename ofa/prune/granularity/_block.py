"""Blocks: tiles of a weight seen as a matrix of rows times (inputs times kernel)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.inputs import Example
from ofa.prune.granularity._weight import live_scores
from ofa.prune.granularity.pool import Pool
from ofa.prune.granularity.positions import WeightUse, find_use


@dataclass(frozen=True, eq=False)
class BlockGranularity:
    """Tiles of `block` (rows, columns) are removed whole; those at the edges are smaller where it does not divide."""

    model: nn.Module
    shapes: Mapping[str, tuple[int, ...]]
    example_input: Example | None
    block: tuple[int, int]

    @cached_property
    def use(self) -> WeightUse:
        """What each weight costs, computed on first use."""
        return find_use(self.model, self.example_input)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """One per weight tensor."""
        return tuple(Pool(name, prod(self._tiles(shape)), prod(shape), shape) for name, shape in self.shapes.items())

    def gather(self, scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns the mean score of what is left of each tile; -inf where nothing is."""
        means = []
        for name in self.shapes:
            mask = masks[name].cpu()
            live = self._tiled_sum(mask.double())
            total = self._tiled_sum(live_scores(scores[name], masks[name]).double().masked_fill(~mask, 0.0))
            means.append(torch.where(live > 0, total / live.clamp(min=1), -torch.inf).reshape(-1))
        return means

    def spread(self, keep: Sequence[Tensor]) -> dict[str, Tensor]:
        """Returns masks that are constant on each tile."""
        rows, columns = self.block
        masks = {}
        for (name, shape), keep_pieces in zip(self.shapes.items(), keep, strict=True):
            tiles = keep_pieces.reshape(self._tiles(shape))
            full = tiles.repeat_interleave(rows, dim=0).repeat_interleave(columns, dim=1)
            masks[name] = full[: shape[0], : prod(shape[1:])].reshape(shape)
        return masks

    def cost(self, counts: Sequence[int]) -> dict[str, float]:
        """Returns "params" and, where the input is known, "macs"; each tile counts with the mean size."""
        entries = {
            pool.name: round(pool.weights * count / pool.pieces) for pool, count in zip(self.pools, counts, strict=True)
        }
        return self.use.cost(self.model, entries)

    def _tiles(self, shape: tuple[int, ...]) -> tuple[int, int]:
        rows, columns = self.block
        return -(-shape[0] // rows), -(-prod(shape[1:]) // columns)

    def _tiled_sum(self, values: Tensor) -> Tensor:
        rows, columns = self.block
        matrix = values.reshape(values.shape[0], -1)
        high, wide = self._tiles(tuple(values.shape))
        padded = functional.pad(matrix, (0, wide * columns - matrix.shape[1], 0, high * rows - matrix.shape[0]))
        return padded.reshape(high, rows, wide, columns).sum(dim=(1, 3))


def block(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    example_input: Example | None = None,
    *,
    rows: int = 4,
    columns: int = 1,
) -> BlockGranularity:
    """Returns the granularity of tiles of `rows` outputs times `columns` inputs (of a convolution: inputs x kernel).

    Raises:
        InvalidInput: a side that is not at least 1.
    """
    if min(rows, columns) < 1:
        raise InvalidInput(f"rows={rows!r}, columns={columns!r} of a block: both must be at least 1")
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    return BlockGranularity(model, shapes, example_input, (rows, columns))
