"""The block table: ms of every block of many Archs, from pieces timed alone and interpolation between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import nnls

from ofa._cost import cost_of_parts
from ofa.arch import Arch
from ofa.choice import holds
from ofa.errors import InvalidInput
from search.device.latency.blocks import Block, find_blocks
from search.device.latency.pieces import Local, TimedPiece, block_holds, local_columns
from search.device.latency.transitions import transition_sums, transitions_of
from search.device.timing import Floats

if TYPE_CHECKING:
    from ofa.supernet import Supernet

# Runtimes that compute in vectors pad channels to their width: 8 numbers with AVX2, 16 with AVX-512.
PADDINGS = (1, 8, 16, 32)
NEARNESS = 1.0  # how far a measured piece has influence, in standard deviations of log costs
NOISE = 0.15  # noise of a piece's deviation from the linear law, as a fraction of the pieces' deviations
FEWEST_FOR_NEIGHBORS = 4

Samples = tuple[Mapping[str, Floats], Floats]  # costs by name and ms of the pieces of one family


@dataclass(frozen=True)
class Interpolation:
    """ms = linear law of costs, none negative, times the deviation of measured neighbors from it (a kernel average)."""

    coefficients: Floats
    center: Floats
    scale: Floats
    points: Floats  # (pieces, features)
    weights: Floats  # (pieces,)

    def predict(self, costs: Mapping[str, Floats]) -> Floats:
        """Returns ms (N,) for costs (N,) by name."""
        law = np.maximum(_columns(costs) @ self.coefficients, 1e-9)
        if not len(self.points):
            return law
        near = _kernel((_logs(costs) - self.center) / self.scale, self.points)
        ms: Floats = law * np.exp(near @ self.weights)
        return ms


def fit_interpolation(costs: Mapping[str, Floats], ms: Floats) -> Interpolation:
    """Returns the Interpolation fitted to the pieces of one family: costs (N,) by name, and ms (N,)."""
    columns = _columns(costs)
    coefficients: Floats = nnls(columns / ms[:, None], np.ones(len(ms)))[0]
    logs = _logs(costs)
    center: Floats = logs.mean(axis=0)
    scale: Floats = np.maximum(logs.std(axis=0), 0.05)
    if len(ms) < FEWEST_FOR_NEIGHBORS:
        return Interpolation(coefficients, center, scale, np.empty((0, logs.shape[1])), np.empty(0))
    points = (logs - center) / scale
    deviation = np.log(ms / np.maximum(columns @ coefficients, 1e-9))
    weights = np.asarray(np.linalg.solve(_kernel(points, points) + NOISE * np.eye(len(ms)), deviation), np.float64)
    return Interpolation(coefficients, center, scale, points, weights)


def padding_of(samples: Callable[[int], Sequence[Samples]]) -> int:
    """Returns the multiple to round channels up to: the one whose laws best fit held-out pieces.

    `samples` returns the pieces of every family, with costs of channels rounded up to a multiple.
    """
    errors = []
    for padding in PADDINGS:
        errors.append(float(np.mean(np.concatenate([left_out_errors(*family) for family in samples(padding)]))))
    return PADDINGS[int(np.argmin(np.round(errors, 4)))]


def left_out_errors(costs: Mapping[str, Floats], ms: Floats, folds: int = 5) -> Floats:
    """Returns the relative error (N,) of each piece under a fit without it."""
    errors = np.zeros(len(ms))
    for fold in range(min(folds, len(ms)) if len(ms) > 1 else 0):
        out = np.arange(len(ms)) % folds == fold
        rest = {name: values[~out] for name, values in costs.items()}
        fitted = fit_interpolation(rest, ms[~out])
        errors[out] = np.abs(fitted.predict({name: values[out] for name, values in costs.items()}) / ms[out] - 1)
    return errors


def _columns(costs: Mapping[str, Floats]) -> Floats:
    dense = costs["macs"] - costs["depthwise_macs"]
    rest = [costs["depthwise_macs"], costs["activations"], costs["params"]]
    return np.stack([np.ones(len(dense)), 1e-6 * dense, *(1e-6 * values for values in rest)], axis=1)


def _logs(costs: Mapping[str, Floats]) -> Floats:
    names = ("macs", "depthwise_macs", "activations", "params")
    return np.log1p(np.stack([costs[name] for name in names], axis=1))


def _kernel(first: Floats, second: Floats) -> Floats:
    distances = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=2)
    near: Floats = np.exp(-0.5 * distances / NEARNESS**2)
    return near


class BlockTable:
    """Times of blocks by their local choices: measured where available, otherwise interpolated.

    It answers for 10,000 Archs in well under a second: a block's times are cached by its local choices, of which
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
                    raise InvalidInput(f"blocks: {name!r} with {len(local)} choices is not a block of this supernet")
                self._known[number[name]][local] = piece.ms
        self._measured = [dict(known) for known in self._known]
        self.transitions = transitions_of(supernet, pairs, self._alone)

    def sums(self, archs: Sequence[Arch]) -> dict[str, Floats]:
        """Returns float64 (archs,) by name: "table_ms", the sum over blocks and their transitions, and "blocks",
        the number of blocks.
        """
        times = self.times(archs)
        names = [block.name for block in self.blocks]
        transitions = transition_sums(self.transitions, names, times, self.supernet.space.encode(archs))
        return {"table_ms": times.sum(axis=0) + transitions, "blocks": (times > 0).sum(axis=0).astype(np.float64)}

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
                times = self._interpolated(number, [archs[first[row]] for row in unknown])
                for row, ms in zip(unknown, times.tolist(), strict=True):
                    values[row] = self._known[number][tuple(rows[row].tolist())] = ms
            result[number] = np.where(runs[number], values[inverse], 0.0)
        return result

    def _runs(self, archs: Sequence[Arch]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """A bool (blocks, archs): whether the block is part of the subnet."""
        rows = []
        for block in self.blocks:
            conditions = self.supernet.conditions(block.name)
            structure = self.supernet.structure
            full = {f"depth.{stage.name}": len(stage.blocks) for stage in structure.stages}
            full |= {f"operator.{operator.path}": len(operator.options) - 1 for operator in structure.operators}
            rows.append(
                [
                    any(
                        all(holds(key, arch.values.get(key, full[key]), least) for key, least in every)
                        for every in conditions
                    )
                    for arch in archs
                ]
                if conditions != ((),)
                else [True] * len(archs)
            )
        return np.array(rows, dtype=np.bool_).reshape(len(self.blocks), len(archs))

    def _alone(self, name: str, local: Local) -> float | None:
        """A block's time alone, from the table or interpolated; None where the table does not have the block."""
        number = next((index for index, block in enumerate(self.blocks) if block.name == name), None)
        if number is None:
            return None
        known = self._known[number].get(local)
        return float(self._interpolated(number, [self._arch_with(number, local)])[0]) if known is None else known

    def _interpolated(self, number: int, archs: Sequence[Arch]) -> Floats:
        fitted, padding = self._fitted
        return fitted[number].predict(self._costs(number, archs, padding))

    @cached_property
    def _fitted(self) -> tuple[list[Interpolation], int]:
        """The interpolation by block (blocks of one structure share it), and the padding that fits best."""
        measured = self._measured
        families: dict[Any, list[int]] = {}
        for number, block in enumerate(self.blocks):
            families.setdefault(self._family(block), []).append(number)

        def samples_by_family(padding: int) -> dict[Any, tuple[Mapping[str, Floats], Floats]]:
            return {
                family: self._samples(numbers, [measured[number] for number in numbers], padding)
                for family, numbers in families.items()
            }

        padding = padding_of(lambda padding: list(samples_by_family(padding).values()))
        fits = {family: fit_interpolation(*samples) for family, samples in samples_by_family(padding).items()}
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
        costs = cost_of_parts(self.supernet, archs, [self.blocks[number].paths], multiple_of=padding)
        return {name: values[0].astype(np.float64) for name, values in costs.items()}

    def _arch_with(self, number: int, local: Local) -> Arch:
        """Any Arch in which the block has these local values."""
        space = self.supernet.space
        keys = [space.choices[column].key for column in self._columns[number]]
        values = {key: value for key, value in zip(keys, local, strict=True) if value}
        return space.arch(values)  # unnamed choices take their largest value, so that every block is present

    def _family(self, block: Block) -> Any:
        """Equal for blocks of the same classes that work on maps of the same sizes."""
        modules = self.supernet.model.get_submodule
        kinds = tuple(type(inner).__name__ for path in block.paths for inner in modules(path).modules())
        inside = [layer for layer in self.supernet.structure.trace.contractions if block_holds(block, layer.module)]
        return kinds, tuple(layer.positions for layer in inside)
