"""Networks that torch.compile makes quicker to train; what it cannot compile runs as it is."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ofa.arch import Arch
from ofa.space import Space

if TYPE_CHECKING:
    from ofa.supernet import Supernet


FEW = 8  # subnets: of a space that has no more, all are trained often enough for a graph of each


def often_trained(space: Space) -> frozenset[Arch]:
    """Returns the Archs that are worth compiling: the largest and the smallest, and all others where there are few."""
    return frozenset(space.every() if space.size <= FEW else (space.largest, space.smallest))


class Compiled(nn.Module):
    """Calls a network through `torch.compile`; after an error of the compiler, said once, as it is.

    Each shape of inputs is compiled by itself, so that bits do not depend on which came first. The weights, the mode
    and all attributes are the network's.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        # In lists, since as children they would give their weights other names.
        self._plain = [network]
        self._quick: list[Any] = [torch.compile(network, dynamic=False)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_plain"][0], name)

    @property
    def is_compiled(self) -> bool:
        """Whether the compiler has not failed yet."""
        return bool(self._quick)

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """Returns what the network returns."""
        if self._quick:
            try:
                return self._quick[0](*arguments, **named)
            except _compiler_errors() as error:
                self._quick.clear()
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                name = type(self._plain[0]).__name__
                warnings.warn(f"{name} is trained without torch.compile, which fails: {reason:.300}", stacklevel=2)
        return self._plain[0](*arguments, **named)


class CompiledViews:
    """Views of a supernet for training, of which those of a few Archs are compiled, once each.

    Compiling takes far longer than a step, so it is for Archs that come often, see `often_trained`. Views that
    compute a weight from the supernet's when they are made (transformed kernels, spectral norms) are made anew for each
    step, as those of all other Archs are.
    """

    def __init__(self, archs: Iterable[Arch]) -> None:
        self._archs = frozenset(archs)
        self._made: dict[Arch, nn.Module | None] = {}

    def __call__(self, supernet: Supernet, arch: Arch) -> nn.Module:
        """Returns a view of `arch` whose gradients are the supernet's."""
        if arch in self._archs and arch not in self._made:
            view = supernet.subnet(arch, accumulate=True)
            lasts = not supernet.plan(arch).computes and all(weight.is_leaf for weight in view.parameters())
            self._made[arch] = Compiled(view) if lasts else None
        made = self._made.get(arch)
        return supernet.subnet(arch, accumulate=True) if made is None else made


def _compiler_errors() -> tuple[type[Exception], ...]:
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import InductorError

    return TorchDynamoException, InductorError
