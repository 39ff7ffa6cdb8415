"""One trial: groups, stages and kernels vary together, narrow, and are compared with the full model.

A proposal (a width, a depth, a kernel) passes when the narrow view runs without touching the full model's
tensors, every meeting of labels in it was a meeting in the full model, and its output equals the full model's
with the removed units zeroed, on randomized weights and statistics. What fails is refused with the reason.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ofa.inputs import Inputs
from ofa.structure import coupling, tracing
from ofa.structure.blocks import Stage
from ofa.structure.chance import NoChance
from ofa.structure.coupling import Group
from ofa.structure.operators import all_run, chosen
from ofa.structure.structure import Structure
from ofa.structure.tracer import error_line
from ofa.structure.tracing import in_mode
from ofa.trial.comparison import apart, tolerance
from ofa.trial.kept import KeptOnly, UnevenRemoval, removals
from ofa.trial.outputs import first_difference
from ofa.trial.reference import group_labels, reference_output, removed_labels
from ofa.views.view import build, cloned, differentiable
from ofa.views.views import Views

NOT_FINITE = "the narrow output is not finite"


class Trial:
    """Runs proposals of one structure on a private randomized copy of the model."""

    def __init__(
        self, model: nn.Module, example: Inputs, structure: Structure, original: nn.Module | None = None
    ) -> None:
        self.structure = structure
        self.model = model
        self.example = example
        self.views = Views(self.model, structure.groups, structure.attributes)
        self.originals = dict(model.named_parameters()) if original is None else dict(original.named_parameters())
        self.pairs = structure.trace.pair_keys()
        self.fixed = structure.trace.fixed_labels()
        self.labels = group_labels(structure.groups, self.views.sources)
        self.tolerance = tolerance(structure.trace.epsilon)

    def with_structure(self, structure: Structure) -> Trial:
        """Returns a trial of another structure that the same trace allows, on the same weights."""
        other = copy.copy(self)
        other.structure = structure
        other.views = Views(self.model, structure.groups, structure.attributes)
        other.labels = group_labels(structure.groups, other.views.sources)
        return other

    def run(self, groups: Sequence[Group], stages: Sequence[Stage], kernels: Sequence[str]) -> str | None:
        """Returns why these cannot vary together, or None when they can."""
        names = {group.name for group in groups}

        def narrowed(keep: Callable[[int, int], int]) -> list[int]:
            return [
                max(group.least, keep(number, group.units)) if group.name in names else group.units
                for number, group in enumerate(self.structure.groups)
            ]

        # In a replay a label is seen by the size of its dimension, so at least two units stay.
        for units in (narrowed(partial(_half, 2)), narrowed(partial(_drawn, 2, 0))) if groups else ():
            if reason := self._replay(units):
                return reason
        single, mixed = narrowed(lambda _, units: 1), narrowed(partial(_drawn, 1, 1))
        widths = (
            (narrowed(partial(_half, 1)), single, mixed, *map(narrowed, _PATTERNS)) if groups else (narrowed(_all),)
        )
        # A block that is left out proves nothing about the widths inside it: these are compared with all blocks.
        for number in range(max([len(widths), *(len(operator.options) for operator in self.structure.operators)])):
            if reason := self._compare(widths[number % len(widths)], [], kernels, self._operators(number)):
                return reason
        if stages and (reason := self._compare(mixed, stages, kernels, self._operators(0))):
            return reason
        return self._in_train_mode(narrowed(partial(_half, 2)), mixed, single, stages, kernels)

    def _in_train_mode(
        self,
        half: Sequence[int],
        mixed: Sequence[int],
        single: Sequence[int],
        stages: Sequence[Stage],
        kernels: Sequence[str],
    ) -> str | None:
        """Runs the trial in train mode, where the model runs in it: in full only if it does other things there."""
        if self.structure.training is None:
            return None
        reason = self._replay(half, training=True) if self.structure.training.meets_more else None
        shallow = [(mixed, stages)] if stages else []
        for number, (units, left_out) in enumerate([*shallow, (mixed, []), (single, [])]):
            reason = reason or self._compare(units, left_out, kernels, self._operators(number), training=True)
        return f"in train mode, {reason}" if reason else None

    def _operators(self, number: int) -> dict[str, str]:
        """One layer of each operator, so that successive numbers reach them all."""
        return {
            operator.path: operator.options[(number + place) % len(operator.options)]
            for place, operator in enumerate(self.structure.operators)
        }

    def _replay(self, units: Sequence[int], training: bool = False) -> str | None:
        """Runs the narrow model on the full model's labels: each meeting must be one of the full model's."""
        view = build(self.views.plan(units, {}, {}), differentiable, cloned)
        tensors = dict(view.named_parameters()) | dict(view.named_buffers())
        labelled: dict[str, tuple[Tensor, Sequence[Tensor | None]]] = {}
        foreign = {}
        for name, source in self.views.sources.items():
            positions_by_dim = {}
            cut = self.views.slice(name, units)
            for dim, start, length in cut.narrows:
                positions_by_dim[dim] = torch.arange(start, start + length)
            for dim, positions in cut.gathers:
                positions_by_dim[dim] = positions
            labelled[name] = (tensors[name], coupling.labels_of(source, positions_by_dim))
            if tensors[name] is not source.tensor:
                foreign[name] = [source.tensor, *([self.originals[name]] if name in self.originals else [])]
        first_free = 1 + sum(size for source in self.views.sources.values() for size in source.shape)
        grouped = frozenset(self.structure.trace.grouped)
        try:
            with all_run(view):
                trace, _ = tracing.run(
                    view,
                    self._inputs(training),
                    labelled,
                    grouped=grouped,
                    foreign=foreign,
                    input_label=first_free,
                    training=training,
                )
        except Exception as error:
            return crash_reason(error)
        if trace.foreign:
            return f"the forward reads the full model's {min(trace.foreign)} (a closure, bound method or stored list)"
        new = np.setdiff1d(trace.pair_keys(), self.pairs)
        if len(new):
            return f"{len(new)} pairs of channels meet that do not meet in the full model"
        extra = [labels for labels, _ in trace.fixed if len(np.setdiff1d(labels.numpy(), self.fixed))]
        if extra:
            return next(reason for labels, reason in trace.fixed if labels is extra[0])
        return None

    def _inputs(self, training: bool) -> Inputs:
        return self.structure.training.example if training and self.structure.training else self.example

    def _compare(
        self,
        units: Sequence[int],
        stages: Sequence[Stage],
        kernels: Sequence[str],
        operators: Mapping[str, str],
        training: bool = False,
    ) -> str | None:
        """Compares the narrow model's output with the full model's without the removed units."""
        dropped = {path: left for stage in stages for path, left in stage.left_out(stage.always).items()}
        sizes = {path: max(1, self._kernel(path) - 2) for path in kernels}
        trace = self.structure.training.trace if training and self.structure.training else self.structure.trace
        removed = removed_labels(self.labels, units) if trace.mixings else torch.zeros(0, dtype=torch.bool)
        inputs = self._inputs(training)
        try:
            view = build(self.views.plan(units, dropped, sizes, operators), differentiable, cloned)
            with in_mode(view, training), torch.no_grad(), NoChance():  # type: ignore[no-untyped-call]
                narrow = inputs.call_on_copy(view)
            kept = KeptOnly(removals(trace.mixings, removed))
            with chosen(self.model, operators):
                wide = reference_output(self.model, inputs, self.views, units, sizes, dropped, kept, training)
        except UnevenRemoval as error:
            return str(error)
        except Exception as error:
            return crash_reason(error)
        return first_difference(narrow, wide, self._difference)

    def _difference(self, small: Tensor, large: Tensor) -> str | None:
        if small.shape != large.shape:
            return f"the output changes shape from {tuple(large.shape)} to {tuple(small.shape)}"
        if self.structure.trace.finite and not bool(torch.isfinite(small).all()):
            return NOT_FINITE
        difference = apart(small, large)
        if difference > self.tolerance:
            return f"the narrow output differs from the zeroed model's by {difference:.1e}"
        return None

    def _kernel(self, path: str) -> int:
        return int(self.model.get_submodule(path).kernel_size[0])  # type: ignore[index]


def _half(least: int, _: int, units: int) -> int:
    return max(min(least, units), units // 2)


def _all(_: int, units: int) -> int:
    return units


def _drawn(least: int, seed: int, number: int, units: int) -> int:
    """A width of its own for each group: it shows what equal ones hide, such as a slice of every second channel."""
    return int(np.random.default_rng([seed, number]).integers(min(least, units), units + 1))


def _some_halved(bit: int, value: int, number: int, units: int) -> int:
    """Halves the groups whose number has a bit: of two groups next to each other, the one and then the other."""
    return _half(1, number, units) if number >> bit & 1 == value else units


_PATTERNS = tuple(partial(_some_halved, bit, value) for bit in (0, 1) for value in (1, 0))


_OF_SIZES = (
    *("size", "shape", "dimension", "channel", "view", "expand", "broadcast", "multipl", "split", "elements", "index"),
)


def crash_reason(error: BaseException) -> str:
    """Returns what went wrong, at which line of the user's code."""
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else ""
    is_of_sizes = not first or any(word in first.lower() for word in _OF_SIZES)
    question = "; is a size hard-coded?" if is_of_sizes else ""
    return f"{type(error).__name__}: {first} at {error_line(error)}{question}"
