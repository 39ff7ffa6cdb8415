"""The groups of a layer as a lasso sees them, how a step shrinks them, and which of them are removed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ofa.prune.layers import Layer
from ofa.prune.selection import keep_best

_LEAST = 0.5  # a group that a step does not remove keeps at least this share of its norm


@dataclass(frozen=True)
class LassoLayer:
    """A layer whose rows are groups.

    Attributes:
        weight: the name of its weight, (rows, ...).
        sized: what the norm of a row is of: scale and shift of the norm layer that it feeds, or weight and bias.
        others: those that are removed with a row besides.
    """

    weight: str
    sized: tuple[str, ...]
    others: tuple[str, ...]

    @classmethod
    def of(cls, layer: Layer, parameters: Mapping[str, Tensor]) -> LassoLayer:
        """Returns a layer's groups; a norm counts if it has a scale for each row."""
        own = tuple(name for name in (layer.weight, layer.bias) if name is not None)
        if layer.norm is None:
            return cls(layer.weight, own, ())
        rows = len(parameters[layer.weight])
        of_norm = tuple(f"{layer.norm}.{part}" for part in ("weight", "bias") if f"{layer.norm}.{part}" in parameters)
        if not of_norm or any(tuple(parameters[name].shape) != (rows,) for name in of_norm):
            return cls(layer.weight, own, ())
        return cls(layer.weight, of_norm, own)

    @property
    def names(self) -> tuple[str, ...]:
        """All parameters of the groups."""
        return (*self.sized, *self.others)

    @property
    def memory(self) -> str:
        """The name under which a pruner remembers `mean_sizes`."""
        return f"lasso/size/{self.weight}"

    def norms(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Returns the norm of each group, (rows,)."""
        rows = [parameters[name].detach().reshape(len(parameters[name]), -1) for name in self.sized]
        lengths: Tensor = torch.linalg.vector_norm(torch.cat(rows, dim=1), dim=1)
        return lengths

    def mean_sizes(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Returns the mean norm of a group and the mean size of a single weight, (2,)."""
        return torch.stack([self.norms(parameters).mean(), parameters[self.weight].detach().abs().mean()])

    def open_rows(self, lengths: Tensor, masks: Mapping[str, Tensor], least: float) -> Tensor:
        """Returns which rows may still go, bool (rows,): those of which anything is left, but for the longest."""
        rows = len(lengths)
        live = masks[self.weight].reshape(rows, -1).any(dim=1)
        live[lengths.argsort(descending=True, stable=True)[: max(1, math.ceil(least * rows))]] = False
        return live


def strength_for(
    layers: Sequence[LassoLayer],
    parameters: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    memory: Mapping[str, Tensor],
    shares: tuple[float, float],
    wanted: Sequence[int],
) -> list[float]:
    """Returns for each of `wanted` the least strength at which one step would make so many weights 0.

    It is 0 where nothing is wanted, and the largest there is where too much is. `shares` are that of the lasso of
    single weights, and that of each layer's groups which stays.
    """
    alpha, least = shares
    limits, counts = [], []
    for layer in layers:
        mask = masks[layer.weight]
        if alpha < 1:
            lengths = layer.norms(parameters)
            live = layer.open_rows(lengths, masks, least)
            limits.append(lengths[live] / ((1 - alpha) * memory[layer.memory][0].to(lengths)))
            counts.append(mask.reshape(len(mask), -1).sum(dim=1)[live])
        if alpha > 0:
            sizes = parameters[layer.weight].detach().abs()[mask]
            limits.append(sizes / (alpha * memory[layer.memory][1].to(sizes)))
            counts.append(torch.ones(len(sizes), dtype=torch.long, device=sizes.device))
    ordered, order = torch.cat(limits).sort(stable=True)
    removed = torch.cat(counts)[order].cumsum(0)
    if not len(ordered):
        return [0.0 for _ in wanted]
    places = torch.searchsorted(removed, torch.tensor(list(wanted), device=removed.device)).clamp(max=len(ordered) - 1)
    return [float(ordered[index]) if count > 0 else 0.0 for count, index in zip(wanted, places, strict=True)]


def shrink_groups_(
    layers: Sequence[LassoLayer],
    parameters: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    memory: Mapping[str, Tensor],
    pull: tuple[float, float],
    least: float,
) -> list[Tensor]:
    """Shrinks each group's norm by the strength times the mean norm and its own weight, in place; at most to a half.

    `pull` is the strength, and the relative norm up to which groups have the whole weight; see `_weights_of`.
    Returns by layer each group's norm as a multiple of what it should lose, (rows,): below 1 the proximal step is 0.
    Groups that are gone, and the largest of each layer, the share `least` of them, have infinity.
    """
    limits = []
    for layer in layers:
        lengths = layer.norms(parameters)
        mean = memory[layer.memory][0].to(lengths)
        limit = pull[0] * mean * _weights_of(lengths / mean, pull[1])
        for name in layer.sized:
            parameter = parameters[name]
            factor = (1 - limit / lengths.clamp_min(1e-30)).clamp(_LEAST, 1)
            parameter.mul_(factor.reshape(-1, *[1] * (parameter.dim() - 1)))
        limits.append((lengths / limit).masked_fill(~layer.open_rows(lengths, masks, least), torch.inf))
    return limits


def removed_groups(
    layers: Sequence[LassoLayer], limits: Sequence[Tensor], masks: Mapping[str, Tensor], missing: int
) -> dict[str, Tensor]:
    """Returns masks without the groups whose limit is below 1, the lowest first, until `missing` weights are gone."""
    candidates = sorted(
        (float(limits[number][row]), number, int(row))
        for number in range(len(layers))
        for row in torch.nonzero(limits[number] < 1).flatten()
    )
    changed: dict[str, Tensor] = {}
    for _, number, row in candidates:
        layer = layers[number]
        count = int({**masks, **changed}[layer.weight][row].count_nonzero())
        if 2 * missing < count:
            break
        missing -= count
        for name in layer.names:
            changed.setdefault(name, masks[name].clone())[row] = False
    return changed


def removed_singles(
    layers: Sequence[LassoLayer],
    parameters: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    memory: Mapping[str, Tensor],
    pull: tuple[float, float],
    missing: int,
) -> dict[str, Tensor]:
    """Returns masks without the weights that a soft threshold makes 0, at most as many as asked for, the lowest first.

    They shrink in place by the strength times the mean size of a weight, and their own weight, at most to a half; the
    largest of a layer stays. `pull` is as in `shrink_groups_`, `missing` how many weights may go.
    """
    relative = []
    for layer in layers:
        weight = parameters[layer.weight]
        sizes = weight.detach().abs()
        mean = memory[layer.memory][1].to(sizes)
        limit = pull[0] * mean * _weights_of(sizes / mean, pull[1])
        weight.mul_((1 - limit / sizes.clamp_min(1e-30)).clamp(_LEAST, 1))
        share = (sizes / limit).reshape(-1)
        share[share.argmax()] = torch.inf
        relative.append(share.masked_fill(~masks[layer.weight].reshape(-1), torch.inf))
    every = torch.cat(relative)
    count = min(missing, int((every < 1).count_nonzero()))
    if count == 0:
        return {}
    gone = torch.split(keep_best(-every, count), [len(share) for share in relative])
    return {
        layer.weight: masks[layer.weight] & ~removed.reshape(masks[layer.weight].shape)
        for layer, removed in zip(layers, gone, strict=True)
        if bool(removed.any())
    }


def _weights_of(relative: Tensor, critical: float) -> Tensor:
    """1 for what is to go, the sizes up to the critical one, and 0 for all others, which are not shrunk."""
    return (relative <= critical * (1 + 1e-6)).to(relative)
