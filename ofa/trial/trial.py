"""One trial: groups, stages and kernels vary together, narrow, and are compared with the full model.

A proposal (a width, a depth, a kernel) passes when the narrow view runs without touching the full model's
tensors, every meeting of labels in it was a meeting in the full model, and its output equals the full model's
with the removed units zeroed, on randomized weights and statistics. What fails is refused with the reason.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ofa.inputs import Inputs
from ofa.structure import coupling, tracing
from ofa.structure.blocks import Stage
from ofa.structure.chance import NoChance
from ofa.structure.coupling import Group
from ofa.structure.label_sets import missing
from ofa.structure.operators import all_run, chosen
from ofa.structure.passing import LeftOut
from ofa.structure.structure import Structure
from ofa.structure.tracing import in_mode
from ofa.trial import widths
from ofa.trial.comparison import difference, tolerance
from ofa.trial.guard import crash_reason
from ofa.trial.kept import KeptOnly, UnevenRemoval, removals
from ofa.trial.outputs import first_difference
from ofa.trial.reference import group_labels, reference_output, removed_labels
from ofa.trial.weights import Weights
from ofa.views.view import build, cloned, differentiable
from ofa.views.views import Views

# The checks by name; FIRST tell whether a width can vary at all, where a replay of labels runs the narrow model, too.
CRASH, LABELS, DRAWN_LABELS = "run", "labels", "labels of drawn widths"
WIDTHS, TRAINING = "widths", "training"
FIRST = (DRAWN_LABELS, f"{WIDTHS} 1", f"{WIDTHS} 2")


@dataclass(frozen=True)
class Failure:
    """The name of a check, and why it failed."""

    check: str
    reason: str


class Trial:
    """Runs proposals of one structure on a private randomized copy of the model."""

    def __init__(
        self, model: nn.Module, example: Inputs, structure: Structure, original: nn.Module, weights: Weights
    ) -> None:
        self.structure = structure
        self.model = model
        self.example = example
        self.views = Views(self.model, structure.groups, structure.attributes)
        self.originals = dict(original.named_parameters())
        self.weights = weights
        self.pairs = structure.trace.pair_keys()
        self.fixed = structure.trace.fixed_labels()
        self.labels = group_labels(structure.groups, self.views.sources)
        self.tolerance = tolerance(structure.trace.epsilon)

    def with_structure(self, structure: Structure) -> Trial:
        """Returns a trial of another structure that the same trace allows, on the same weights."""
        other = copy.copy(self)
        other.structure = structure
        other.views = self.views.changed(structure.groups, structure.attributes)
        if other.views.axes is not self.views.axes:
            other.labels = group_labels(structure.groups, other.views.sources)
        return other

    def run(self, groups: Sequence[Group], stages: Sequence[Stage], kernels: Sequence[str]) -> str | None:
        """Returns why these cannot vary together, or None when they can."""
        failure = self.failure(groups, stages, kernels)
        return None if failure is None else failure.reason

    def failure(
        self,
        groups: Sequence[Group],
        stages: Sequence[Stage],
        kernels: Sequence[str],
        only: Collection[str] | None = None,
    ) -> Failure | None:
        """Returns the first check in which these fail together, or None; `only` these checks, by name, where given."""
        for name, check in self.checks(groups, stages, kernels):
            if (only is None or name in only) and (reason := check()):
                return Failure(name, reason)
        return None

    def checks(
        self, groups: Sequence[Group], stages: Sequence[Stage], kernels: Sequence[str]
    ) -> Iterator[tuple[str, Callable[[], str | None]]]:
        """Yields every check by its name, those first that tell most for their time."""
        names = {group.name for group in groups}

        def narrowed(keep: Callable[[int, int], int]) -> tuple[int, ...]:
            numbered = enumerate(self.structure.groups)
            return tuple(
                max(group.least, keep(i, group.units)) if group.name in names else group.units for i, group in numbered
            )

        # In a replay a label is seen by the size of its dimension, so at least two units stay.
        half = narrowed(partial(widths.half, 2))
        if groups:
            yield CRASH, partial(self._crash, half)
            yield LABELS, partial(self._replay, half)
            yield DRAWN_LABELS, partial(self._replay, narrowed(partial(widths.drawn, 2, 0)))
        single, mixed = narrowed(widths.single), narrowed(partial(widths.drawn, 1, 1))
        smaller = (narrowed(partial(widths.half, 1)), single, mixed, *map(narrowed, widths.PATTERNS))
        compared = smaller if groups else (narrowed(widths.every),)
        # A block that is left out proves nothing about the widths inside it: these are compared with all blocks.
        done: list[tuple[tuple[int, ...], dict[str, str]]] = []
        for i in range(max([len(compared), *(len(operator.options) for operator in self.structure.operators)])):
            units, operators = compared[i % len(compared)], self._operators(i)
            if (units, operators) not in done:
                yield f"{WIDTHS} {i}", partial(self._compare, units, [], kernels, operators)
            done.append((units, operators))
        if stages:
            yield "depths", partial(self._compare, mixed, stages, kernels, self._operators(0))
        if self.structure.training is None:
            return
        # In train mode the trial is a whole one only if the model does other things there.
        if self.structure.training.meets_more:
            yield f"{TRAINING} {LABELS}", partial(self._in_training, partial(self._replay, half))
        shallow = [(mixed, stages)] if stages else []
        for i, (units, left_out) in enumerate([*shallow, (mixed, []), (single, [])]):
            compare = partial(self._compare, units, left_out, kernels, self._operators(i))
            yield f"{TRAINING} {WIDTHS} {i}", partial(self._in_training, compare)

    def _in_training(self, check: Callable[..., str | None]) -> str | None:
        reason = check(training=True)
        return f"in train mode, {reason}" if reason else None

    def _crash(self, units: Sequence[int]) -> str | None:
        """Runs the narrow model, nothing else."""
        operators = self._operators(0)
        try:
            self._narrow(units, {}, {}, operators, training=False)
        except Exception as error:
            return crash_reason(error)
        return None

    def _narrow(
        self,
        units: Sequence[int],
        dropped: Mapping[str, LeftOut],
        sizes: Mapping[str, int],
        operators: Mapping[str, str],
        training: bool,
    ) -> Any:
        """The output of a view."""
        view = build(self.views.plan(units, dropped, sizes, operators), differentiable, cloned)
        with in_mode(view, training), torch.no_grad(), NoChance():  # type: ignore[no-untyped-call]
            return self._inputs(training).call_on_copy(view)

    def _operators(self, number: int) -> dict[str, str]:
        """One layer of each operator, so that successive numbers reach them all."""
        return {
            operator.path: operator.options[(number + index) % len(operator.options)]
            for index, operator in enumerate(self.structure.operators)
        }

    def _replay(self, units: Sequence[int], training: bool = False) -> str | None:
        """Runs the narrow model on the full model's labels: each meeting must be one of the full model's."""
        view = build(self.views.plan(units, {}, {}), differentiable, cloned)
        tensors = dict(view.named_parameters()) | dict(view.named_buffers())
        labeled: dict[str, tuple[Tensor, Sequence[Tensor | None]]] = {}
        foreign = {}
        for name, source in self.views.sources.items():
            positions_by_dim = {}
            cut = self.views.slice(name, units)
            for dim, start, length in cut.narrows:
                positions_by_dim[dim] = torch.arange(start, start + length)
            for dim, positions in cut.gathers:
                positions_by_dim[dim] = positions
            labeled[name] = (tensors[name], coupling.labels_of(source, positions_by_dim))
            if tensors[name] is not source.tensor:
                foreign[name] = [source.tensor, *([self.originals[name]] if name in self.originals else [])]
        first_free = 1 + sum(size for source in self.views.sources.values() for size in source.shape)
        grouped = frozenset(self.structure.trace.grouped)
        try:
            with all_run(view):
                trace, _ = tracing.run(
                    view,
                    self._inputs(training),
                    labeled,
                    grouped=grouped,
                    foreign=foreign,
                    input_label=first_free,
                    training=training,
                )
        except Exception as error:
            return crash_reason(error)
        if trace.foreign:
            return f"the forward reads the full model's {min(trace.foreign)} (a closure, bound method or stored list)"
        new = missing(trace.pair_keys(), self.pairs)
        if len(new):
            return f"{len(new)} pairs of channels meet that do not meet in the full model"
        if len(extra := missing(trace.fixed_labels(), self.fixed)):
            return next(reason for labels, reason in trace.fixed if np.isin(labels.numpy(), extra).any())
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
            mode = KeptOnly(removals(trace.mixings, removed))
            with chosen(self.model, operators):
                wide = reference_output(
                    self.model, inputs, self.views, units, sizes, dropped, mode, self.weights, training
                )
        except UnevenRemoval as error:
            return str(error)
        except Exception as error:
            return crash_reason(error)
        return self.difference(narrow, wide, "the zeroed model's")

    def difference(self, narrow: Any, wide: Any, whose: str) -> str | None:
        """Returns why a view's output is not that of the reference, or None; `whose` output that is, for the reason."""
        finite = self.structure.trace.finite
        return first_difference(narrow, wide, partial(difference, allowed=self.tolerance, finite=finite, whose=whose))

    def _kernel(self, path: str) -> int:
        return int(self.model.get_submodule(path).kernel_size[0])  # type: ignore[index]
