"""The pruner: masks beside a model, for any training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.inputs import Example
from ofa.plain_network import plain_network
from ofa.prune import optimizer_state
from ofa.prune.allocation import global_
from ofa.prune.compatibility import check_parts
from ofa.prune.context import Allocation, Batches, Criterion, Loss, PruneContext
from ofa.prune.criteria import magnitude
from ofa.prune.followers import Follower, follow_, release_
from ofa.prune.granularity import ChannelGranularity, Granularity, weight
from ofa.prune.growing import GrowUnits, grow_units_
from ofa.prune.masking import Masking
from ofa.prune.optimizer_state import MakeOptimizer
from ofa.prune.pruner_figures import PrunerFigures
from ofa.prune.pruner_state import PrunerState
from ofa.prune.regrowth import Regrowth, swapped
from ofa.prune.regularization import Regularization, trained_names
from ofa.prune.regularizers.controlled import ControlledLasso
from ofa.prune.regularizers.regularizer import Regularizer
from ofa.prune.removal import in_rounds, initial_masks, masks_after
from ofa.prune.schedules import Schedule, progress_at
from ofa.prune.shortfall import removal_warnings, warn_of
from ofa.prune.slim import slim_model
from ofa.prune.soft import Soft, soften_
from ofa.prune.weights import full_masks, prunable_weights
from ofa.task import Task

MakeGranularity = Callable[[nn.Module, Mapping[str, Tensor], Example | None], Granularity]


class Pruner(PrunerFigures):
    """Masks of a model that follow a schedule while any loop trains it.

        pruner = Pruner(model, optimizer, schedule=Cubic(0.9, begin=0, end=1000, every=100))
        ...
        (loss + pruner.penalty()).backward(); optimizer.step(); pruner.step()

    The model stays a plain module: its removed weights are zero, their gradients are masked as they arrive (before
    any clipping), and `step` zeroes what the optimizer moved. The optimizer may have been made before.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        schedule: Schedule | None = None,
        criterion: Criterion = magnitude,
        allocation: Allocation = global_,
        granularity: MakeGranularity = weight,
        regrowth: Regrowth | GrowUnits | None = None,
        regularizers: Sequence[Regularizer | ControlledLasso] = (),
        example_input: Example | None = None,
        batches: Batches | None = None,
        loss: Loss = functional.cross_entropy,
        task: Task | None = None,
        followers: Sequence[Follower] = (),
        keep: Sequence[str] = (),
        include: Sequence[str] = (),
        seed: int = 0,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Puts full masks beside the model and, where the schedule has an event at step 0, prunes at once.

        Args:
            model: any module; it is trained and masked in place. Of torch.compile and DataParallel, the one inside.
            optimizer: whose state is kept in line with the masks; None for masks alone.
            schedule: step -> sparsity at an event; None: only when `prune` is called.
            criterion, allocation, granularity: what a piece is worth, how many each layer keeps, what a piece is.
            regrowth: which weights are swapped for others while the density stays, or which channels are added.
            regularizers: losses (see `penalty`) and proximal steps.
            followers: what else changes with steps and masks, such as dropout (see `ofa.prune.followers`).
            example_input: as `Supernet` takes it; for channels, `slim` and multiply-accumulates.
            batches: makes labeled batches (inputs, labels), for criteria that measure on data.
            loss: (outputs, labels) -> scalar, for those criteria; task: its loss and way to call the model instead.
            keep, include: globs of layers or parameters that stay whole, and of those pruned whatever their role.
            seed: of everything random here.
            state: of `state_dict`, to resume from; no event happens on construction then.

        Raises:
            InvalidInput: nothing to prune, a pattern that matches nothing, or an event that cannot be done.
        """
        model = plain_network(model, "Pruner")
        self.model = model
        self.optimizer = optimizer
        self.schedule, self.regrowth = schedule, regrowth
        self.criterion, self.allocation = criterion, allocation
        self.example_input = example_input
        self.batches = batches
        self.loss, self.task = loss, task
        self.steps, self._last_progress = 0, 0.0
        self.memory: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(seed)
        self.weights = prunable_weights(model, keep, include, example_input)
        self.granularity = granularity(model, self.weights, example_input)
        check_parts(criterion, allocation, self.granularity, schedule, regrowth, batches, full_masks(self.weights))
        self._parameters = dict(model.named_parameters())
        self._regularization = Regularization.of(regularizers, optimizer, model, self.weights, example_input)
        self._masking = Masking(model, self._regularization.full_masks | initial_masks(self.weights, self.granularity))
        self._followers = [follower.bound(model, example_input) for follower in followers]
        if state is not None:
            self.load_state_dict(state)
            return
        self._fire()
        follow_(self._followers, self.steps, self.masks)

    def step(self) -> None:
        """Does what is due after the optimizer's step: proximal steps, masks, and the events of the schedule."""
        with torch.no_grad():
            if (observe := getattr(self.criterion, "observe", None)) is not None:
                observe(self.context())
            self._regularization.proximal_steps_(self.progress)
            if removed := self._regularization.removed(self.context(), self.masks):
                self.set_masks(removed)
            self._masking.apply()
            self.steps += 1
            self._fire()
            follow_(self._followers, self.steps, self.masks)

    def penalty(self) -> Tensor:
        """Returns the sum of the regularizers that are losses, a scalar to add to the training loss; 0 if none."""
        return self._regularization.penalty(self.progress)

    def prune(self, sparsity: float, rounds: int = 1) -> None:
        """Removes pieces until `sparsity` (fraction of all) is gone, now.

        In `rounds` that keep the same share each: the criterion scores anew what is left after each.

        Raises:
            InvalidInput: not in [0, 1], no round, or scores that do not fit.
        """
        parts = self.granularity, self.criterion, self.allocation
        for reached in in_rounds(sparsity, rounds):
            progress = 1.0 if self.schedule is None else progress_at(self.schedule, reached)
            with torch.no_grad():
                self.set_masks(masks_after(reached, progress, self.context(), self.masks, *parts))
                self._last_progress = progress

    def set_masks(self, masks: Mapping[str, Tensor]) -> None:
        """Takes these masks (bool, by name; names left out stay), zeroes what they remove, and its momentum.

        Raises:
            InvalidInput: a name that is not of a masked parameter, or another shape.
        """
        self._masking.set(masks)
        if self.optimizer is not None:
            optimizer_state.mask_(self.optimizer, self._parameters, self.masks)

    @property
    def progress(self) -> float:
        """How far the schedule is: 0 before its first event, 1 at its final sparsity, or without a schedule."""
        return self._last_progress if self.schedule is not None else 1.0

    def _fire(self) -> None:
        sparsity = None if self.schedule is None else self.schedule(self.steps)
        if sparsity is not None:
            if isinstance(self.schedule, Soft) and self.schedule.is_soft(self.steps):
                soften_(sparsity, self.context(), self.masks, (self.granularity, self.criterion, self.allocation))
            else:
                self.prune(sparsity)
        if self.regrowth is not None:
            fraction = self.regrowth.fraction(self.steps)
            if fraction is not None and self.steps:
                self._regrow(self.regrowth, fraction)
            self._capture_gradients(self.regrowth)

    def _capture_gradients(self, regrowth: Regrowth | GrowUnits) -> None:
        """Captures the dense gradients of the next step where its regrowth needs them."""
        self._masking.capture(regrowth.needs_gradient and regrowth.fraction(self.steps + 1) is not None)

    def _regrow(self, regrowth: Regrowth | GrowUnits, fraction: float) -> None:
        if isinstance(regrowth, GrowUnits):
            self._masking.set(grow_units_(regrowth, self.granularity, self.masks, self.optimizer, self.generator))
            return
        gradients = self._masking.captured_everywhere() if regrowth.needs_gradient else None
        trained = trained_names(self.optimizer, self._parameters)  # frozen weights would stay zero where they grow
        masks, grown = swapped(regrowth, fraction, self.context(), trained, gradients, self.granularity)
        self.set_masks(masks)
        if self.optimizer is not None:  # a weight that was dropped and comes back starts fresh as well
            optimizer_state.mask_(self.optimizer, self._parameters, {name: ~mask for name, mask in grown.items()})

    def context(self) -> PruneContext:
        """Returns what a criterion is given now."""
        masks = {name: self.masks[name] for name in self.weights}
        pieces = self.granularity if isinstance(self.granularity, ChannelGranularity) else None
        how = (self.batches, self.loss, self.memory, self.task, pieces)
        return PruneContext(self.model, self.weights, masks, self.generator, self.steps, *how)

    @property
    def masks(self) -> dict[str, Tensor]:
        """Bool masks by name of the parameter: True is kept. Change them with `set_masks`."""
        return self._masking.masks

    def warnings(self) -> list[str]:
        """Returns a line for each sign that too little went (of the final sparsity) or too much (of a layer)."""
        return removal_warnings(self)

    def slim(self, make_optimizer: MakeOptimizer | None = None) -> tuple[nn.Module, torch.optim.Optimizer | None]:
        """Returns a plain model without the dead channels, and an optimizer of it that carries the state over.

        Both are new; the pruner stays with the full ones, and so does a learning-rate scheduler: `carry_scheduler`
        continues it with the new optimizer. Outputs are compared first.

        Args:
            make_optimizer: makes the optimizer from parameter groups, for a class whose constructor does not say how.

        Raises:
            InvalidInput: no example input, channels whose removal changes the outputs (the layer is named), or an
                optimizer that cannot be rebuilt.
        """
        warn_of(self)
        return slim_model(self.model, self.optimizer, self.granularity, self.masks, self.example_input, make_optimizer)

    def finalize(self) -> nn.Module:
        """Returns the model itself, masked one last time and without hooks: nothing of the pruner remains in it."""
        warn_of(self)
        self._masking.apply()
        self._masking.remove()
        release_(self._followers)
        return self.model

    def state_dict(self) -> dict[str, Any]:
        """Returns all that the next step depends on besides model and optimizer: tensors and numbers."""
        generator = self.generator.get_state()
        return PrunerState(self.steps, self._last_progress, self.masks, self.memory, generator).to_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resumes from `state_dict`: load model and optimizer too, in any order.

        Raises:
            InvalidInput: masks of other parameters or shapes.
        """
        there = PrunerState.from_dict(state, next(iter(self._parameters.values())).device)
        self._masking.set(there.masks, zero=False)
        self.steps, self._last_progress, self.memory = there.steps, there.progress, dict(there.memory)
        self.generator.set_state(there.generator)
        if self.regrowth is not None:
            self._capture_gradients(self.regrowth)
        follow_(self._followers, self.steps, self.masks)
