"""Found: what a learned search for a smaller network ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ofa.arch import Arch


@dataclass(frozen=True)
class Found:
    """A smaller network, and where it came from.

    Attributes:
        net: the network with its removed channels cut out: plain, with weights of its own.
        masked: the full-size network with the removed channels at zero; the same function as `net`.
        kept: by group of the supernet, which of its units stay, bool (units,).
        masks: by name of each parameter that a group touches, what stays, bool of its shape.
        accuracy: of `net`, as the given function measured it.
        cost: of `net`, in the budget's unit.
        full_cost: of the network that nothing was removed from.
        history: one row an episode or an update, JSON-able.
        arch: the widths of `net` where they are of the supernet's space; None where they were chosen freely.
    """

    net: nn.Module
    masked: nn.Module
    kept: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    accuracy: float
    cost: float
    full_cost: float
    history: tuple[Mapping[str, Any], ...]
    arch: Arch | None = None
