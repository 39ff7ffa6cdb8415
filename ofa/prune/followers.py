"""Followers: what else of a model changes with a pruner's masks and steps, dropout and which layers are trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Example, as_inputs
from ofa.prune.layers import LAYERS, undisturbed
from ofa.prune.times import Time, check_times, whole

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class Bound(Protocol):
    """A follower of one model."""

    def follow_(self, step: int, masks: Mapping[str, Tensor]) -> None:
        """Brings the model in line with the pruner: a function of the step and of the masks alone."""

    def release_(self) -> None:
        """Undoes what should not outlive the pruner."""


class Follower(Protocol):
    """What a pruner takes; it is called at the start, after every step and after resuming. `resolved` takes it too."""

    def bound(self, model: nn.Module, example_input: Example | None) -> Bound:
        """Returns the follower of a model."""


def follow_(followers: Sequence[Bound], step: int, masks: Mapping[str, Tensor]) -> None:
    """Brings a model in line with the pruner by each of its followers."""
    for follower in followers:
        follower.follow_(step, masks)


def release_(followers: Sequence[Bound]) -> None:
    """Undoes what should not outlive the pruner."""
    for follower in followers:
        follower.release_()


@dataclass(frozen=True)
class ScaledDropout:
    """Lowers dropout as connections go: rate * sqrt(C_after / C_before), C being those of the layer that feeds it.

    The layer is the last convolution or linear layer that runs before. Dropout of inputs, or of a layer that is not
    pruned, stays. The lowered rates stay when the pruner is done.

    Source: Han et al. 2015, 1506.02626, equation 1.
    """

    def bound(self, model: nn.Module, example_input: Example | None) -> BoundDropout:
        """Returns the dropouts of a model, whose layers are found by running it.

        Raises:
            InvalidInput: no example, though the model has dropout.
        """
        if not any(isinstance(module, _DROPOUTS) for module in model.modules()):
            return BoundDropout(())
        if example_input is None:
            raise InvalidInput("ScaledDropout finds layers by running the model: give the pruner example_input=")
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        before: list[str] = []
        dropouts: dict[int, tuple[nn.Module, float, str]] = {}

        def ran(module: nn.Module, *_: object) -> None:
            if isinstance(module, LAYERS):
                before.append(names.get(id(module.weight), ""))
            elif before:
                dropouts.setdefault(id(module), (module, float(vars(module)["p"]), before[-1]))

        with ExitStack() as stack:
            for module in model.modules():
                if isinstance(module, (*LAYERS, *_DROPOUTS)):
                    stack.callback(module.register_forward_hook(ran).remove)
            with undisturbed(model), torch.no_grad():
                as_inputs(example_input).to(next(model.parameters()).device).call(model)
        return BoundDropout(tuple(dropouts.values()))


@dataclass(frozen=True)
class BoundDropout:
    """The dropouts of a model: module, rate at the start, and the weight of the layer that feeds it."""

    dropouts: tuple[tuple[nn.Module, float, str], ...]

    def follow_(self, step: int, masks: Mapping[str, Tensor]) -> None:
        """Sets the rates."""
        for module, rate, weight in self.dropouts:
            if weight in masks:
                mask = masks[weight]
                vars(module)["p"] = rate * math.sqrt(int(mask.count_nonzero()) / mask.numel())

    def release_(self) -> None:
        """Nothing: the rates stay."""


@dataclass(frozen=True)
class Alternation:
    """Trains linear layers and all other layers in turns, the ones while the others are frozen.

    Linear layers begin. From `until` on everything is trained. Frozen layers have no gradient, so that optimizers
    leave them alone, momentum and weight decay included.

    Source: Han et al. 2015, 1506.02626, section 3.4: retraining "only" the fully connected layers after pruning them,
    with the convolutions fixed, and the other way round.

    Attributes:
        every: steps, or fraction of the training, of a turn.
        until: when turns end.
    """

    every: Time = 0.1
    until: Time = 0.8

    def __post_init__(self) -> None:
        check_times(self)

    def bound(self, model: nn.Module, example_input: Example | None) -> BoundAlternation:
        """Returns the two halves of a model.

        Raises:
            InvalidInput: it has only linear layers, or none, to train.
        """
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        of_linear = {id(p) for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters(recurse=False)}
        linear = tuple(parameter for parameter in trained if id(parameter) in of_linear)
        others = tuple(parameter for parameter in trained if id(parameter) not in of_linear)
        if not linear or not others:
            kind = "no linear layers" if not linear else "linear layers alone"
            raise InvalidInput(
                f"{type(model).__name__} has {kind} to train: nothing can alternate, leave Alternation out"
            )
        return BoundAlternation(linear, others, whole(self, "every"), whole(self, "until"))


@dataclass(frozen=True)
class BoundAlternation:
    """The parameters of linear layers and all others, and the turns of them in steps."""

    linear: tuple[nn.Parameter, ...]
    others: tuple[nn.Parameter, ...]
    every: int
    until: int

    def follow_(self, step: int, masks: Mapping[str, Tensor]) -> None:
        """Freezes the half whose turn it is not."""
        turn = None if step >= self.until else step // self.every % 2
        self._train(linear=turn in (None, 0), others=turn in (None, 1))

    def release_(self) -> None:
        """Lets everything be trained again."""
        self._train(linear=True, others=True)

    def _train(self, *, linear: bool, others: bool) -> None:
        for parameters, trained in ((self.linear, linear), (self.others, others)):
            for parameter in parameters:
                if parameter.requires_grad != trained:
                    parameter.requires_grad_(trained)
                    if not trained:
                        parameter.grad = None
