"""Which choices of a space reach into a block, or across the border of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.device.blocks import Block, find_blocks

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Local = tuple[int, ...]  # the values of the choices that reach into a block; 0 where one is not active


@dataclass(frozen=True)
class TimedPiece:
    """What one piece took alone, in ms, and each place in the space where it stands: (block's name, local values)."""

    key: str
    ms: float
    places: tuple[tuple[str, Local], ...]


def local_columns(supernet: Supernet, block: Block) -> list[int]:
    """Returns the positions, in the space's choices, of the widths and kernels that reach into a block."""
    reached = {
        f"width.{supernet.groups[group].name}"
        for tensor, axes in supernet.axes.items()
        if any(block_holds(block, owner) for owner in supernet.owners(tensor))
        for axis in axes
        for group in axis.groups
    }
    reached |= {f"kernel_size.{path}" for path in supernet.structure.kernels if block_holds(block, path)}
    return [number for number, choice in enumerate(supernet.space.choices) if choice.key in reached]


class ColumnsOf:
    """The columns of every block of one supernet by name, of "first+second" those of both; found once."""

    def __init__(self, supernet: Supernet) -> None:
        self._own = {block.name: local_columns(supernet, block) for block in find_blocks(supernet)}

    def __contains__(self, name: str) -> bool:
        return set(name.split("+")) <= self._own.keys()

    def __getitem__(self, name: str) -> list[int]:
        return sorted({column for part in name.split("+") for column in self._own[part]})

    def across(self, first: str, second: str) -> list[int]:
        """Returns the columns of choices that reach into both."""
        return sorted(set(self._own[first]) & set(self._own[second]))


def block_holds(block: Block, path: str) -> bool:
    """Whether a module lies in a block."""
    return any(path == own or path.startswith(own + ".") for own in block.paths)
