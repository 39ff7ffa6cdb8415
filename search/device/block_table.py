"""The block table: ms of every block of many Archs, from pieces that were timed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa.arch import Arch
from ofa.cost import cost_of_parts
from ofa.errors import InvalidInput
from search.device.between import Between, fit_between, padding_of
from search.device.blocks import Block, find_blocks
from search.device.borders import border_sums, borders_of
from search.device.local_choices import Local, TimedPiece, block_holds, local_columns
from search.device.timing import Floats

if TYPE_CHECKING:
    from ofa.supernet import Supernet


class BlockTable:
    """Times of blocks by their local choices: what was measured where it was, and what lies between.

    It answers for 10,000 Archs in well under a second: a block's answers are kept by its local choices, of which
    there are few, however many Archs there are.
    """

    def __init__(self, supernet: Supernet, pieces: Sequence[TimedPiece]) -> None:
        self.supernet = supernet
        pairs = [piece for piece in pieces if any("+" in name for name, _ in piece.places)]
        pieces = [piece for piece in pieces if piece not in pairs]
        timed = {name for piece in pieces for name, _ in piece.places}
        self.blocks = tuple(block for block in find_blocks(supernet) if block.name in timed)
        self._columns = [local_columns(supernet, block) for block in self.blocks]
        self._known: list[dict[Local, float]] = [{} for _ in self.blocks]
        number = {block.name: index for index, block in enumerate(self.blocks)}
        for piece in pieces:
            for name, local in piece.places:
                if name not in number or len(local) != len(self._columns[number[name]]):
                    raise InvalidInput(f"blocks: {name!r} with {len(local)} choices is no block of this supernet")
                self._known[number[name]][local] = piece.ms
        self._measured = [dict(known) for known in self._known]
        self._borders = borders_of(supernet, pairs, self._alone)

    def sums(self, archs: Sequence[Arch]) -> dict[str, Floats]:
        """Returns float64 (archs,) by name: "table_ms", the sum over blocks and their borders, and "blocks",
        how many there are.
        """
        times = self.times(archs)
        names = [block.name for block in self.blocks]
        borders = border_sums(self.supernet, self._borders, names, times > 0, self.supernet.space.encode(archs))
        return {"table_ms": times.sum(axis=0) + borders, "blocks": (times > 0).sum(axis=0).astype(np.float64)}

    def times(self, archs: Sequence[Arch]) -> Floats:
        """Returns ms (blocks, archs) of each block alone; 0 where an Arch leaves it out."""
        encoded = self.supernet.space.encode(archs)
        runs = self._runs(archs)
        result = np.zeros((len(self.blocks), len(archs)))
        for number, columns in enumerate(self._columns):
            rows, inverse = np.unique(encoded[:, columns], axis=0, return_inverse=True)
            inverse = inverse.reshape(-1)
            first = np.full(len(rows), -1)
            present = np.flatnonzero(runs[number])
            first[inverse[present[::-1]]] = present[::-1]
            values = np.zeros(len(rows))
            unknown = []
            for row, index in enumerate(first):
                known = self._known[number].get(tuple(rows[row].tolist()))
                if index >= 0 and known is None:
                    unknown.append(row)
                values[row] = known or 0.0
            if unknown:
                found = self._between(number, [archs[first[row]] for row in unknown])
                for row, ms in zip(unknown, found.tolist(), strict=True):
                    values[row] = self._known[number][tuple(rows[row].tolist())] = ms
            result[number] = np.where(runs[number], values[inverse], 0.0)
        return result

    def _runs(self, archs: Sequence[Arch]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """A bool (blocks, archs): whether the block is part of the subnet."""
        rows = []
        for block in self.blocks:
            conditions = self.supernet.conditions(block.name)
            full = {stage.name: len(stage.blocks) for stage in self.supernet.structure.stages}
            rows.append(
                [
                    any(
                        all(arch.values.get(key, full[key.removeprefix("depth.")]) >= least for key, least in every)
                        for every in conditions
                    )
                    for arch in archs
                ]
                if conditions != ((),)
                else [True] * len(archs)
            )
        return np.array(rows, dtype=np.bool_).reshape(len(self.blocks), len(archs))

    def _alone(self, name: str, local: Local) -> float | None:
        """What a block takes alone, from the table or between its entries; None where it is no block of the table."""
        number = next((index for index, block in enumerate(self.blocks) if block.name == name), None)
        if number is None:
            return None
        known = self._known[number].get(local)
        return float(self._between(number, [self._arch_with(number, local)])[0]) if known is None else known

    def _between(self, number: int, archs: Sequence[Arch]) -> Floats:
        fitted, padding = self._fitted
        return fitted[number].predict(self._costs(number, archs, padding))

    @cached_property
    def _fitted(self) -> tuple[list[Between], int]:
        """What lies between measured pieces, by block (blocks of one structure share it), and the padding found."""
        measured = self._measured
        families: dict[Any, list[int]] = {}
        for number, block in enumerate(self.blocks):
            families.setdefault(self._family(block), []).append(number)

        def gathered(padding: int) -> dict[Any, tuple[Mapping[str, Floats], Floats]]:
            return {
                family: self._samples(numbers, [measured[number] for number in numbers], padding)
                for family, numbers in families.items()
            }

        padding = padding_of(lambda padding: list(gathered(padding).values()))
        fits = {family: fit_between(*samples) for family, samples in gathered(padding).items()}
        by_block = {number: fits[family] for family, numbers in families.items() for number in numbers}
        return [by_block[number] for number in range(len(self.blocks))], padding

    def _samples(
        self, numbers: Sequence[int], known: Sequence[Mapping[Local, float]], padding: int
    ) -> tuple[Mapping[str, Floats], Floats]:
        costs: list[Mapping[str, Floats]] = []
        times: list[float] = []
        for number, entries in zip(numbers, known, strict=True):
            costs.append(self._costs(number, [self._arch_with(number, local) for local in entries], padding))
            times += entries.values()
        return {name: np.concatenate([cost[name] for cost in costs]) for name in costs[0]}, np.array(times)

    def _costs(self, number: int, archs: Sequence[Arch], padding: int) -> dict[str, Floats]:
        found = cost_of_parts(self.supernet, archs, [self.blocks[number].paths], multiple_of=padding)
        return {name: values[0].astype(np.float64) for name, values in found.items()}

    def _arch_with(self, number: int, local: Local) -> Arch:
        """Any Arch in which the block has these local values."""
        space = self.supernet.space
        keys = [space.choices[column].key for column in self._columns[number]]
        values = {key: value for key, value in zip(keys, local, strict=True) if value}
        return space.arch(values)  # what is not named is the largest, so that every block is there

    def _family(self, block: Block) -> Any:
        """Equal for blocks of the same classes that work on maps of the same sizes."""
        modules = self.supernet.model.get_submodule
        kinds = tuple(type(inner).__name__ for path in block.paths for inner in modules(path).modules())
        inside = [found for found in self.supernet.structure.trace.contractions if block_holds(block, found.module)]
        return kinds, tuple(found.positions for found in inside)
