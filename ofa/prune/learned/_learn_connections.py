"""Learned connections: gates on single weights, trained together with the weights until a density is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, is_number
from ofa.inputs import Example
from ofa.prune.learned.gates import Gates, best_of
from ofa.prune.weights import prunable_weights
from ofa.task import Batch, Task, as_batch

_RAMP = 0.7  # of the steps, in which the density falls
_MULTIPLIER_RATE = 0.05  # how fast the price of an open gate follows what is too many


@dataclass(frozen=True)
class LearnedConnections:
    """Which connections stay.

    Attributes:
        masks: bool by name of the weight, True is kept.
        history: one row per tenth of the steps, or per update of a policy, JSON-able.
    """

    masks: Mapping[str, Tensor]
    history: tuple[Mapping[str, Any], ...]


def learn_connections(
    model: nn.Module,
    batches: Iterable[tuple[Example, Any] | Batch],
    gates: Gates,
    density: float,
    *,
    task: Task,
    optimizer: torch.optim.Optimizer,
    steps: int,
    keep: Sequence[str] = (),
    gate_rate: float = 0.02,
    seed: int = 0,
    progress: Callable[[Mapping[str, Any]], None] | None = None,
) -> LearnedConnections:
    """Returns the connections that `density` keeps, after training weights and gates together, in place.

    The density falls from 1 by a cubic over the first 70 % of the steps, and in the end exactly round(density * n) of n
    weights stay, those of the highest numbers. What an open gate costs, where gates have an expected share, is a
    multiplier that grows by what is open too much and is 0 again where nothing is (Gallego-Posada et al. 2022,
    2208.04425). The model is left with the other weights at 0.

    Args:
        batches: at least `steps` of them, on the model's device.
        density: fraction kept.
        optimizer: of the weights; its learning rate is as it is given.
        keep: globs of layers or weights without gates.
        gate_rate: learning rate of the numbers, by Adam.
        progress: called with each row of the history.

    Raises:
        InvalidInput: a density outside (0, 1], no steps, or too few batches.
    """
    if not is_number(density) or not 0 < density <= 1 or steps < 1:
        raise InvalidInput(f"density={density!r}, steps={steps!r}: give a fraction above 0 and at least one step")
    weights = prunable_weights(model, keep)
    numbers = {name: number.requires_grad_(True) for name, number in gates.start(weights).items()}
    of_gates = torch.optim.Adam(list(numbers.values()), lr=gate_rate)
    generator = torch.Generator().manual_seed(seed)
    multiplier, history = 0.0, []
    source = iter(batches)
    model.train()
    for step in range(steps):
        value = next(source, None)
        if value is None:
            raise InvalidInput(f"there are only {step} batches for {steps} steps")
        batch = as_batch(value)
        wanted = density + (1 - density) * max(0.0, 1 - (step + 1) / (_RAMP * steps)) ** 3
        factors = gates.factors(numbers, wanted, generator)
        loss = task.loss(task.call(_Gated(model, weights, factors), batch), batch)
        share = gates.open_share(numbers)
        total = loss if share is None else loss + multiplier * share
        optimizer.zero_grad()
        of_gates.zero_grad()
        torch.autograd.backward(total)
        optimizer.step()
        of_gates.step()
        if share is not None:
            excess = float(share.detach()) / wanted - 1
            multiplier = max(0.0, multiplier + _MULTIPLIER_RATE * excess) if excess > 0 else 0.0
        if (step + 1) % max(1, steps // 10) == 0 or step + 1 == steps:
            is_open = wanted if share is None else float(share.detach())
            history.append({"step": step + 1, "steps": steps, "loss": float(loss.detach()), "density": is_open})
            if progress is not None:
                progress(history[-1])
    masks = best_of(numbers, density)
    final = gates.final_factors(numbers)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.mul_(final[name] * masks[name])
    optimizer.zero_grad()
    return LearnedConnections(masks, tuple(history))


class _Gated(nn.Module):
    """A model whose weights are multiplied by gates; it holds neither."""

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor], factors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._call = model, {name: weight * factors[name] for name, weight in weights.items()}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the model's output."""
        model, gated = self._call
        return torch.func.functional_call(model, gated, args, kwargs)
