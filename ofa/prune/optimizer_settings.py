"""The settings of an optimizer, as arguments of its class; and a scheduler carried to another optimizer."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeVar

import torch
from torch.optim.lr_scheduler import LRScheduler

from ofa.errors import InvalidInput

Scheduler = TypeVar("Scheduler", bound=LRScheduler)
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def builder_like(optimizer: torch.optim.Optimizer) -> partial[torch.optim.Optimizer]:
    """Returns a builder, from parameter groups, of another optimizer of the same class and settings.

    Each argument of the constructor is looked up in `optimizer.defaults`, or in the attribute of its name.

    Raises:
        InvalidInput: an argument that the optimizer does not keep, so that its value is not known.
    """
    kind = type(optimizer)
    settings: dict[str, Any] = {}
    for name in _arguments(kind):
        if name in optimizer.defaults:
            settings[name] = optimizer.defaults[name]
        elif name in vars(optimizer):
            settings[name] = vars(optimizer)[name]
        else:
            raise InvalidInput(
                f"{kind.__name__} keeps its argument {name!r} neither in defaults nor as an attribute, so another one "
                f"cannot be made: give slim(make_optimizer=lambda groups: {kind.__name__}(groups, ...))"
            )
    return partial(kind, **settings)


def _arguments(kind: type) -> Iterator[str]:
    """The names of a constructor's arguments after the parameters; with **keywords, those of the class above too."""
    for above in kind.__mro__:
        if "__init__" not in vars(above):
            continue
        parameters = list(inspect.signature(above).parameters.values())
        skipped = 1 if above is kind or parameters[0].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD else 0
        yield from (parameter.name for parameter in parameters[skipped:] if parameter.kind not in _VARIABLE)
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            return


def carry_scheduler(scheduler: Scheduler, optimizer: torch.optim.Optimizer) -> Scheduler:
    """Returns a scheduler of `optimizer` that continues from the state of `scheduler`, which keeps its optimizer.

        slim, optimizer = pruner.slim()
        scheduler = carry_scheduler(scheduler, optimizer)

    Any scheduler of torch.optim.lr_scheduler, nested ones too, and others that keep their optimizer in `.optimizer`.
    A function that was given to it, as to LambdaLR, is shared.

    Raises:
        InvalidInput: no scheduler, or optimizers with different numbers of parameter groups.
    """
    before = getattr(scheduler, "optimizer", None)
    if not isinstance(before, torch.optim.Optimizer):
        raise InvalidInput(f"{type(scheduler).__name__} has no optimizer to be carried from: give an LRScheduler")
    counts = len(before.param_groups), len(optimizer.param_groups)
    if counts[0] != counts[1]:
        raise InvalidInput(f"the scheduler's optimizer has {counts[0]} parameter groups, the new one {counts[1]}")
    carried = copy.deepcopy(scheduler, {id(before): optimizer})
    _Attached(optimizer)
    if getattr(before, "_opt_called", False):  # else the next step warns that the optimizer has not stepped first
        optimizer._opt_called = True  # type: ignore[attr-defined]
    return carried


class _Attached(LRScheduler):
    """Only what torch does to an optimizer on construction of a scheduler: it counts the optimizer's steps."""

    def _initial_step(self) -> None:
        """Changes no learning rate."""
