"""A group lasso whose strength is not given but found: it follows a schedule of sparsity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Example
from ofa.prune.context import PruneContext
from ofa.prune.layers import find_layers
from ofa.prune.regularizers.lasso_layers import (
    LassoLayer,
    removed_groups,
    removed_singles,
    shrink_groups_,
    strength_for,
)
from ofa.prune.schedules import Schedule
from ofa.prune.times import Time, check_times, whole

_HURRY = 10  # what is overdue should be gone in this part of the horizon


@dataclass(frozen=True)
class ControlledLasso:
    """Group lasso, or sparse group lasso, as a proximal step whose strength makes the zeros follow a schedule.

    A group is one neuron or filter: the scale and shift of the norm that it feeds where there is one, since the size
    of weights before a norm means nothing, else its incoming weights and its bias. In a step a group's norm shrinks by
    the strength times the mean norm in its layer at the start of the training, so that one strength suits all layers.
    A group that becomes 0 is removed with all that makes it, and stays removed. The last layer that runs is left alone,
    since its rows are outputs; so are transposed convolutions, whose rows are inputs.

    Every `every` steps the strength is set to the least at which, were there no gradients, as many weights as the
    schedule asks for would be 0 a `horizon` later; where less is removed than the schedule asks for now, it is more.
    Where gradients hold groups up, the strength therefore rises. Only the groups that are to go by then, those of the
    smallest relative norm, are in the lasso, so that the others are not shrunk with them; one that grows above them
    leaves it. Of groups that would become 0 in a step only the smallest do, as many as the schedule asks for. Once the
    sparsity is reached, no step is made. The strength and the norms at the start are in the pruner's memory.

    Source: Alvarez and Salzmann 2016, 1611.06321, section 3, for the groups and the proximal step; a strength that
    the distance to the sparsity decides, and that is 0 where it is reached: Gallego-Posada et al. 2022, 2208.04425,
    who sum that distance up instead of looking ahead; a term that grows on what is to go alone: Wang et al. 2021,
    2012.09243, whose term is L2.

    Attributes:
        schedule: of the sparsity, the fraction removed of all weights that may be pruned.
        alpha: share of the lasso of single weights, 0 to 1; 0: groups alone.
        horizon: steps, or fraction of the training, that the strength looks ahead.
        every: steps, or fraction of the training, between changes of the strength.
        least: share of each layer's groups that stays whatever their size, the longest ones, but one at least; small
            layers would else become bottlenecks, since a group counts by its weights.
        keep: globs of layers that are left alone.
    """

    schedule: Schedule
    alpha: float = 0.0
    horizon: Time = 0.3
    every: Time = 0.01
    least: float = 0.2
    keep: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_times(self)
        if not 0 <= self.alpha <= 1:
            raise InvalidInput(f"ControlledLasso alpha={self.alpha!r}: must be between 0 and 1")
        if not 0 <= self.least < 1:
            raise InvalidInput(f"ControlledLasso least={self.least!r} is a share: it must be 0 or more and below 1")

    def bound(self, model: nn.Module, weights: Mapping[str, Tensor], example_input: Example | None) -> BoundLasso:
        """Returns the regularizer of a model, whose layers are found by running it.

        Raises:
            InvalidInput: no example, a pattern that matches no layer, or no layer with groups.
        """
        if example_input is None:
            raise InvalidInput("ControlledLasso finds layers by running the model: give the pruner example_input=")
        parameters = dict(model.named_parameters())
        lasso_layers = find_layers(model, example_input)
        for pattern in self.keep:
            if not any(fnmatchcase(layer.module, pattern) for layer in lasso_layers):
                raise InvalidInput(
                    f"ControlledLasso keep={pattern!r} matches no layer; there are "
                    f"{', '.join(layer.module for layer in lasso_layers)}"
                )
        layers = tuple(
            LassoLayer.of(layer, parameters)
            for layer in lasso_layers[:-1]
            if layer.weight in weights
            and not isinstance(model.get_submodule(layer.module), nn.modules.conv._ConvTransposeNd)
            and not any(fnmatchcase(layer.module, pattern) for pattern in self.keep)
        )
        if not layers:
            raise InvalidInput(f"{type(model).__name__} has no layer of neurons before its last one to put a lasso on")
        return BoundLasso(self, layers)


@dataclass(frozen=True)
class BoundLasso:
    """A `ControlledLasso` with the layers of one model."""

    settings: ControlledLasso
    layers: tuple[LassoLayer, ...]

    @property
    def final(self) -> float:
        """The sparsity in the end."""
        return self.settings.schedule.final

    @property
    def names(self) -> list[str]:
        """The parameters of all groups."""
        return [name for layer in self.layers for name in layer.names]

    @torch.no_grad()
    def remove(self, context: PruneContext, masks: Mapping[str, Tensor], trained: set[str]) -> dict[str, Tensor]:
        """Returns the masks that change, after a proximal step in place if the schedule asks for one.

        Args:
            context: of the step that the optimizer has just made.
            masks: of now, of all `names`.
            trained: the parameters that the optimizer moves; others stay.
        """
        memory, parameters = context.memory, dict(context.model.named_parameters())
        layers = [layer for layer in self.layers if layer.weight in trained]
        for layer in layers:
            if layer.memory not in memory:
                memory[layer.memory] = layer.mean_sizes(parameters)
        missing, alpha = self._missing(context), self.settings.alpha
        if context.step % whole(self.settings, "every") == 0:
            horizon = whole(self.settings, "horizon")
            soon = self._missing(context, horizon)
            shares = strength_for(layers, parameters, masks, memory, (alpha, self.settings.least), [soon, missing])
            memory["lasso/strength"] = torch.tensor(max(shares[0] / horizon, shares[1] * _HURRY / horizon))
            memory["lasso/critical"] = torch.tensor(max(shares))
        strength, critical = float(memory["lasso/strength"]), float(memory["lasso/critical"])
        if strength == 0:
            return {}
        changed: dict[str, Tensor] = {}
        if alpha > 0:
            changed |= removed_singles(layers, parameters, masks, memory, (alpha * strength, alpha * critical), missing)
            missing -= sum(int((masks[name] & ~mask).count_nonzero()) for name, mask in changed.items())
        if alpha < 1:
            current = {**masks, **changed}
            pull = ((1 - alpha) * strength, (1 - alpha) * critical)
            limits = shrink_groups_(layers, parameters, current, memory, pull, self.settings.least)
            changed |= removed_groups(layers, limits, current, missing)
        return changed

    def _missing(self, context: PruneContext, ahead: int = 0) -> int:
        """How many weights are to be removed by a step that lies so far ahead, and are not removed now."""
        memory, schedule = context.memory, self.settings.schedule
        first = 0 if context.step == 0 else context.step + 1
        due = [sparsity for step in range(first, context.step + 2) if (sparsity := schedule(step)) is not None]
        if due:
            memory["lasso/target"] = torch.tensor(due[-1], dtype=torch.float64)
        target = float(memory.get("lasso/target", torch.zeros(())))
        later = (schedule(step) for step in range(context.step + 1 + ahead, context.step + 1, -1))
        target = next((sparsity for sparsity in later if sparsity is not None), target)
        alive = sum(int(mask.count_nonzero()) for mask in context.masks.values())
        return round((target - 1) * sum(mask.numel() for mask in context.masks.values())) + alive
