"""Entries of codebooks by error and bits: a weight takes a commoner value, or none, where that is worth it."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.compress.place_bits import place_bits

MOST_PRICED = 256  # entries
_ROUNDS = 12
_AT_ONCE = 2**22  # costs in memory
_SMOOTHING = 0.5


def chosen_entries(
    values: Tensor, entries: Tensor, bit_price: float, importance: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Returns a codebook (K,), ascending, and indices into it: 0 for a removed value, otherwise 1 + the place.

    Each value takes what has the least squared error + price * bits. The bits are those of its place, by how many of
    its row and its column are kept, and of its entry, by how often the entry is taken. Entries are then the means of
    those that took them, and bits are counted anew, until nothing moves.

    Source: entropy-constrained quantization, Chou et al. 1989; for networks Choi et al. 2017, 1612.01543; here with the
    bits of places, so that weights go which are alone in their row and column.

    Args:
        values: any shape; zeros are removed weights and stay so.
        entries: to begin with, ascending.
        bit_price: the squared error that a bit is worth, as a fraction of the mean square of the values but zeros.
        importance: how much the squared error of each value counts, in its shape; None: all the same.
    """
    exact = values.detach().double()
    weighted = torch.ones_like(exact) if importance is None else importance.detach().double().clamp_min(0)
    nonzero = exact != 0
    price = bit_price * float((weighted * exact**2)[nonzero].mean())
    centers, own, counts = entries.double(), exact[nonzero], weighted[nonzero]
    places = torch.bucketize(own, (centers[1:] + centers[:-1]) / 2) + 1
    for _ in range(_ROUNDS):
        mask = torch.zeros_like(nonzero)
        mask[nonzero] = places > 0
        often = torch.bincount(places, minlength=len(centers) + 1)[1:].double() + _SMOOTHING
        entry_bits = -(often / often.sum()).log2()
        more = place_bits(mask).reshape(exact.shape)[nonzero]
        before, places = places, _cheapest(own, counts, centers, price * more, price * entry_bits)
        mass = torch.bincount(places, weights=counts, minlength=len(centers) + 1)[1:]
        sums = torch.bincount(places, weights=counts * own, minlength=len(centers) + 1)[1:]
        centers = torch.where(mass > 0, sums / mass.clamp_min(1e-300), centers)
        if torch.equal(before, places):
            break
    return _filled(values, centers, places, nonzero)


def _cheapest(own: Tensor, counts: Tensor, centers: Tensor, place_costs: Tensor, entry_costs: Tensor) -> Tensor:
    """Where each value goes: 0: nowhere, otherwise 1 + the place of an entry. The largest value goes somewhere."""
    entries = torch.cat([centers.new_zeros(1), centers])
    entry_costs = torch.cat([centers.new_zeros(1), entry_costs])
    cheapest = []
    at_once = max(1, _AT_ONCE // len(entries))
    for start in range(0, len(own), at_once):
        rows = slice(start, start + at_once)
        costs = counts[rows, None] * (own[rows, None] - entries) ** 2 + entry_costs
        costs[:, 1:] += place_costs[rows, None]
        cheapest.append(costs.argmin(dim=1))
    places = torch.cat(cheapest)
    if not places.any():
        largest = own.abs().argmax()
        places[largest] = 1 + (centers - own[largest]).abs().argmin()
    return places


def _filled(values: Tensor, centers: Tensor, places: Tensor, nonzero: Tensor) -> tuple[Tensor, Tensor]:
    """The entries that are taken, ascending, and the places in them."""
    taken, order = torch.unique(places[places > 0], return_inverse=True)
    entries, ranks = centers[taken - 1].sort()
    rank_of = torch.empty_like(ranks)
    rank_of[ranks] = torch.arange(len(ranks), device=ranks.device)
    filled = torch.zeros_like(places)
    filled[places > 0] = rank_of[order] + 1
    indices = torch.zeros(values.shape, dtype=torch.int32, device=values.device)
    indices[nonzero] = filled.int()
    return entries.to(values.dtype), indices
