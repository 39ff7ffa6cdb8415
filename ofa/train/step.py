"""One step of training: what it is given, and its random numbers as functions of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ofa.modes import in_mode
from ofa.processes import ALONE, Processes, processes
from ofa.task import Batch, Task

if TYPE_CHECKING:
    from ofa.arch import Arch
    from ofa.space import Space
    from ofa.supernet import Supernet


def training_view(supernet: Supernet, arch: Arch) -> nn.Module:
    """Returns a view whose gradients add up in those of the supernet."""
    return supernet.subnet(arch, accumulate=True)


@dataclass(frozen=True)
class StepContext:
    """One forward and backward pass of a step, apart from its batch.

    Attributes:
        step, total_steps: counted from 0 over the whole training.
        rng: draws the step's Archs; a function of (seed, step), so all micro-batches of a step draw the same.
        optimizer: for what must move its state along with the weights (a channel sort).
        task: what is learned: the losses, and how a network is called.
        autocast: makes the context manager that a forward pass runs in.
        backward: accumulates the gradient of a mean loss into the parameters.
        micro_batch: which part of the step's batch this is, from 0; more than one with gradient accumulation.
        schedule_step: of schedules and phases: `step`, or further where the training's time is shorter than its steps.
        before: where the step before left that: what is between the two is this step's. As `step` if negative.
        view: makes the view of an Arch that is trained, whose gradients are the supernet's.
        seed: of the training.
        collect: takes the loss of a network in place of `backward` (see `ofa.train.gradients`).
        draw: draws so many Archs of a space (see `ofa.train.sampling`); None: each choice by itself.
        guide: the outputs that networks learn from in place of the largest's (see `ofa.train.average_teacher`).
        group: the processes that take this step together, each with its part of the batch.
        drawing: the processes that draw Archs of their own; alone where all draw the same.
        batches: of `batch_size` examples that the step's batch is made of; more than 1 where networks learn from
            examples of their own (see `ofa.train.own_batches`).
        mean: the mean over the group of what each process measured on its part of the batch, such as a loss.
    """

    step: int
    total_steps: int
    rng: np.random.Generator
    optimizer: torch.optim.Optimizer
    task: Task
    autocast: Callable[[], AbstractContextManager[object]]
    backward: Callable[[Tensor], None]
    micro_batch: int = 0
    schedule_step: int = -1
    before: int = -1
    view: Callable[[Supernet, Arch], nn.Module] = training_view
    seed: int = 0
    collect: Callable[[Arch, Tensor], None] | None = None
    draw: Callable[[Space, int, StepContext], Sequence[Arch]] | None = None
    guide: Any = None
    group: Processes = ALONE
    drawing: Processes = ALONE
    batches: int = 1
    mean: Callable[[Tensor], Tensor] = torch.detach

    def __post_init__(self) -> None:
        for name in ("schedule_step", "before"):
            if getattr(self, name) < 0:
                object.__setattr__(self, name, self.step)

    def backward_of(self, arch: Arch, loss: Tensor) -> None:
        """Accumulates the gradient of the mean loss of one network of the step."""
        if self.collect is None:
            self.backward(loss)
        else:
            self.collect(arch, loss)

    def archs(self, space: Space, count: int) -> Sequence[Arch]:
        """Returns the Archs that the step draws from a space."""
        if self.draw is not None:
            return self.draw(space, count, self)
        return [space.sample(self.rng) for _ in range(count)]


# Runs forward and backward of a (micro-)batch and returns its mean loss, detached: a scalar Tensor.
# The loop clears gradients before a step, then clips them and moves the weights.
Step = Callable[[Batch, StepContext], Tensor]

# The step of a supernet, of (supernet, batch, context). Gradients of the networks of a step add up.
Strategy = Callable[["Supernet", Batch, StepContext], Tensor]


def step_rng(seed: int, step: int, rank: int = 0) -> np.random.Generator:
    """Returns the generator that draws the Archs of a step; that of a rank where processes draw Archs of their own."""
    return np.random.default_rng([seed, step, *([rank] if rank else [])])


@contextmanager
def _global_seed(seed: int, device: torch.device) -> Iterator[Callable[[int, int], None]]:
    """Yields a function of (step, micro-batch) that seeds torch's global generators (dropout draws from no other).

    Afterwards the global generators are as they were.
    """
    on_cuda = device.type == "cuda"
    rank = processes().rank

    def reseed(step: int, micro_batch: int) -> None:
        # A third number keeps these apart from the draws of Archs. Processes drop other entries of their examples.
        entropy = [seed, step, 1, *([micro_batch] if micro_batch or rank else []), *([rank] if rank else [])]
        number = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
        # Not torch.manual_seed, which visits every kind of device: 0.2 ms per call.
        torch.default_generator.manual_seed(number)
        if on_cuda:
            torch.cuda.manual_seed(number)

    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        yield reseed


@contextmanager
def training_mode(model: nn.Module, seed: int, device: torch.device) -> Iterator[Callable[[int, int], None]]:
    """Yields a function that seeds torch for a step and micro-batch; the model is in training mode in the block.

    Afterwards its mode and the global random state are as they were.
    """
    with ExitStack() as stack:
        reseed = stack.enter_context(_global_seed(seed, device))
        stack.enter_context(in_mode(model, training=True))
        if device.type == "cuda":
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True))
        yield reseed


def micro_batches(batch: Batch, count: int) -> list[Batch]:
    """Returns a batch split into `count` parts of as equal size as can be; fewer where it has fewer examples."""
    if count == 1:
        return [batch]
    examples = batch.examples
    rows = torch.arange(examples).tensor_split(min(count, examples))
    return [batch.rows(int(part[0]), int(part[-1]) + 1) for part in rows]
