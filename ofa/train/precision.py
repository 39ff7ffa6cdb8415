"""Number formats of training: float32, mixed precision with float32 weights, or rounded as in fewer bits."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest
from ofa.quantization import in_training

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FEWER_BITS = ("int8", "int4")  # float32 that is rounded on the way, see `ofa.quantization`
PRECISIONS = (*DTYPES, *FEWER_BITS)
_BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16")  # instructions: of x86, twice, and of ARM


def computes_in_bfloat16() -> bool | None:
    """Returns whether this processor has instructions for bfloat16; None where PyTorch (before 2.10) cannot tell."""
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    return None if capabilities is None else any(capabilities().get(name, False) for name in _BFLOAT16)


@dataclass(frozen=True)
class Precision:
    """How forward, backward and the optimizer's step run in one number format on one kind of device.

    Attributes:
        bits: "int8" or "int4" where forward passes round as a network in them does; empty for no rounding.
        where: whether the layer of a weight is rounded, by the weight's id; None: all are.
    """

    dtype: torch.dtype
    device_type: str
    scaler: torch.amp.GradScaler | None
    bits: str = ""
    where: Mapping[int, bool] | None = None

    def autocast(self) -> AbstractContextManager[object]:
        """Makes the context manager of a forward pass."""
        if self.bits:
            return in_training(self.bits, self.where)
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device_type, self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Accumulates the gradient of `loss`, scaled where float16 would lose small ones."""
        scaled = loss if self.scaler is None else self.scaler.scale(loss)
        torch.autograd.backward(scaled)

    def update(self, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], clip: float | None) -> None:
        """Clips the gradients' norm to `clip` and moves the weights; float16 skips steps that overflowed."""
        if self.scaler is not None and clip is not None:
            self.scaler.unscale_(optimizer)
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold: the scale of float16, nothing otherwise."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Puts back what `state` returned."""
        if self.scaler is not None and state:
            self.scaler.load_state_dict(state)


def precision_of(name: str, device: torch.device) -> Precision:
    """Returns the Precision of a name in `PRECISIONS`.

    Raises:
        InvalidInput: another name.
    """
    if name not in PRECISIONS:
        raise InvalidInput(f"precision {name!r} is unknown; {nearest(str(name), PRECISIONS)}")
    if name in FEWER_BITS:
        return Precision(torch.float32, device.type, None, name)
    scaler = torch.amp.GradScaler(device.type) if name == "float16" else None
    return Precision(DTYPES[name], device.type, scaler)
