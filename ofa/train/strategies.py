"""Strategies: which subnets learn in a step, and from what. In a config each is a partial.

Each network runs forward and backward on its own, so the memory of a step is that of its largest network. It gets the
step's images at the resolution of its Arch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.inputs import detached
from ofa.resolution import resized
from ofa.sorting import sort_channels_
from ofa.task import Batch
from ofa.train.distilling import Distill, distill_loss
from ofa.train.features import Hidden, block_paths, feature_loss, hidden_states, matching_blocks
from ofa.train.schedules import OFA_PHASES, Phase, as_phases, opened, span_at
from ofa.train.step import StepContext

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def single(
    supernet: Supernet,
    batch: Batch,
    context: StepContext,
    *,
    arch: Arch | Mapping[str, Any] | None = None,
) -> Tensor:
    """Returns the loss of one Arch, the largest unless `arch` says another, after its backward pass."""
    chosen = supernet.space.largest if arch is None else arch if isinstance(arch, Arch) else Arch.from_dict(arch)
    loss, _ = _learn_targets(supernet, chosen, batch, context)
    return loss


def sandwich(
    supernet: Supernet,
    batch: Batch,
    context: StepContext,
    *,
    random_subnets: int = 2,
    label_weight: float = 0.0,
    features: float = 0.0,
    distill: Distill | None = None,
) -> Tensor:
    """Returns the mean loss of the largest, the smallest and `random_subnets` others after their backward.

    The largest learns from labels; the others learn from its logits of the same step (in-place distillation),
    and a fraction `label_weight` of their loss is against labels (0: from the logits alone, as published).
    With `features` the others also learn the hidden states between the blocks of the largest, at that weight (see
    `ofa.train.features`).
    Sources: Yu and Huang 2019, 1903.05134; Yu et al. 2020 (BigNAS), 2003.11142.
    """
    if not (features >= 0 and math.isfinite(features)):
        raise InvalidInput(f"features={features!r} is the weight of a loss: 0 or more")
    if random_subnets < 0:
        raise InvalidInput(f"random_subnets={random_subnets!r} must be 0 or more")
    if not 0 <= label_weight <= 1:
        raise InvalidInput(f"label_weight={label_weight!r} is a fraction: at least 0 and at most 1")
    space = supernet.space
    drawn = [space.sample(context.rng) for _ in range(random_subnets)]
    full: Hidden | None = None
    if features:
        block_paths(supernet)  # are there any
        full = {}
    loss, teacher = _learn_targets(supernet, space.largest, batch, context, full)
    losses = [loss]
    for arch in (space.smallest, *drawn):
        if arch != space.largest:
            hidden: Hidden | None = {} if features else None
            outputs = _forward(supernet, arch, batch, context, hidden)
            if label_weight == 1:
                loss = context.task.loss(outputs, batch)
            else:
                loss = distill_loss(context.task, outputs, teacher, batch, distill)
                if label_weight:
                    loss = (1 - label_weight) * loss + label_weight * context.task.loss(outputs, batch)
            if full is not None and hidden is not None:
                apart = feature_loss(supernet, arch, hidden, full)
                loss = loss if apart is None else loss + features * apart
            context.backward(loss)
            losses.append(loss.detach())
    return torch.stack(losses).mean()


def progressive(
    supernet: Supernet,
    batch: Batch,
    context: StepContext,
    *,
    phases: Sequence[Phase | Mapping[str, Any]] = OFA_PHASES,
    distill: Distill | None = None,
) -> Tensor:
    """Returns the mean loss of the step's drawn networks after their backward: progressive shrinking.

    Phases open kernel size, then depth, then width; each draws from what is open: operators and resolutions from the
    first step, unless a phase says otherwise of resolutions. Networks learn from labels
    and, weighted by the phase's `distill`, from the logits of the largest network as it now is. Use the
    schedule `restarts` with the same phases to start the learning rate anew in each. A phase's
    `sort_channels` is done in its first step, so a resumed training does it exactly once.
    Source: Cai et al. 2020 (Once-for-All), 1908.09791.
    """
    span = span_at(as_phases(phases), context.place, context.total_steps)
    phase, largest = span.phase, supernet.space.largest
    if phase.sort_channels and context.before <= span.start and context.micro_batch == 0:
        sort_channels_(supernet, optimizer=context.optimizer)
    space = opened(supernet.space, phase)
    archs = dict.fromkeys(space.sample(context.rng) for _ in range(phase.subnets))
    teacher = None
    if phase.distill and any(arch != largest for arch in archs):
        with torch.no_grad():
            teacher = _forward(supernet, largest, batch, context)
    losses = []
    for arch in archs:
        outputs = _forward(supernet, arch, batch, context)
        loss = context.task.loss(outputs, batch)
        if teacher is not None and arch != largest:
            loss = loss + phase.distill * distill_loss(context.task, outputs, teacher, batch, distill)
        context.backward(loss)
        losses.append(loss.detach())
    return torch.stack(losses).mean()


def _learn_targets(
    supernet: Supernet, arch: Arch, batch: Batch, context: StepContext, hidden: Hidden | None = None
) -> tuple[Tensor, Any]:
    """The detached loss against targets and the detached outputs of `arch`, after its backward pass.

    Hidden states are put in `hidden`, where it is given.
    """
    outputs = _forward(supernet, arch, batch, context, hidden)
    loss = context.task.loss(outputs, batch)
    context.backward(loss)
    return loss.detach(), detached(outputs)


def _forward(supernet: Supernet, arch: Arch, batch: Batch, context: StepContext, hidden: Hidden | None = None) -> Any:
    # Hooks are not seen by what torch.compile made before.
    view = context.view(supernet, arch) if hidden is None else supernet.subnet(arch, accumulate=True)
    blocks = () if hidden is None else matching_blocks(supernet, arch)
    with context.autocast(), hidden_states(view, blocks) as found:
        outputs = context.task.call(view, batch._replace(inputs=resized(batch.inputs, arch)))
    if hidden is not None:
        hidden.update(found)
    return outputs
