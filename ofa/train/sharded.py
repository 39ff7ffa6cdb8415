"""A step of a supernet as one module, for weights that are sharded over processes (`fully_shard`, FSDP2).

    step = ShardedStep(supernet, sandwich)
    fully_shard(step)
    optimizer = torch.optim.AdamW(step.parameters())
    ...
    loss, value = step(batch, context)
    loss.backward(); optimizer.step(); optimizer.zero_grad()

Views are made of whole weights, which a sharded module has inside its forward alone: so the forward makes them, and one
backward follows for all networks of the step. Give `recompute` where their activations together are too much.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.supernet import Supernet
from ofa.task import Batch, Task
from ofa.train.recomputing import recompute_
from ofa.train.step import StepContext, Strategy, step_rng


class ShardedStep(nn.Module):
    """The losses of a step's networks in one forward; its parameters are the supernet's.

    Args:
        supernet: not sharded yet.
        strategy: which networks learn, such as `sandwich`.
        recompute: whether each network is computed anew in the backward pass, so that activations of one are held.
    """

    def __init__(self, supernet: Supernet, strategy: Strategy, *, recompute: bool = False) -> None:
        super().__init__()
        self.model = supernet.model
        self._supernet = supernet
        self._strategy, self._recompute = strategy, recompute

    def forward(self, batch: Batch, context: StepContext) -> tuple[Tensor, Tensor]:
        """Returns the sum of the networks' losses, to be differentiated, and the step's loss, detached."""
        losses: list[Tensor] = []
        value = self._strategy(self._supernet, batch, replace(context, backward=losses.append, view=self._view))
        return torch.stack(losses).sum(), value

    def _view(self, supernet: Supernet, arch: Arch) -> nn.Module:
        view = supernet.subnet(arch)
        if self._recompute:
            recompute_(view)
        return view


def step_context(
    step: int,
    total_steps: int,
    task: Task,
    optimizer: torch.optim.Optimizer,
    *,
    seed: int = 0,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> StepContext:
    """Returns the context of a step in a loop of your own: Archs are a function of (seed, step)."""
    rng = step_rng(seed, step)
    return StepContext(step, total_steps, rng, optimizer, task, autocast, Tensor.backward, seed=seed)
