"""Strategies: which subnets learn in a step, and from what. In a config each is a partial.

Each network runs forward and backward on its own, so the memory of a step is that of its largest network. It gets the
step's images at the resolution of its Arch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.inputs import map_tensors
from ofa.resolution import resized
from ofa.sorting import sort_channels_
from ofa.task import Batch
from ofa.train.distilling import Distill, distill_loss
from ofa.train.features import Hidden, block_paths, feature_loss, hidden_states, matching_blocks
from ofa.train.label_weights import LabelWeight, check_label_weight, label_weight_at
from ofa.train.own_batches import check_own_lessons, parts_of
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
    label_weight: float | LabelWeight = 0.5,
    distill: Distill | None = None,
) -> Tensor:
    """Returns the loss of one Arch, the largest unless `arch` says another, after its backward pass.

    Where the training has a teacher, a fraction `label_weight` of the loss is against targets, the rest against it.
    """
    check_label_weight(label_weight)
    chosen = supernet.space.largest if arch is None else arch if isinstance(arch, Arch) else Arch.from_dict(arch)
    if batch.teacher is None:
        return _learn_targets(supernet, chosen, batch, context)[0]
    weight = label_weight_at(label_weight, batch.teacher, batch, context)
    return _learn_from(_Lesson(batch.teacher, weight, distill), supernet, chosen, batch, context)


def sandwich(
    supernet: Supernet,
    batch: Batch,
    context: StepContext,
    *,
    random_subnets: int = 2,
    label_weight: float | LabelWeight = 0.0,
    features: float = 0.0,
    distill: Distill | None = None,
) -> Tensor:
    """Returns the mean loss of the largest, the smallest and `random_subnets` others after their backward.

    The largest learns from targets; the others learn from its outputs of the same step (in-place distillation),
    and a fraction `label_weight` of their loss is against targets (0: from the outputs alone, as published; see
    `ofa.train.label_weights` for fractions that change). Where the training has a teacher, all of them, the largest
    too, learn from it so.
    With `features` the others also learn the hidden states between the blocks of the largest, at that weight (see
    `ofa.train.features`). Where a step reads several batches, each network learns from examples of its own: targets, or
    a teacher that is not the largest of the same step.
    Sources: Yu and Huang 2019, 1903.05134; Yu et al. 2020 (BigNAS), 2003.11142.

    Raises:
        InvalidInput: an argument out of range, or networks with examples of their own that are to learn from the
            largest.
    """
    if not (features >= 0 and math.isfinite(features)):
        raise InvalidInput(f"features={features!r} is the weight of a loss: 0 or more")
    if random_subnets < 0:
        raise InvalidInput(f"random_subnets={random_subnets!r} must be 0 or more")
    check_label_weight(label_weight)
    space = supernet.space
    drawn = context.archs(space, random_subnets)
    full: Hidden | None = None
    if features:
        block_paths(supernet)  # are there any
        full = {}
    given = batch.teacher if batch.teacher is not None else context.guide
    first, *parts = parts_of(batch._replace(teacher=given), 2 + random_subnets, context)
    if batch.teacher is None:
        loss, teacher = _learn_targets(supernet, space.largest, first, context, full)
        teacher = teacher if given is None else given
        weight = label_weight_at(label_weight, teacher, first if given is None else batch, context)
    else:
        teacher = given
        weight = label_weight_at(label_weight, teacher, batch, context)
        loss = _learn_from(_Lesson(first.teacher, weight, distill), supernet, space.largest, first, context, full)
    check_own_lessons(weight if given is None else 1.0, features, context)
    losses = [loss]
    lesson = _Lesson(teacher, weight, distill, features, full)
    for arch, part in zip((space.smallest, *drawn), parts, strict=True):
        if arch != space.largest or context.batches > 1:  # then it has other examples
            own = lesson if part.teacher is None else replace(lesson, teacher=part.teacher)
            losses.append(_learn_from(own, supernet, arch, part, context, {} if features else None))
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
    first step, unless a phase says otherwise of resolutions. Networks learn from targets and, weighted by the phase's
    `distill`, from the outputs of the largest network as it now is, or from those of the training's teacher, which the
    largest learns from too. Use the schedule `restarts` with the same phases to start the learning rate anew in each. A
    phase's `sort_channels` is done in its first step, so a resumed training does it exactly once.
    Source: Cai et al. 2020 (Once-for-All), 1908.09791.
    """
    span = span_at(as_phases(phases), context.schedule_step, context.total_steps)
    phase, largest = span.phase, supernet.space.largest
    if phase.sort_channels and context.before <= span.start and context.micro_batch == 0:
        sort_channels_(supernet, optimizer=context.optimizer)
    space = opened(supernet.space, phase)
    archs = dict.fromkeys(context.archs(space, phase.subnets))
    given = context.guide if batch.teacher is None else batch.teacher
    teacher = given if phase.distill else None
    if teacher is None and phase.distill and any(arch != largest for arch in archs):
        with torch.no_grad():
            teacher = _forward(supernet, largest, batch, context)
    losses = []
    for arch, part in zip(archs, parts_of(batch._replace(teacher=teacher), len(archs), context), strict=True):
        outputs = _forward(supernet, arch, part, context)
        loss = context.task.loss(outputs, part)
        if part.teacher is not None and (arch != largest or batch.teacher is not None):
            loss = loss + phase.distill * distill_loss(context.task, outputs, part.teacher, part, distill)
        context.backward_of(arch, loss)
        losses.append(loss.detach())
    return torch.stack(losses).mean()


@dataclass(frozen=True)
class _Lesson:
    """What a network learns from besides targets: a teacher's outputs, and the hidden states of the largest."""

    teacher: Any
    label_weight: float | Tensor
    distill: Distill | None
    features: float = 0.0
    full: Hidden | None = None


def _learn_from(
    lesson: _Lesson, supernet: Supernet, arch: Arch, batch: Batch, context: StepContext, hidden: Hidden | None = None
) -> Tensor:
    """The detached loss of `arch` by a lesson, after its backward pass; its hidden states are put in `hidden`."""
    outputs = _forward(supernet, arch, batch, context, hidden)
    weight, changes = lesson.label_weight, isinstance(lesson.label_weight, Tensor)  # whose value is not waited for
    if not changes and weight == 1:
        loss = context.task.loss(outputs, batch)
    else:
        loss = distill_loss(context.task, outputs, lesson.teacher, batch, lesson.distill)
        if changes or weight:
            loss = (1 - weight) * loss + weight * context.task.loss(outputs, batch)
    if lesson.full is not None and hidden is not None:
        apart = feature_loss(supernet, arch, hidden, lesson.full)
        loss = loss if apart is None else loss + lesson.features * apart
    context.backward_of(arch, loss)
    return loss.detach()


def _learn_targets(
    supernet: Supernet, arch: Arch, batch: Batch, context: StepContext, hidden: Hidden | None = None
) -> tuple[Tensor, Any]:
    """The detached loss against targets and the detached outputs of `arch`, after its backward pass.

    Hidden states are put in `hidden`, where it is given.
    """
    outputs = _forward(supernet, arch, batch, context, hidden)
    loss = context.task.loss(outputs, batch)
    context.backward_of(arch, loss)
    return loss.detach(), map_tensors(outputs, torch.detach)


def _forward(supernet: Supernet, arch: Arch, batch: Batch, context: StepContext, hidden: Hidden | None = None) -> Any:
    # Hooks are not seen by what torch.compile made before.
    view = context.view(supernet, arch) if hidden is None else supernet.subnet(arch, accumulate=True)
    blocks = () if hidden is None else matching_blocks(supernet, arch)
    with context.autocast(), hidden_states(view, blocks) as states:
        outputs = context.task.call(view, batch._replace(inputs=resized(batch.inputs, arch)))
    if hidden is not None:
        hidden.update(states)
    return outputs
