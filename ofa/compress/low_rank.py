"""Low-rank factorization of a whole model, with ranks given, by energy, or by a budget."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from math import ceil, prod
from typing import Any

import torch
from torch import nn

from ofa.compress.layer_ranks import Candidate, Rank, with_positions
from ofa.compress.rank_budget import ranks_within
from ofa.compress.split import CONVS
from ofa.errors import InvalidInput, is_whole, nearest
from ofa.inputs import Example
from ofa.plain_network import check_plain_weights, plain_network

METHODS = ("svd", "tucker")
METRICS = ("params", "macs")

# A whole number, a fraction of the full rank, or (outputs, inputs) for Tucker-2.
WantedRank = int | float | tuple[int, int]


def factorize(
    model: nn.Module,
    *,
    rank: WantedRank | Mapping[str, WantedRank] | None = None,
    energy: float | None = None,
    budget: float | None = None,
    layers: Sequence[str] = ("*",),
    method: str = "svd",
    metric: str = "params",
    example_input: Example | None = None,
    only_if_smaller: bool = True,
) -> nn.Module:
    """Returns a copy of `model` whose layers of low rank are sequences of thinner ones: "reduce" (, "core"), "expand".

    Linear layers become two; convolutions become a k x k and a 1x1 one (`method="svd"`), or, with
    `method="tucker"` and where they are larger than 1x1 and not grouped, a 1x1, a k x k and a 1x1 one. The copy
    computes the same where the ranks are those of the weights, and is an ordinary model that can be trained on.
    Only layers of torch's own classes are taken; weights that are shared between layers are left alone. A model
    that reads `layer.weight` itself needs that layer left out of `layers`.

    Args:
        model: any model; it does not change.
        rank: of every layer (no more than its full rank), or by glob; the last that matches counts. A float is a
            fraction of the full rank, a pair the ranks (outputs, inputs) of Tucker-2.
        energy: share of each weight's squared norm that is kept, above 0 and at most 1. 1 is exact.
        budget: fraction of the model's `metric` that may stay; ranks as of `ranks_within`, so that the product of the
            layers' energies is about the largest that fits.
        layers: globs of module paths.
        method: "svd" or "tucker".
        metric: what has to get smaller, and what a budget counts: "params" or "macs".
        example_input: an input of the model, for "macs".
        only_if_smaller: whether a layer that would not get smaller stays as it is; with a budget it always does.

    Raises:
        InvalidInput: not exactly one of rank, energy and budget; a value out of range; a glob that names no layer;
            a budget that cannot be met; weights that are NaN or infinite.
    """
    model = plain_network(model, "factorize")
    ranks = choose_ranks(
        model,
        rank=rank,
        energy=energy,
        budget=budget,
        layers=layers,
        method=method,
        metric=metric,
        example_input=example_input,
        only_if_smaller=only_if_smaller,
    )
    split = {
        id(candidate.layer): candidate.split(ranks[candidate.path])
        for candidate in _candidates(model, method)
        if candidate.path in ranks
    }
    if id(model) in split:
        return split[id(model)]
    factorized = copy.deepcopy(model)
    for path, module in model.named_modules(remove_duplicate=False):
        if id(module) in split:
            parent, _, name = path.rpartition(".")
            setattr(factorized.get_submodule(parent), name, split[id(module)])
    return factorized


def choose_ranks(
    model: nn.Module,
    *,
    rank: WantedRank | Mapping[str, WantedRank] | None = None,
    energy: float | None = None,
    budget: float | None = None,
    layers: Sequence[str] = ("*",),
    method: str = "svd",
    metric: str = "params",
    example_input: Example | None = None,
    only_if_smaller: bool = True,
) -> dict[str, Rank]:
    """Returns the ranks that `factorize` uses, by path of each layer that it replaces; arguments as there.

    Raises:
        InvalidInput: as `factorize`.
    """
    check_plain_weights(model, "factorize")
    if sum(rule is not None for rule in (rank, energy, budget)) != 1:
        arguments = f"rank={rank!r}, energy={energy!r}, budget={budget!r}"
        raise InvalidInput(f"{arguments}: give exactly one of the three")
    for name, share in (("energy", energy), ("budget", budget)):
        if share is not None and not 0 < share <= 1:
            raise InvalidInput(f"{name}={share!r}: give a fraction above 0 and at most 1")
    for name, value, known in (("method", method, METHODS), ("metric", metric, METRICS)):
        if value not in known:
            raise InvalidInput(f"{name}={value!r} is unknown; {nearest(str(value), known)}")
    candidates = _candidates(model, method)
    total = float(sum(parameter.numel() for parameter in model.parameters()))
    if metric == "macs":
        if example_input is None:
            raise InvalidInput("metric='macs' counts on an input of the model: give example_input")
        candidates, total = with_positions(model, candidates, example_input)
    chosen = _matching(candidates, [*layers])
    for candidate in chosen:
        if not bool(torch.isfinite(candidate.layer.weight).all()):
            raise InvalidInput(
                f"the weight of {candidate.path!r} has entries that are NaN or infinite; check the training"
            )
    if budget is not None:
        ranks = _ranks_of_budget(chosen, budget, total)
    elif energy is not None:
        ranks = {candidate.path: candidate.rank_of_energy(energy) for candidate in chosen}
    else:
        ranks = _given_ranks(chosen, rank)
    # A budget counts on layers that stay as they are where splitting them would cost more.
    always = not only_if_smaller and budget is None
    return {
        candidate.path: ranks[candidate.path]
        for candidate in chosen
        if candidate.path in ranks and (always or candidate.saves(ranks[candidate.path]))
    }


def _candidates(model: nn.Module, method: str) -> list[Candidate]:
    """The layers that can be split, each once; not those whose weight another module holds too."""
    holders: dict[int, set[int]] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            holders.setdefault(id(parameter), set()).add(id(module))
    candidates = []
    for path, module in model.named_modules():
        # Exact classes: a subclass may use its weight in another way.
        if type(module) is nn.Linear or type(module) in CONVS:
            if all(len(holders[id(parameter)]) == 1 for parameter in module.parameters(recurse=False)):
                kernel = module.weight.shape[2:]
                tucker = method == "tucker" and prod(kernel) > 1 and module.groups == 1
                candidates.append(Candidate(path, module, tucker))
    return candidates


def _matching(candidates: Sequence[Candidate], layers: Sequence[str]) -> list[Candidate]:
    paths = [candidate.path for candidate in candidates]
    for pattern in layers:
        if not any(fnmatchcase(path, pattern) for path in paths):
            raise InvalidInput(f"the pattern {pattern!r} matches no layer to split; {nearest(pattern, paths)}")
    return [candidate for candidate in candidates if any(fnmatchcase(candidate.path, pattern) for pattern in layers)]


def _given_ranks(
    candidates: Sequence[Candidate], rank: WantedRank | Mapping[str, WantedRank] | None
) -> dict[str, Rank]:
    by_glob = rank if isinstance(rank, Mapping) else {"*": rank}
    for pattern in by_glob:
        _matching(candidates, [pattern])
    ranks = {}
    for candidate in candidates:
        wanted = [value for pattern, value in by_glob.items() if fnmatchcase(candidate.path, pattern)]
        if wanted:
            ranks[candidate.path] = _clipped(wanted[-1], candidate)
    return ranks


def _clipped(wanted: Any, candidate: Candidate) -> Rank:
    """The wanted rank in the layer's form, no more than its full rank."""
    full = candidate.full_rank
    if isinstance(wanted, float) and 0 < wanted <= 1:
        return tuple(ceil(wanted * most) for most in full)
    both = tuple(wanted) if isinstance(wanted, Sequence) and not isinstance(wanted, str) else (wanted,) * len(full)
    if len(both) != len(full) or not all(is_whole(rank, 1) for rank in both):
        rule = "a whole number above 0, a fraction of the full rank as a float up to 1.0"
        pair = ", or a pair (outputs, inputs)" if candidate.tucker else ""
        raise InvalidInput(f"rank={wanted!r} for {candidate.path}: give {rule}{pair}; its full rank is {full}")
    return tuple(min(r, most) for r, most in zip(both, full, strict=True))


def _ranks_of_budget(candidates: Sequence[Candidate], budget: float, total: float) -> dict[str, Rank]:
    rest = total - sum(candidate.dense_cost for candidate in candidates)
    least = (rest + sum(candidate.least_cost for candidate in candidates)) / total
    if least > budget or not candidates:
        raise InvalidInput(
            f"budget={budget!r} cannot be met: with rank 1 in every layer {least:.4f} of the model is left; "
            f"give at least that, or let more layers be split"
        )
    return ranks_within(candidates, budget * total - rest)
