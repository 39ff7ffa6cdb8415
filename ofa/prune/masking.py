"""Masks at work on a model: gradients as they arrive, weights on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest
from ofa.processes import processes


class Masking:
    """Masks by parameter name, and hooks that zero the gradients of what they remove.

    Parameters of which nothing is removed cost nothing.
    """

    def __init__(self, model: nn.Module, masks: Mapping[str, Tensor]) -> None:
        parameters = dict(model.named_parameters())
        self._parameters = {name: parameters[name] for name in masks}
        self.masks: dict[str, Tensor] = {}
        self.captured: dict[str, Tensor] = {}
        self._capturing = False
        self._factors: dict[str, Tensor] = {}
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(self._hook(name))  # type: ignore[no-untyped-call]
            for name, parameter in self._parameters.items()
            if parameter.requires_grad
        ]
        self.set({name: mask.clone() for name, mask in masks.items()})

    def _hook(self, name: str) -> Callable[[Tensor], None]:
        def mask_gradient(parameter: Tensor) -> None:
            if parameter.grad is None:
                return
            if self._capturing:
                # What was masked before is zero, so this adds the dense gradient of each backward pass.
                so_far = self.captured.get(name)
                self.captured[name] = parameter.grad.clone() if so_far is None else so_far.add_(parameter.grad)
            factor = self._factors.get(name)
            if factor is not None:
                parameter.grad.mul_(_on(factor, parameter.grad))

        return mask_gradient

    def capture(self, wanted: bool) -> None:
        """Captures the dense gradients of the next step in `captured`, or discards them."""
        self.captured.clear()
        self._capturing = wanted

    def captured_everywhere(self) -> dict[str, Tensor]:
        """Returns what was captured, the sums over all processes that train together."""
        return {name: processes().sum_(gradient.clone()) for name, gradient in self.captured.items()}

    def set(self, masks: Mapping[str, Tensor], *, zero: bool = True) -> None:
        """Takes masks (names left out stay as they are); `zero`: zeroes what they remove.

        Raises:
            InvalidInput: a name that is not masked here, or another shape.
        """
        for name, mask in masks.items():
            if name not in self._parameters:
                raise InvalidInput(f"there is no mask on {name!r}; {nearest(name, self._parameters)}")
            if mask.shape != self._parameters[name].shape:
                shapes = f"{tuple(mask.shape)}, the parameter {tuple(self._parameters[name].shape)}"
                raise InvalidInput(f"the mask of {name!r} has shape {shapes}")
        for name, mask in masks.items():
            parameter = self._parameters[name]
            self.masks[name] = mask.to(device=parameter.device, dtype=torch.bool)
            if int(self.masks[name].count_nonzero()) == mask.numel():  # much faster than all()
                self._factors.pop(name, None)
            else:
                # Multiplying by 0 and 1 of the weight's own type is several times faster than filling by bool.
                self._factors[name] = self.masks[name].to(parameter.dtype)
        if zero:
            self.apply()

    def apply(self) -> None:
        """Zeroes every removed weight."""
        if not self._factors:
            return
        with torch.no_grad():
            weights: list[Tensor] = [self._parameters[name] for name in self._factors]
            factors = [_on(factor, weight) for factor, weight in zip(self._factors.values(), weights, strict=True)]
            torch._foreach_mul_(weights, factors)

    def remove(self) -> None:
        """Removes the hooks."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


def _on(factor: Tensor, like: Tensor) -> Tensor:
    """The factor on the device and in the type of the weight, which may have been moved or converted."""
    return factor if factor.device == like.device and factor.dtype == like.dtype else factor.to(like)
