"""How many values each tensor may take: by a scan of what sharing harms, or by a budget of bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ofa.compress.sharing import Sharing, share, shareable
from ofa.errors import InvalidInput, is_number

LEVELS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)

# By tensor, by the count of levels: how much worse the network is; or how many bytes the tensor takes.
ByLevels = Mapping[str, Mapping[int, float]]


def sharing_scan(
    model: nn.Module,
    loss: Callable[[nn.Module], float],
    *,
    levels: Iterable[int] = (2, 4, 8, 16, 32),
    names: Sequence[str] | None = None,
    start: str = "linear",
) -> dict[str, dict[int, float]]:
    """Returns by tensor and levels how much larger the loss gets when that tensor alone is shared.

    The model has its own weights again afterwards, errors included. `names` are the tensors to scan; None means
    every matrix and kernel that is not all 0.

    Source: the sensitivity scan of Han et al. 2015, 1506.02626, there of pruning.

    Raises:
        InvalidInput: as `share`.
    """
    parameters = dict(model.named_parameters())
    scanned = [name for name, tensor in shareable(model).items() if tensor.dim() >= 2] if names is None else names
    base = loss(model)
    harm: dict[str, dict[int, float]] = {}
    for name in scanned:
        own = parameters[name].detach().clone()
        harm[name] = {}
        for count in levels:
            try:
                share(model, levels={name: count}, start=start).put(model)
                harm[name][count] = loss(model) - base
            finally:
                with torch.no_grad():
                    parameters[name].copy_(own)
    return harm


def levels_within(scan: ByLevels, most: float) -> dict[str, int]:
    """Returns by tensor the fewest levels of a scan whose harm is at most `most`.

    Raises:
        InvalidInput: a tensor that no scanned count of levels is enough for.
    """
    chosen = {}
    for name, harm in scan.items():
        enough = [count for count, worse in harm.items() if worse <= most]
        if not enough:
            least = min(harm.values())
            raise InvalidInput(
                f"most={most!r}: {name!r} is worse by {least:.4g} or more; scan more levels, or allow it"
            )
        chosen[name] = min(enough)
    return chosen


def levels_for_bytes(
    model: nn.Module | Mapping[str, Tensor],
    size: float,
    *,
    levels: Iterable[int] = LEVELS,
    harm: ByLevels | None = None,
    start: str = "linear",
    keep: Sequence[str] = (),
) -> dict[str, int]:
    """Returns by tensor the levels of least total harm whose estimated bytes are at most `size`.

    Every matrix and kernel takes part. Harm is the squared error, or what `sharing_scan` measured. Each tensor's
    choices are reduced to the lower hull of harm over bytes, on which the steps of most harm saved per byte
    come first (the Lagrangian solution); those that still fit are taken after the first that does not.

    Source: Shoham and Gersho 1988, Efficient bit allocation for an arbitrary set of quantizers.

    Args:
        size: bytes of all these tensors together, by `SharedTensor.estimated_bytes`.

    Raises:
        InvalidInput: a size that the fewest levels exceed, or as `share`.
    """
    if not is_number(size):
        raise InvalidInput(f"size={size!r}: give bytes as a number")
    tensors = shareable(model)
    names = share(tensors, levels=1, keep=keep).tensors
    choices = {
        name: [_choice(tensors[name], name, count, start, harm) for count in sorted(_counts(name, levels, harm))]
        for name in names
    }
    hulls = {name: _hull(options) for name, options in choices.items()}
    chosen = {name: hull[0] for name, hull in hulls.items()}
    spent = sum(choice.size for choice in chosen.values())
    if spent > size:
        raise InvalidInput(f"size={size!r} bytes: the fewest levels take about {spent:.0f}; give at least that")
    steps = sorted(
        ((before.harm - after.harm) / (after.size - before.size), name, step)
        for name, hull in hulls.items()
        for step, (before, after) in enumerate(pairwise(hull))
    )
    for _, name, step in reversed(steps):
        before, after = hulls[name][step : step + 2]
        if chosen[name] is before and spent + after.size - before.size <= size:
            spent += after.size - before.size
            chosen[name] = after
    return {name: choice.levels for name, choice in chosen.items()}


@dataclass(frozen=True)
class _Choice:
    levels: int
    size: float
    harm: float


def _counts(name: str, levels: Iterable[int], harm: ByLevels | None) -> Iterable[int]:
    if harm is None:
        return tuple(levels)
    if name not in harm:
        raise InvalidInput(f"harm names no {name!r}: scan every tensor that is shared, or keep this one")
    return tuple(harm[name])


def _choice(tensor: Tensor, name: str, levels: int, start: str, harm: ByLevels | None) -> _Choice:
    shared: Sharing = share({name: tensor}, levels={name: levels}, start=start)
    if harm is not None:
        return _Choice(levels, shared.estimated_bytes(), harm[name][levels])
    error = (shared.tensors[name].values().double() - tensor.double()).square().sum()
    return _Choice(levels, shared.estimated_bytes(), float(error))


def _hull(choices: Sequence[_Choice]) -> list[_Choice]:
    """The choices on the lower convex hull of harm over bytes, from the fewest bytes to the least harm."""
    hull: list[_Choice] = []
    for choice in sorted(choices, key=lambda choice: (choice.size, choice.harm)):
        if hull and choice.harm >= hull[-1].harm:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-2], choice):
            hull.pop()
        hull.append(choice)
    return hull


def _slope(before: _Choice, after: _Choice) -> float:
    """Harm saved per byte."""
    return (before.harm - after.harm) / max(after.size - before.size, 1e-9)
