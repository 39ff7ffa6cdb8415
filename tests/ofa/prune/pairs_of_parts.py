"""The parts of a pruner by name, and what it says of pairs that do not go together."""

from __future__ import annotations

from functools import partial
from typing import Any

from ofa.prune import criteria
from ofa.prune.allocation import budget, by_group, er, erk, global_, lamp, per_layer, threshold
from ofa.prune.granularity import block, channel, n_of_m, weight
from ofa.prune.regrowth import SET, RigL
from ofa.prune.regularizers import (
    L1,
    L2,
    GroupLasso,
    IntegerAttracting,
    NormL1,
    Orthogonal,
    ProximalL1,
    ProximalL2,
    SparseGroupLasso,
)

STEPS = 8


GRANULARITIES: dict[str, Any] = {
    "weight": weight,
    "two_to_four": n_of_m,
    "block": partial(block, rows=3, columns=2),
    "channel": partial(channel, multiple_of=2),
}


REGROWTHS: dict[str, Any] = {
    "none": None,
    "set": SET(0.3, every=1, until=STEPS),
    "rigl": RigL(0.3, every=1, until=STEPS),
}


CRITERIA: dict[str, Any] = {
    **{name: getattr(criteria, name) for name in ("activation", "apoz", "fpgm", "magnitude", "norm_scale")},
    **{name: getattr(criteria, name) for name in ("grasp", "probabilistic", "random_", "snip", "std_threshold")},
    **{"synflow": criteria.synflow, "taylor": criteria.taylor, "magnitude_per_bit": criteria.magnitude_per_bit},
    "movement": criteria.Movement(),
    "normalized": criteria.normalized(criteria.magnitude),
    "normalized grasp": criteria.normalized(partial(criteria.grasp, temperature=2.0)),
}


ALLOCATIONS: dict[str, Any] = {
    **{"global": global_, "per_layer": per_layer, "erk": erk, "er": er, "lamp": lamp, "threshold": threshold},
    "by_group": partial(by_group, groups={"first": {"match": ["first*"], "sparsity": 0.6}}),
    "budget": partial(budget, metric="params"),
    "budget of lamp": partial(budget, metric="params", base=lamp),
}


REGULARIZERS: dict[str, Any] = {
    **{"none": (), "l1": (L1(1e-3),), "l2": (L2(1e-3),), "norm_l1": (NormL1(1e-3),), "orthogonal": (Orthogonal(1e-3),)},
    **{"integers": (IntegerAttracting(1e-3),), "proximal_l1": (ProximalL1(1e-2),), "proximal_l2": (ProximalL2(1e-2),)},
    **{"group_lasso": (GroupLasso(1e-3),), "sparse_group_lasso": (SparseGroupLasso(1e-3),)},
}


def refusal(granularity: str, regrowth: str, criterion: str, allocation: str) -> str | None:
    """What the pruner says, None where it works."""
    if granularity == "channel" and regrowth != "none":
        return "cannot regrow channels"
    if "lamp" in allocation and criterion in ("grasp", "probabilistic", "movement", "normalized grasp"):
        return "lamp squares the scores"
    if granularity == "two_to_four" and ("lamp" in allocation or allocation == "threshold"):
        return "rank by their places"
    if granularity == "two_to_four" and allocation in ("erk", "er"):
        return "2 of 4 weights cannot be the pattern of"
    return None
