"""Trials on fewer pixels, where a model does the same on them, and one on the whole example that confirms them.

A trial runs a model dozens of times. Where it is a row of the same ops on small images, and the same labels meet, stay
and mix in it, the small images prove what the whole ones would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ofa.data.resizing import resized_images
from ofa.errors import InvalidInput
from ofa.inputs import Inputs
from ofa.structure.chance import without_chance
from ofa.structure.label_sets import packed
from ofa.structure.structure import Structure, analyze
from ofa.structure.trace import Trace, find_sources
from ofa.structure.tracing import in_mode
from ofa.trial.proposals import Verdict, try_all
from ofa.trial.trial import WIDTHS, Trial
from ofa.trial.weights import Weights

_HEIGHTS = (64, 128)  # in pixels, of images that are at least half as high again


def try_on_less(
    model: nn.Module,
    example: Inputs,
    structure: Structure,
    original: nn.Module,
    weights: Weights,
    part: Callable[[Structure], Structure],
) -> tuple[Verdict, Inputs]:
    """Returns what `try_all` does, and the inputs on which it was found: the example, or smaller images.

    What passes on smaller images has to pass a comparison of random widths on the example. Where something is refused
    on them, or there, all is tried on the example, so that every reason speaks of it.

    Args:
        model: a private copy. example: inputs on the CPU. structure: what labels propose on them.
        original: the user's model. weights: those of the copy. part: of a structure that is wanted.
    """
    if smaller := _smaller(model, example, structure):
        inputs, proposal = smaller
        verdict = try_all(model, inputs, part(proposal), original, weights)
        passed = replace(verdict.structure, trace=structure.trace, training=structure.training)
        if not verdict.refused and _is_confirmed(Trial(model, example, passed, original, weights)):
            return Verdict(passed, {}), inputs
    return try_all(model, example, part(structure), original, weights), example


def _is_confirmed(trial: Trial) -> bool:
    """Whether all passes one comparison together: with a width of its own for each group, where they have some."""
    structure = trial.structure
    checks = dict(trial.checks(structure.groups, structure.stages, structure.kernels))
    return checks.get(f"{WIDTHS} 2", checks[f"{WIDTHS} 0"])() is None


def _smaller(model: nn.Module, example: Inputs, structure: Structure) -> tuple[Inputs, Structure] | None:
    """Smaller images on which the model does the same, and its structure with the traces of these, or None."""
    images = example.only
    if images is None or images.dim() != 4 or not images.is_floating_point() or structure.operators:
        return None
    first_free = 1 + sum(size for source in find_sources(model).values() for size in source.shape)
    for height in _HEIGHTS:
        if 2 * min(images.shape[2:]) < 3 * height:
            break
        inputs = Inputs(resized_images(images, height))
        if _ops(model, inputs) != structure.trace.ops:
            continue
        try:
            analyzed = analyze(model, inputs)
        except InvalidInput:
            continue
        if _shows_the_same(analyzed, structure, first_free):
            return inputs, replace(structure, trace=analyzed.trace, training=analyzed.training)
    return None


def _ops(model: nn.Module, inputs: Inputs) -> list[str] | None:
    """The ops of a forward, in order; None where it fails."""
    copied = inputs.map(torch.clone)
    seen = _Ops()
    try:
        with in_mode(model, training=False), torch.no_grad(), seen:
            copied.call(model)
    except Exception:
        return None
    return seen.names


class _Ops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the names of ops."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs one op."""
        self.names.append(func.overloadpacket.__name__)
        return without_chance(func, args, kwargs or {})


def _shows_the_same(part: Structure, whole: Structure, first_free: int) -> bool:
    """Whether runs on two examples showed the same, whatever the labels from `first_free` on, which are of inputs."""
    if not _equal(part.trace, whole.trace, first_free):
        return False
    if part.training is None or whole.training is None:
        return part.training is whole.training
    alike = part.training.meets_more == whole.training.meets_more
    return alike and _equal(part.training.trace, whole.training.trace, first_free)


def _equal(first: Trace, other: Trace, first_free: int) -> bool:
    return _outline(first) == _outline(other) and all(
        len(ours) == len(theirs) and all(map(np.array_equal, ours, theirs))
        for ours, theirs in zip(_labels(first, first_free), _labels(other, first_free), strict=True)
    )


def _outline(trace: Trace) -> tuple[Any, ...]:
    """Everything in a trace but labels and sizes."""
    return (
        trace.ops,
        [call.module for call in trace.calls],
        [(product.module, product.weight) for product in trace.contractions],
        {key: (mixing.op, mixing.dims) for key, mixing in trace.mixings.items()},
        [(shared.dims, shared.reason) for shared in trace.shared],
        [reason for _, reason in trace.fixed],
        (trace.order, trace.grouped, trace.where, trace.epsilon, trace.finite),
    )


def _labels(trace: Trace, first_free: int) -> list[list[np.ndarray]]:
    """The labels that met, that stay, and over which something runs; those of inputs are one."""

    def clipped(labels: Tensor | np.ndarray) -> np.ndarray:
        result: np.ndarray = np.minimum(np.asarray(labels), first_free)
        return result

    def distinct(labels: Tensor | np.ndarray) -> np.ndarray:
        result: np.ndarray = np.unique(clipped(labels))
        return result

    mixed = [distinct(lane) if lane.dim() < 2 else clipped(lane) for m in trace.mixings.values() for lane in m.lanes]

    def pairs(labels: np.ndarray) -> np.ndarray:
        return packed([torch.from_numpy(clipped(labels))])

    return [
        [pairs(trace.pair_array()), pairs(trace.tied_pairs())],
        [distinct(labels) for labels, _ in trace.fixed],
        [distinct(labels) for labels in trace.renormalized],
        [clipped(shared.labels) for shared in trace.shared],
        [clipped(grid) for grid in trace.grids],
        mixed,
    ]
