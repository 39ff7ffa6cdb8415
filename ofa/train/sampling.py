"""Sampling: which Archs a step draws, where drawing every choice by itself is not what is wanted.

    train(supernet, data, partial(sampled, strategy=sandwich, draw=uniform_macs), settings)

Of many choices drawn by themselves the sizes are all near the middle: there are far more Archs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ofa._cost import cost
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.resolution import resized
from ofa.space import Space
from ofa.task import Batch
from ofa.train.step import StepContext, Strategy

if TYPE_CHECKING:
    from ofa.supernet import Supernet

# (supernet, batch, space that is open, how many, context of the step) -> Archs of the space.
Draw: TypeAlias = Callable[["Supernet", Batch, Space, int, StepContext], Sequence[Arch]]

_STREAM = 4  # of random numbers, apart from those of the step


def sampled(supernet: Supernet, batch: Batch, context: StepContext, *, strategy: Strategy, draw: Draw) -> Tensor:
    """Returns the loss of a strategy's step whose Archs are drawn by `draw`."""
    return strategy(supernet, batch, replace(context, draw=partial(draw, supernet, batch)))


def uniform_macs(
    supernet: Supernet, batch: Batch, space: Space, count: int, context: StepContext, *, candidates: int = 32
) -> list[Arch]:
    """Returns Archs whose MACs are spread evenly between those of the smallest and the largest of the space.

    Each is the one of `candidates` that is nearest to MACs drawn uniformly. Candidates lean to small or large values in
    all choices at once, by as much as is drawn, so that there are some of every size.

    Raises:
        InvalidInput: less than 1 candidate.
    """
    _at_least_1("candidates", candidates)
    archs = [_leaning(space, context.rng) for _ in range(count * candidates)]
    macs = cost(supernet, [space.smallest, space.largest, *archs])["macs"]
    wanted = macs[0] + (macs[1] - macs[0]) * context.rng.random(count)
    apart = np.abs(macs[2:].reshape(count, candidates) - wanted[:, None])
    return [archs[row * candidates + int(column)] for row, column in enumerate(apart.argmin(axis=1))]


def fair(supernet: Supernet, batch: Batch, space: Space, count: int, context: StepContext) -> list[Arch]:
    """Returns Archs that take each value of a choice equally often: of as many as it has values, each exactly once.

    It counts over all steps of a training that draw as many from the same space.
    Source: Chu et al. 2019 (FairNAS), 1907.01845, strict fairness; here each choice is shuffled by itself.
    """
    archs = []
    turn_of = context.step * context.drawing.count + context.drawing.rank
    for number in range(turn_of * count, (turn_of + 1) * count):
        values = {}
        for column, choice in enumerate(space.choices):
            turn, position = divmod(number, len(choice.values))
            shuffled = np.random.default_rng([context.seed, turn, _STREAM, column]).permutation(len(choice.values))
            values[choice.key] = choice.values[shuffled[position]]
        archs.append(space.arch(values))
    return archs


def attentive(
    supernet: Supernet,
    batch: Batch,
    space: Space,
    count: int,
    context: StepContext,
    *,
    candidates: int = 3,
    examples: int = 16,
    best: bool = True,
) -> list[Arch]:
    """Returns Archs with the least loss among `candidates` of about the same size, or with the most if not `best`.

    The loss is that of some examples of the batch (so micro-batches of one step may draw different Archs), without a
    backward pass. Sizes are drawn as in `uniform_macs`.
    Source: Wang et al. 2021 (AttentiveNAS), 2011.09011, BestUp and WorstUp; there accuracies are predicted.

    Raises:
        InvalidInput: less than 1 candidate or example.
    """
    _at_least_1("candidates", candidates)
    _at_least_1("examples", examples)
    few = batch.rows(0, min(examples, batch.examples))
    drawn = []
    for _ in range(count):
        (first,) = uniform_macs(supernet, batch, space, 1, context)
        wanted = cost(supernet, [first])["macs"][0]
        others = [_leaning(space, context.rng) for _ in range(8 * (candidates - 1))]
        apart = np.abs(cost(supernet, others)["macs"] - wanted) if others else np.zeros(0)
        near = [first, *(others[index] for index in np.argsort(apart, kind="stable")[: candidates - 1])]
        losses = torch.stack([_loss(supernet, arch, few, context) for arch in near])
        if context.drawing.alone:  # so that all processes choose the same
            losses = context.mean(losses)
        drawn.append(near[int(np.argmin(losses.tolist()) if best else np.argmax(losses.tolist()))])
    return drawn


def _leaning(space: Space, rng: np.random.Generator) -> Arch:
    """An Arch of which half of the choices are at one fraction of the way from their least to their greatest value."""
    lean = rng.random()
    positions = np.where(rng.random(len(space.choices)) < 0.5, lean, rng.random(len(space.choices))).tolist()
    pairs = zip(space.choices, positions, strict=True)
    return space.arch({choice.key: choice.values[int(where * len(choice.values))] for choice, where in pairs})


def _loss(supernet: Supernet, arch: Arch, batch: Batch, context: StepContext) -> Tensor:
    with torch.no_grad(), torch.random.fork_rng(devices=[]), context.autocast():
        outputs = context.task.call(supernet.subnet(arch), batch._replace(inputs=resized(batch.inputs, arch)))
        return context.task.loss(outputs, batch).double()


def _at_least_1(name: str, value: int) -> None:
    if value < 1:
        raise InvalidInput(f"{name}={value!r} must be at least 1")
