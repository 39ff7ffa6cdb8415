"""What candidates compute in: float32, int8, or some groups of layers in int8; checked, and with its latency."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ofa.errors import InvalidInput, nearest
from ofa.precisions import named_by
from ofa.quantization import INT8
from search.candidates.figures import (
    INT8_SIZES,
    LATENCY,
    PRECISION,
    CandidateFigures,
    Floats,
    int8_groups,
    is_int8,
    of_kernels,
)
from search.candidates.mixtures import Groups, precision_of
from search.candidates.space import Candidate
from search.config.search import SearchRequest
from search.config.searched_keys import SearchedKeys
from search.device.int8_sizes import MixedSizes
from search.device.latency.mixed import MixedLatency
from search.training.trained import Trained

GROUPS = "search.tuning.precisions"  # the node that says it of groups of layers
NUMBERS = "search.tuning.precision"  # the key that says which numbers it computes in


def check_precision(request: SearchRequest, keys: SearchedKeys) -> None:
    """Checks which parameter says what candidates compute in, and that a profile says how long that takes in int8.

    Raises:
        InvalidInput: another parameter says it, or there is no device in int8.
    """
    names = {name for name, paths in keys.paths.items() if NUMBERS in paths}
    if names - {PRECISION} or (PRECISION in keys.paths and PRECISION not in names):
        name = next(iter(names), PRECISION)
        raise InvalidInput(f"search.parameters.{name}: the parameter {PRECISION}, and no other, sets {NUMBERS}")
    if request.search.tuning is not None and request.search.tuning.precision != "float32" and not names:
        raise InvalidInput(
            f"{NUMBERS}={request.search.tuning.precision} for all candidates is a search on a device that computes so: "
            "give device=onnxruntime_int8; of several it is search=joint_int8"
        )
    if (names or groups_of(request)) and request.search.int8_device is None:
        raise InvalidInput(
            f"search.parameters.{PRECISION} searches int8, whose kernels have a profile of their own: give its name, "
            "search.int8_device=onnxruntime_int8"
        )


def groups_of(request: SearchRequest) -> Groups:
    """Returns the groups of layers that have a precision each: globs by the group's name."""
    return {} if request.search.tuning is None else request.search.tuning.groups


def check_groups(request: SearchRequest, keys: SearchedKeys, trained: Trained) -> None:
    """Checks the groups of layers that have a precision each.

    Raises:
        InvalidInput: what a group computes in is not what its parameter says, or a glob names no layer.
    """
    groups = groups_of(request)
    setters = {f"{GROUPS}.{name}.precision": precision_of(name) for name in groups}
    for name, paths in keys.paths.items():
        named = [path for path in paths if path.startswith(f"{GROUPS}.")]
        if [setters.get(path) for path in named] != [name] * len(named) or (bool(named) != (name in setters.values())):
            raise InvalidInput(
                f"search.parameters.{name} sets {', '.join(paths)}: of a group of layers, the parameter "
                f"precision_GROUP and no other sets {GROUPS}.GROUP.precision; groups are {', '.join(groups) or 'none'}"
            )
    if groups and PRECISION in keys.paths:
        raise InvalidInput(
            f"search.parameters.{PRECISION} is of the whole network, and groups have their own: leave one out, "
            f"search.parameters.{PRECISION}=null or {GROUPS}=null"
        )
    for name in request.search.tuning.groups_in_int8 if request.search.tuning else ():
        raise InvalidInput(
            f"{GROUPS}.{name}.precision=int8: what a group always computes in is said by its parameter, "
            f"search.parameters.{precision_of(name)}.one_of=[int8]"
        )
    layers = [layer.module for layer in trained.supernet.structure.trace.contractions]
    for name, match in groups.items():
        for pattern in match:
            if not any(named_by(layer, (pattern,)) for layer in layers):
                raise InvalidInput(f"{GROUPS}.{name}.match: {pattern!r} names no layer; {nearest(pattern, layers)}")


def of_both_kernels(
    figures: CandidateFigures, mixed: MixedLatency | None, sizes_of: Callable[[], MixedSizes] | None = None
) -> CandidateFigures:
    """Returns the figures of candidates, each with the latency of the kernels that it computes with.

    Args:
        mixed: the latency where some groups of layers compute in int8.
        sizes_of: makes the sizes in int8 of such candidates, when they are first needed.
    """
    known = list[MixedSizes]()

    def of(candidates: Sequence[Candidate]) -> Mapping[str, Floats]:
        by_name = figures(candidates)
        chosen = np.array([is_int8(candidate.values) for candidate in candidates])
        quick, usual = (of_kernels(by_name, {PRECISION: name}) for name in (INT8, "float32"))
        predictions = {name: np.where(chosen, quick[name], usual[name]) for name in usual}
        parted = {row: names for row, candidate in enumerate(candidates) if (names := int8_groups(candidate.values))}
        archs, rows, groups = [candidates[row].arch for row in parted], list(parted), list(parted.values())
        if parted and mixed is not None:
            predictions[LATENCY][rows] = mixed.predict(archs, groups)
        if parted and sizes_of is not None and not set(INT8_SIZES).isdisjoint(predictions):
            known.extend([] if known else [sizes_of()])
            for name, sizes in known[0].predict(archs, groups).items():
                if name in predictions:
                    predictions[name][rows] = sizes
        return predictions

    return of
