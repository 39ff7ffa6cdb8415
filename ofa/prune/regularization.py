"""Regularizers applied beside an optimizer: each trained parameter at its own learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Example
from ofa.prune.context import PruneContext
from ofa.prune.regularizers.controlled import BoundLasso, ControlledLasso
from ofa.prune.regularizers.regularizer import Proximal, Regularizer, proximal_steps_, total_penalty


def learning_rates(optimizer: torch.optim.Optimizer | None, parameters: Mapping[str, nn.Parameter]) -> dict[str, float]:
    """Returns by name the learning rate of each parameter that is trained: that of its group, now.

    Parameters that require no gradient or that the optimizer does not hold are not trained; without an optimizer the
    rate is 1.

    Raises:
        InvalidInput: a group without a learning rate.
    """
    if optimizer is None:
        return {name: 1.0 for name, parameter in parameters.items() if parameter.requires_grad}
    rates: dict[int, float] = {}
    for group in optimizer.param_groups:
        if "lr" not in group:
            raise InvalidInput(
                f"{type(optimizer).__name__} has a parameter group without lr, which says how far proximal steps go"
            )
        rates |= dict.fromkeys(map(id, group["params"]), float(group["lr"]))
    return {
        name: rates[id(parameter)]
        for name, parameter in parameters.items()
        if parameter.requires_grad and id(parameter) in rates
    }


def trained_names(optimizer: torch.optim.Optimizer | None, parameters: Mapping[str, nn.Parameter]) -> set[str]:
    """Returns the names of the parameters that are trained; see `learning_rates`."""
    trainable = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
    return {name for name, parameter in with_frozen(optimizer, trainable).items() if parameter.requires_grad}


def with_frozen(
    optimizer: torch.optim.Optimizer | None, parameters: Mapping[str, nn.Parameter]
) -> Mapping[str, Tensor]:
    """Returns the parameters by name, those that are not trained as tensors that require no gradient."""
    if optimizer is None:
        return parameters
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {name: value if id(value) in trained else value.detach() for name, value in parameters.items()}


@dataclass(frozen=True)
class Regularization:
    """Regularizers of the parameters that an optimizer trains; without an optimizer all are trained, at rate 1.

    Raises:
        InvalidInput: a proximal step, and a parameter group without a learning rate.
    """

    regularizers: tuple[Regularizer | BoundLasso, ...]
    optimizer: torch.optim.Optimizer | None
    parameters: Mapping[str, nn.Parameter]

    def __post_init__(self) -> None:
        if self.has_proximal_steps:
            learning_rates(self.optimizer, self.parameters)

    @classmethod
    def of(
        cls,
        regularizers: Sequence[Regularizer | ControlledLasso],
        optimizer: torch.optim.Optimizer | None,
        model: nn.Module,
        weights: Mapping[str, Tensor],
        example_input: Example | None,
    ) -> Regularization:
        """Returns the regularizers of a model whose `weights` may be pruned.

        Raises:
            InvalidInput: one that does not fit the model, or that finds layers and has no example.
        """
        fitted: list[Regularizer | BoundLasso] = [
            each.bound(model, weights, example_input) if isinstance(each, ControlledLasso) else each
            for each in regularizers
        ]
        return cls(tuple(fitted), optimizer, dict(model.named_parameters()))

    @property
    def controlled(self) -> tuple[BoundLasso, ...]:
        """Those whose strength follows a schedule of sparsity."""
        return tuple(each for each in self.regularizers if isinstance(each, BoundLasso))

    @property
    def full_masks(self) -> dict[str, Tensor]:
        """Full masks of all that those remove."""
        names = [name for lasso in self.controlled for name in lasso.names]
        return {name: torch.ones_like(self.parameters[name], dtype=torch.bool) for name in names}

    @property
    def _given(self) -> tuple[Regularizer, ...]:
        return tuple(each for each in self.regularizers if not isinstance(each, BoundLasso))

    @property
    def has_proximal_steps(self) -> bool:
        """Whether any of them moves the weights itself."""
        return any(isinstance(regularizer, Proximal) for regularizer in self._given)

    def penalty(self, progress: float) -> Tensor:
        """Returns the sum, a scalar, of those that are terms of the loss; 0 where there are none."""
        return total_penalty(self._given, with_frozen(self.optimizer, self.parameters), progress)

    def proximal_steps_(self, progress: float) -> None:
        """Makes the proximal steps, in place, at the learning rates of now."""
        if self.has_proximal_steps:
            weights = with_frozen(self.optimizer, self.parameters)
            rates = learning_rates(self.optimizer, self.parameters)
            proximal_steps_(self._given, weights, rates, progress)

    def removed(self, context: PruneContext, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the masks that change by those whose strength follows a schedule; weights shrink in place."""
        trained = trained_names(self.optimizer, self.parameters) if self.controlled else set()
        changed: dict[str, Tensor] = {}
        for lasso in self.controlled:
            changed |= lasso.remove(context, {**masks, **changed}, trained)
        return changed
