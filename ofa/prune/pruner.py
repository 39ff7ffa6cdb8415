"""The pruner: masks beside a model, for anybody's training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.prune import optimizer_state
from ofa.prune.allocation import global_
from ofa.prune.allocation_context import Allocation, AllocationContext
from ofa.prune.context import Batches, Criterion, Loss, PruneContext
from ofa.prune.criteria import magnitude
from ofa.prune.granularity import Granularity, weight
from ofa.prune.masking import Masking
from ofa.prune.prune_report import PruneReport, make_report
from ofa.prune.regrowth import Regrowth, regrow
from ofa.prune.regularizers.regularizer import Regularizer, proximal_steps_, total_penalty
from ofa.prune.schedules import Schedule
from ofa.prune.scores import checked_scores
from ofa.prune.selection import keep_best
from ofa.prune.slimming import slim_model
from ofa.prune.weights import full_masks, prunable_weights

MakeGranularity = Callable[[nn.Module, Mapping[str, Tensor], Tensor | None], Granularity]


class Pruner:
    """Masks of a model that follow a schedule while anybody's loop trains it.

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
        regrowth: Regrowth | None = None,
        regularizers: Sequence[Regularizer] = (),
        example_input: Tensor | None = None,
        batches: Batches | None = None,
        loss: Loss = functional.cross_entropy,
        keep: Sequence[str] = (),
        seed: int = 0,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Puts full masks beside the model and, where the schedule has an event at step 0, prunes at once.

        Args:
            model: any module; it is trained and masked in place.
            optimizer: whose state is kept in line with the masks; None for masks alone.
            schedule: step -> sparsity at an event; None: only when `prune` is called.
            criterion, allocation, granularity: what a piece is worth, how many each layer keeps, what a piece is.
            regrowth: which weights are swapped for others while the density stays (SET, RigL).
            regularizers: losses (see `penalty`) and proximal steps.
            example_input: (N, ...); for channels, `slim` and multiply-accumulates.
            batches: makes labelled batches, for criteria that measure on data.
            loss: (outputs, labels) -> scalar, for those criteria.
            keep: globs of layers or weights that are never pruned.
            seed: of everything random here.
            state: of `state_dict`, to go on from; no event happens on construction then.

        Raises:
            InvalidInput: nothing to prune, a pattern that matches nothing, or an event that cannot be done.
        """
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.criterion = criterion
        self.allocation = allocation
        self.regrowth = regrowth
        self.regularizers = tuple(regularizers)
        self.example_input = example_input
        self.batches = batches
        self.loss = loss
        self.steps = 0
        self._last_progress = 0.0
        self.memory: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(seed)
        self.weights = prunable_weights(model, keep)
        self.granularity = granularity(model, self.weights, example_input)
        self._parameters = dict(model.named_parameters())
        self._masking = Masking(model, self._initial_masks())
        if state is not None:
            self.load_state_dict(state)
            return
        self._fire()

    def _initial_masks(self) -> dict[str, Tensor]:
        """Masks of the weights, and of every other parameter that the granularity reaches."""
        everything = [torch.ones(pool.pieces, dtype=torch.bool) for pool in self.granularity.pools]
        return full_masks(self.weights) | self.granularity.spread(everything)

    # -- in the loop --------------------------------------------------------------------------

    def step(self) -> None:
        """Does what is due after the optimizer's step: proximal steps, masks, and the events of the schedule."""
        with torch.no_grad():
            self._observe()
            self._proximal()
            self._masking.apply()
            self.steps += 1
            self._fire()

    def penalty(self) -> Tensor:
        """Returns the sum of the regularizers that are losses, a scalar to add to the training loss; 0 if none."""
        return total_penalty(self.regularizers, self._parameters, self.progress)

    def prune(self, sparsity: float) -> None:
        """Removes pieces until `sparsity` (fraction of all) is gone, now.

        Raises:
            InvalidInput: not in [0, 1], or scores that do not fit.
        """
        if not 0 <= sparsity <= 1:
            raise InvalidInput(f"sparsity={sparsity!r} is the fraction removed: from 0 to 1")
        pools = self.granularity.pools
        with torch.no_grad():
            scores = self.granularity.gather(checked_scores(self.criterion, self.context()), self.masks)
            counts = self.allocation(
                AllocationContext(pools, scores, sparsity, self._progress(sparsity), self.granularity.cost)
            )
            keep = [keep_best(score, count) for score, count in zip(scores, counts, strict=True)]
            self.set_masks(self.granularity.spread(keep))
            self._last_progress = self._progress(sparsity)

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

    def _progress(self, sparsity: float) -> float:
        """How far a sparsity is on the way to the schedule's final one."""
        final = sparsity if self.schedule is None else self.schedule.final
        return min(1.0, sparsity / final) if final > 0 else 1.0

    def _fire(self) -> None:
        """Does the event of this step, if there is one."""
        sparsity = None if self.schedule is None else self.schedule(self.steps)
        if sparsity is not None:
            self.prune(sparsity)
        if self.regrowth is not None:
            fraction = self.regrowth.fraction(self.steps)
            if fraction is not None and self.steps:
                self._regrow(self.regrowth, fraction)
            next_fraction = self.regrowth.fraction(self.steps + 1)
            self._masking.capture(self.regrowth.needs_gradient and next_fraction is not None)

    def _regrow(self, regrowth: Regrowth, fraction: float) -> None:
        context = self.context()
        grow = regrowth.scores(context, self._masking.captured if regrowth.needs_gradient else None)
        drop = {name: weight.detach().abs() for name, weight in self.weights.items()}
        masks, grown = regrow(context, context.masks, drop, grow, fraction)
        self.set_masks(masks)
        if self.optimizer is not None:  # a weight that was dropped and comes back starts anew as well
            optimizer_state.mask_(self.optimizer, self._parameters, {name: ~one for name, one in grown.items()})

    def _observe(self) -> None:
        observe = getattr(self.criterion, "observe", None)
        if observe is not None:
            observe(self.context())

    def _proximal(self) -> None:
        if self.regularizers:
            rate = self.optimizer.param_groups[0]["lr"] if self.optimizer is not None else 1.0
            proximal_steps_(self.regularizers, self._parameters, float(rate), self.progress)

    # -- what there is ------------------------------------------------------------------------

    def context(self) -> PruneContext:
        """Returns what a criterion is given now."""
        masks = {name: self.masks[name] for name in self.weights}
        return PruneContext(
            self.model, self.weights, masks, self.generator, self.steps, self.batches, self.loss, self.memory
        )

    @property
    def masks(self) -> dict[str, Tensor]:
        """Bool masks by name of the parameter: True is kept. Change them with `set_masks`."""
        return self._masking.masks

    @property
    def density(self) -> float:
        """Fraction of the prunable weights that are kept."""
        kept = sum(int(self.masks[name].count_nonzero()) for name in self.weights)
        return kept / sum(weight.numel() for weight in self.weights.values())

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights that are removed."""
        return 1.0 - self.density

    def report(self) -> PruneReport:
        """Returns a row a layer (kept, multiply-accumulates, predicted bytes) and the totals."""
        return make_report(self.model, self.weights, self.masks, self.example_input)

    def slim(self) -> tuple[nn.Module, torch.optim.Optimizer | None]:
        """Returns a plain model without the dead channels, and an optimizer of it that carries the state over.

        Both are new; the pruner stays with the full ones. A learning-rate schedule has to be made anew for the new
        optimizer. Outputs are compared first.

        Raises:
            InvalidInput: no example input, or channels whose removal changes the outputs; the layer is named.
        """
        return slim_model(self.model, self.optimizer, self.granularity, self.masks, self.example_input)

    def finalize(self) -> nn.Module:
        """Returns the model itself, masked a last time and without hooks: nothing of the pruner is left in it."""
        self._masking.apply()
        self._masking.remove()
        return self.model

    # -- resume -------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Returns all that the next step depends on besides model and optimizer: tensors and numbers."""
        return {
            "steps": self.steps,
            "progress": self._last_progress,
            "masks": {name: mask.clone() for name, mask in self.masks.items()},
            "memory": {name: value.clone() for name, value in self.memory.items()},
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state_dict`: load model and optimizer too, in any order.

        Raises:
            InvalidInput: masks of other parameters or shapes.
        """
        missing = {"steps", "progress", "masks", "memory", "generator"} - set(state)
        if missing:
            raise InvalidInput(f"this is no state of a pruner: it lacks {', '.join(sorted(missing))}")
        self._masking.set(state["masks"], zero=False)
        device = next(iter(self._parameters.values())).device
        self.steps, self._last_progress = int(state["steps"]), float(state["progress"])
        self.memory = {name: value.to(device) for name, value in state["memory"].items()}
        self.generator.set_state(state["generator"].cpu())
        if self.regrowth is not None:
            coming = self.regrowth.fraction(self.steps + 1)
            self._masking.capture(self.regrowth.needs_gradient and coming is not None)
