"""Random ops replaced by constants, so that two runs of different widths can be compared."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_NUMBER = 0.5  # of every draw from a continuous distribution: not zero, so that what it is added to shows
_FRESH = frozenset({"rand", "randn", "rand_like", "randn_like", "bernoulli", "normal"})
_IN_PLACE = frozenset({"bernoulli_", "uniform_", "normal_", "exponential_", "log_normal_"})
_CHANCE = _FRESH | _IN_PLACE | {"native_dropout"}


def is_chance(func: Any) -> bool:
    """Whether an ATen op draws numbers that `without_chance` replaces."""
    return func.overloadpacket.__name__ in _CHANCE


def without_chance(func: Any, args: Any, kwargs: Any) -> Any:
    """Returns what an op returns, every draw being one constant: dropout and stochastic depth let all through."""
    name = func.overloadpacket.__name__
    if name == "native_dropout":
        return args[0].clone(), args[0].new_ones(args[0].shape, dtype=bool)
    out = func(*args, **kwargs)
    if is_chance(func) and isinstance(out, Tensor):
        out.fill_(1 if name.startswith("bernoulli") else _NUMBER)
    return out


class NoChance(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs every op `without_chance`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs one op."""
        return without_chance(func, args, kwargs or {})
