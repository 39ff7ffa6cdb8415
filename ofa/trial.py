"""Trials: nothing that labels propose is accepted until it has been run narrow and compared.

A proposal (a width, a depth, a kernel) passes when the narrow view runs without touching the full model's
tensors, every meeting of labels in it was a meeting in the full model, and its output equals the full model's
with the removed units zeroed, on randomised weights and statistics. What fails is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from ofa import coupling, tracer
from ofa.blocks import Stage
from ofa.coupling import Group
from ofa.randomise import randomise_
from ofa.structure import Structure, Views, private_copy
from ofa.view import build, cloned, differentiable

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Verdict:
    """The structure that passed, and why the rest was refused, by "kind.name"."""

    structure: Structure
    refused: dict[str, str]


class Trial:
    """Runs proposals of one structure on a randomised double-precision copy of the model."""

    def __init__(
        self, model: nn.Module, example: Tensor, structure: Structure, original: nn.Module | None = None
    ) -> None:
        self.structure = structure
        self.model = randomise_(private_copy(model).double())
        self.example = example.double() if example.is_floating_point() else example
        self.views = Views(self.model, structure.groups)
        self.originals = dict(model.named_parameters()) if original is None else dict(original.named_parameters())
        self.pairs = _keys(structure.trace.pair_array())
        self.fixed = _all_labels([labels for labels, _ in structure.trace.fixed])

    def run(self, groups: Sequence[Group], stages: Sequence[Stage], kernels: Sequence[str]) -> str | None:
        """Returns why these cannot vary together, or None when they can."""
        names = {group.name for group in groups}

        def narrowed(keep: Callable[[int, int], int]) -> list[int]:
            return [
                keep(number, group.units) if group.name in names else group.units
                for number, group in enumerate(self.structure.groups)
            ]

        rng = np.random.default_rng(0)
        half, one = narrowed(lambda _, units: max(1, units // 2)), narrowed(lambda _, units: 1)
        # Widths that differ from group to group show what equal ones hide, such as a slice of every second channel.
        mixed = narrowed(lambda _, units: int(rng.integers(1, units + 1)))
        even = narrowed(lambda number, units: max(1, units // 2) if number % 2 else units)
        odd = narrowed(lambda number, units: units if number % 2 else max(1, units // 2))
        for units in (half, mixed) if groups else ():
            if reason := self._replay(units):
                return reason
        for units in (half, one, mixed, even, odd) if groups else (half,):
            if reason := self._compare(units, stages, kernels):
                return reason
        return None

    def _output(self, model: nn.Module) -> list[Tensor]:
        with torch.no_grad():
            return [value for value in tree_flatten(model(self.example))[0] if isinstance(value, Tensor)]

    def _replay(self, units: Sequence[int]) -> str | None:
        """Runs the narrow model on the full model's labels: each meeting must be one of the full model's."""
        view = build(self.views.plan(units, frozenset(), {}), differentiable, cloned)
        own = dict(view.named_parameters()) | dict(view.named_buffers())
        labelled: dict[str, tuple[Tensor, Sequence[Tensor | None]]] = {}
        foreign = {}
        for name, source in self.views.sources.items():
            kept = {}
            cut = self.views.slice(name, units)
            for dim, start, length in cut.narrows:
                kept[dim] = torch.arange(start, start + length)
            for dim, positions in cut.gathers:
                kept[dim] = positions
            labelled[name] = (own[name], coupling.labels_of(source, kept))
            if own[name] is not source.tensor:
                foreign[name] = [source.tensor, *([self.originals[name]] if name in self.originals else [])]
        first_free = 1 + sum(size for source in self.views.sources.values() for size in source.shape)
        grouped = frozenset(self.structure.trace.grouped)
        try:
            trace, _ = tracer.run(
                view, self.example, labelled, grouped=grouped, foreign=foreign, input_label=first_free
            )
        except Exception as error:
            return _crash(error)
        if trace.foreign:
            return f"the forward reads the full model's {min(trace.foreign)} (a closure, bound method or stored list)"
        new = np.setdiff1d(_keys(trace.pair_array()), self.pairs)
        if len(new):
            return f"{len(new)} pairs of channels meet that do not meet in the full model"
        extra = [labels for labels, _ in trace.fixed if len(np.setdiff1d(labels.numpy(), self.fixed))]
        if extra:
            return next(reason for labels, reason in trace.fixed if labels is extra[0])
        return None

    def _compare(self, units: Sequence[int], stages: Sequence[Stage], kernels: Sequence[str]) -> str | None:
        """Compares the narrow model's output with the full model's whose removed units are zero."""
        exact = [
            group.units if group.renormalised else count
            for group, count in zip(self.structure.groups, units, strict=True)
        ]
        dropped = frozenset(path for stage in stages for path in stage.dropped(stage.always))
        sizes = {path: max(1, self._kernel(path) - 2) for path in kernels}
        try:
            narrow = self._output(build(self.views.plan(exact, dropped, sizes), differentiable, cloned))
            with _skipped(self.model, dropped):
                wide = self._zeroed(exact, sizes)
        except Exception as error:
            return _crash(error)
        for small, large in zip(narrow, wide, strict=True):
            if small.shape != large.shape:
                return f"the output changes shape from {tuple(large.shape)} to {tuple(small.shape)}"
            difference = float((small - large).abs().max()) if small.numel() else 0.0
            if not difference <= TOLERANCE * max(1.0, float(large.abs().max()) if large.numel() else 0.0):
                return f"the narrow output differs from the zeroed model's by {difference:.1e}"
        return None

    def _kernel(self, path: str) -> int:
        return int(self.model.get_submodule(path).kernel_size[0])  # type: ignore[index]

    def _zeroed(self, units: Sequence[int], kernels: dict[str, int]) -> list[Tensor]:
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.model.named_parameters():
            cut = self.views.slice(name, units, kernels.get(name.rpartition(".")[0]))
            if cut.is_whole:
                continue
            keep = torch.ones_like(parameter)
            for dim, start, length in cut.narrows:
                keep.narrow(dim, 0, start).zero_()
                keep.narrow(dim, start + length, keep.size(dim) - start - length).zero_()
            for dim, positions in cut.gathers:
                gone = torch.ones(keep.size(dim), dtype=torch.bool)
                gone[positions] = False
                keep.index_fill_(dim, gone.nonzero().squeeze(1), 0)
            tensors[name] = parameter.detach() * keep
        with torch.no_grad():
            output = torch.func.functional_call(self.model, tensors, (self.example,))
        return [value for value in tree_flatten(output)[0] if isinstance(value, Tensor)]


@contextmanager
def _skipped(model: nn.Module, paths: frozenset[str]) -> Iterator[None]:
    """Lets the named blocks of a private copy hand their input on."""
    blocks: list[Any] = [model.get_submodule(path) for path in paths]
    for block in blocks:
        block.forward = _hand_on
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _hand_on(value: Tensor) -> Tensor:
    return value


def _crash(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''} at {tracer.error_line(error)}; is a size hard-coded?"


def _keys(pairs: coupling.IntArray) -> coupling.IntArray:
    """Packs each pair into one number, sorted."""
    return np.unique((pairs[:, 0] << 32) | pairs[:, 1])


def _all_labels(parts: Sequence[Tensor]) -> coupling.IntArray:
    return np.unique(torch.cat(list(parts)).numpy()) if parts else np.zeros(0, dtype=np.int64)


def try_all(model: nn.Module, example: Tensor, structure: Structure, original: nn.Module) -> Verdict:
    """Returns the part of a structure that passes its trial, with a reason for each part that does not.

    All proposals are tried together first; where that fails, each alone, and then one after another.

    Args:
        model: a private copy. example: an input on the CPU. structure: what labels propose.
        original: the user's model, whose tensors a closure may still read.
    """
    trial = Trial(model, example, structure, original)
    groups, stages, kernels = list(structure.groups), list(structure.stages), list(structure.kernels)
    refused: dict[str, str] = {}
    if trial.run(groups, stages, kernels) is not None:
        passed: list[tuple[str, Any]] = []
        for kind, item in (
            [("width", g) for g in groups] + [("depth", s) for s in stages] + [("kernel_size", k) for k in kernels]
        ):
            reason = _run(trial, [(kind, item)])
            if reason is None:
                passed.append((kind, item))
            else:
                refused[f"{kind}.{item if isinstance(item, str) else item.name}"] = reason
        if _run(trial, passed) is not None:
            kept: list[tuple[str, Any]] = []
            for kind, item in passed:
                reason = _run(trial, [*kept, (kind, item)])
                if reason is None:
                    kept.append((kind, item))
                else:
                    name = item if isinstance(item, str) else item.name
                    refused[f"{kind}.{name}"] = f"not together with the others: {reason}"
            passed = kept
        groups = [item for kind, item in passed if kind == "width"]
        stages = [item for kind, item in passed if kind == "depth"]
        kernels = [item for kind, item in passed if kind == "kernel_size"]
    fixed = dict(structure.fixed)
    for group in structure.groups:
        if f"width.{group.name}" in refused:
            for member in group.members:
                fixed.setdefault((member.source, member.dim), refused[f"width.{group.name}"])
    accepted = replace(structure, groups=tuple(groups), stages=tuple(stages), kernels=tuple(kernels), fixed=fixed)
    return Verdict(accepted, refused)


def _run(trial: Trial, items: Sequence[tuple[str, Any]]) -> str | None:
    return trial.run(
        [item for kind, item in items if kind == "width"],
        [item for kind, item in items if kind == "depth"],
        [item for kind, item in items if kind == "kernel_size"],
    )
