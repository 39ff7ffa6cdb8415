"""The space, the targets and the fine-tuning of a search, from its request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import lcm
from types import MappingProxyType

from msgspec import structs
from optuna.pruners import BasePruner

from ofa.errors import InvalidInput
from ofa.space import Space
from search.candidates.feasible import smallest_reachable
from search.candidates.figures import (
    LATENCY,
    CandidateFigures,
    Figures,
    in_int8,
    of_candidates,
    of_kernels,
)
from search.candidates.limits import Limits, fraction_limits, needs_default_limits
from search.candidates.parameters import OneOf
from search.candidates.search_files import Finalist, Finalists
from search.candidates.space import Candidate, Evaluation, Gate
from search.config.rules import Target
from search.config.search import SearchRequest
from search.config.searched_keys import SearchedKeys, searched_keys
from search.config.tuning import Tuning
from search.device.devices import SearchDevice
from search.device.int8_sizes import MixedSizes
from search.device.latency.mixed import MixedLatency
from search.device.profile import Profile
from search.evaluation.caches import TunedCache
from search.evaluation.sparsities import sparse_figures, sparsities_of
from search.evaluation.start_weights import INHERIT, REWIND, StartWeights
from search.evaluation.tune import longer
from search.evaluation.tuner import Tuner
from search.objects import make
from search.run.locks import WAITS, evaluating
from search.run.progress import say
from search.study.fidelities import Fidelities
from search.study.precisions import check_groups, check_precision, groups_of, of_both_kernels
from search.training.trained import Trained

MIXED_ERROR = 0.1  # of sums of parts in int8 and in float32, see benchmarks/mixed_precision.py
START = "search.tuning.start"  # the key that says which weights a candidate begins with


def space_of(request: SearchRequest, devices: Sequence[SearchDevice], space: Space) -> Space:
    """Returns the part of a supernet's space that is searched: aligned as requested, else as every profile needs."""
    advice = {device.profile.name: device.profile.alignment for device in devices}
    needed = {name: alignment.needed for name, alignment in advice.items() if alignment and alignment.needed > 1}
    requested = request.search.align
    multiple = lcm(*needed.values()) if requested is None else requested
    aligned = space.aligned(multiple)
    if aligned.size < space.size:
        why = f" ({', '.join(needed)}; search.align=1 takes any)" if requested is None else ""
        say(f"search: widths only in multiples of {multiple}{why}: {aligned.size:,} of {space.size:,} subnets")
    return aligned


def limits_of(request: SearchRequest, devices: Sequence[SearchDevice], space: Space, figures: Figures) -> Limits:
    """Returns the targets of a search: each latency limit together with all other limits.

    Raises:
        InvalidInput: a latency model is so far off that its error cannot be the margin.
    """
    errors = _errors(devices, MIXED_ERROR if groups_of(request) else 0.0)
    latency, margin, others = request.latency, request.search.margin, request.search.given_limits
    if margin is None:
        _check_errors({device.profile.name: device.profile.held_out_error for device in devices})
    if isinstance(latency, Mapping):
        per_device = dict(zip(request.latency_figures, latency.values(), strict=True))
        return Limits(({**others, **per_device},), errors if margin is None else margin)
    margin = errors[LATENCY] if margin is None else margin
    if latency is None and request.search.fractions:
        if needs_default_limits(request.objective_figures, others):
            latency = _default_limits(request, space, figures, margin)
        else:
            say("search: no latency limit, since latency is not an objective; latency_ms=... sets one")
    if latency is None:
        return Limits((others,), margin)
    return Limits(tuple({**others, LATENCY: limit} for limit in latency), margin)


def _errors(devices: Sequence[SearchDevice], least: float) -> dict[str, float]:
    """The errors of latency models by figure, the larger one where it has two kinds of kernels; at least so much."""
    errors = {device.figure: device.profile.held_out_error for device in devices}
    return {name: max(error, errors.get(in_int8(name), 0.0), least) for name, error in of_kernels(errors, {}).items()}


def _check_errors(errors: Mapping[str, float]) -> None:
    """Raises InvalidInput where a latency model is off by all of the latency or more."""
    for device, error in errors.items():
        if not error < 1:
            raise InvalidInput(
                f"the latency model of {device} is off by {100 * error:.0f} % on subnets held out, which is no margin: "
                f"measure again on a quiet machine (ofa profile device={device} force=true, with more "
                "device.profile.anchors), or give search.margin"
            )


def _default_limits(request: SearchRequest, space: Space, figures: Figures, margin: float) -> tuple[float, ...]:
    """Limits from the latency of the largest subnet, each reachable with the margin."""
    largest = float(figures([space.largest])[LATENCY][0])
    least, _ = smallest_reachable(space, figures, LATENCY, seed=request.seed)
    return fraction_limits(request.search.fractions, largest, 1.02 * least / (1 - margin))


@dataclass(frozen=True)
class FineTuning:
    """The fine-tuning of a search.

    Attributes:
        keys: the configuration keys that are searched beside the Arch.
        tuner: fine-tunes candidates.
        fidelities: the steps of an evaluation.
        finalist_epochs: epochs of the finalists, which are measured at the end.
    """

    keys: SearchedKeys
    tuner: Tuner
    fidelities: Fidelities
    finalist_epochs: int

    def with_digests(self, finalists: Finalists) -> Finalists:
        """Returns the finalists with the digest of each chosen network."""
        return structs.replace(finalists, finalists=tuple(map(self._with_digest, finalists.finalists)))

    def _with_digest(self, finalist: Finalist) -> Finalist:
        chosen = finalist.chosen
        candidate = Candidate(chosen.arch, tuple(chosen.settings.items()))
        digest = self.tuner.digest(candidate, longer(self.tuner.settings(candidate), self.finalist_epochs))
        return structs.replace(finalist, chosen=structs.replace(chosen, tuned=digest))


def tuning_of(request: SearchRequest, trained: Trained) -> FineTuning | None:
    """Returns the fine-tuning of a search; None if the request has none.

    Raises:
        InvalidInput: a setting that cannot be used.
    """
    tuning, run = request.search.tuning, request.folder
    if tuning is None:
        return None
    keys = searched_keys(request)
    _check_rewind(tuning, keys, trained)
    check_precision(request, keys)
    check_groups(request, keys, trained)
    calibration = trained.calibration(request.search.calibration_images)
    weights = StartWeights(trained, run.cache, rewind=tuning.rewind, calibration=calibration)
    cache = TunedCache(run.cache / f"{trained.digest}-tuned.jsonl")
    tuner = Tuner(trained, request, keys, weights, cache, calibration)

    def tune(candidate: Candidate, gate: Gate) -> Evaluation:
        with evaluating(run, WAITS):
            return tuner(candidate, gate)

    fidelities = Fidelities(
        tune=tune, rungs=tuning.rungs, keep=tuning.keep, least=tuning.least, pruner=_pruner(tuning.pruner)
    )
    return FineTuning(keys, tuner, fidelities, tuning.finalist_epochs)


def _check_rewind(tuning: Tuning, keys: SearchedKeys, trained: Trained) -> None:
    """Raises InvalidInput where candidates may begin with weights of a training that nobody can make again."""
    starts: set[str] = {tuning.start}
    for parameter in keys.parameters:
        if START in keys.paths[parameter.name] and isinstance(parameter, OneOf):
            starts |= set(map(str, parameter.values))
    if REWIND in starts and trained.config["train"] is None:
        others = ",".join(sorted(starts - {REWIND})) or INHERIT
        raise InvalidInput(
            f"{START}={REWIND}: the supernet was trained in a loop of its own and adopted, so no part of its training "
            f"can be made again; leave rewind out, search.parameters.start.one_of=[{others}]"
        )


def figures_with(
    tuning: FineTuning | None,
    request: SearchRequest,
    trained: Trained,
    figures: Figures,
    profiles: Mapping[str, Profile] = MappingProxyType({}),
) -> CandidateFigures:
    """Returns the free figures of candidates: a fine-tuning that prunes needs fewer bytes.

    Args:
        profiles: by the name of the latency figure; of use where groups of layers compute in int8.
    """
    if tuning is None or request.prune is None:
        return of_candidates(figures)
    sparsities = sparsities_of(tuning.keys, request.prune)
    pruned = request.prune
    groups = groups_of(request)
    sparse = sparse_figures(
        trained.supernet, figures, sparsities, keep=pruned.keep, include=pruned.include, groups=groups
    )
    if request.search.int8_device is None:
        return sparse
    usual, quick = profiles.get(LATENCY), profiles.get(in_int8(LATENCY))
    mixed = MixedLatency(trained.supernet, usual, quick, groups) if groups and usual and quick else None
    return of_both_kernels(sparse, mixed, partial(MixedSizes, trained.supernet, groups) if groups else None)


def _pruner(config: Target | None) -> BasePruner | None:
    """One of Optuna's pruners, or a user's."""
    if not config:
        return None
    pruner = make(config)
    if not isinstance(pruner, BasePruner):
        raise InvalidInput(f"search.tuning.pruner made a {type(pruner).__name__}; it must be a pruner of Optuna")
    return pruner
