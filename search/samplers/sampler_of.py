"""Optuna's plain samplers, and the sampler of a configuration: this toolkit's, Optuna's, OptunaHub's or a user's."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

from hydra.utils import get_object
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ofa.errors import InvalidInput
from search.candidates.trials import SamplerContext, SamplerFactory
from search.config.rules import Target
from search.objects import make, make_partial

SEED, CONTEXT, QUIET = "seed", "context", "warn_independent_sampling"


def tpe(context: SamplerContext, *, group: bool = False, startup_trials: int = 10, candidates: int = 24) -> BaseSampler:
    """Returns a multivariate tree-structured Parzen estimator.

    Multivariate is set since Optuna turns it off for two objectives. `group` samples conditional choices
    jointly instead of one by one. Source: Bergstra et al. 2011; Ozaki et al. 2022 for several
    objectives.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            multivariate=True,
            group=group,
            n_startup_trials=startup_trials,
            n_ei_candidates=candidates,
            constant_liar=context.running > 0,  # costs two more writes per trial
            seed=context.step_seed,
        )


def nsga2(
    context: SamplerContext, *, population: int = 50, mutation: float | None = None, crossover: float = 0.9
) -> BaseSampler:
    """Returns NSGA-II: generations by non-domination and crowding. Source: Deb et al. 2002.

    `mutation` is a probability a choice, 1 / choices by default.
    """
    return NSGAIISampler(
        population_size=population, mutation_prob=mutation, crossover_prob=crossover, seed=context.step_seed
    )


def nsga3(
    context: SamplerContext, *, population: int = 50, mutation: float | None = None, crossover: float = 0.9
) -> BaseSampler:
    """Returns NSGA-III: generations by non-domination and reference points, for three objectives or more.

    `mutation` is a probability a choice, 1 / choices by default. Source: Deb and Jain 2014.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return NSGAIIISampler(
            population_size=population, mutation_prob=mutation, crossover_prob=crossover, seed=context.step_seed
        )


def gp(context: SamplerContext, *, startup_trials: int = 10) -> BaseSampler:
    """Returns Optuna's Gaussian process, for spaces of some ten choices: a step with 45 takes seconds.

    It uses no figures beside the objectives. Source: the acquisition functions of Ament et al. 2023
    (2310.20708) and Daulton et al. 2020 (2006.05078).
    """
    return GPSampler(n_startup_trials=startup_trials, seed=context.step_seed)


def random(context: SamplerContext) -> BaseSampler:
    """Returns uniform draws, one choice at a time: the baseline that a sampler has to beat."""
    return RandomSampler(seed=context.step_seed)


def sampler_of(config: Target, name: str = "sampler") -> SamplerFactory:
    """Returns what makes the sampler of each step.

    A function of a `SamplerContext`, such as those of `search.samplers`, is called with it, with or without
    `_partial_`. Any other `_target_` must make the sampler itself: an instance, a class, or a module with one sampler
    class in it, such as `optunahub.load_module` returns. A sampler that takes a `seed` gets a new one for each step.

    Raises:
        InvalidInput: it cannot be made, or is not a sampler.
    """
    if not isinstance(config, Mapping) or "_target_" not in config:
        raise InvalidInput(f"{name}={config!r:.80} must be a mapping with _target_, or one of the group's options")
    if _is_function_of_context(config):
        return make_partial(name, {**config, "_partial_": True})  # type: ignore[no-any-return]
    config = {key: value for key, value in config.items() if key != "_partial_"}
    _check_no_seed(config, name)
    sampler_or_class = _instantiated(_seeded(config, 0, 0))  # so that errors show before any long step
    if isinstance(sampler_or_class, BaseSampler):
        return lambda context: _not_ending(_instantiated(_seeded(config, context.seed, context.step_seed)))
    sampler = _class_of(sampler_or_class, f"{name}: {config['_target_']}")
    _of_class(sampler, 0, 0, name)
    return lambda context: _not_ending(_of_class(sampler, context.seed, context.step_seed, name))


def is_seeded(config: Target) -> bool:
    """Returns whether the same `seed` repeats a search with this sampler."""
    if _is_function_of_context(config):
        return True
    config = {key: value for key, value in config.items() if key != "_partial_"}
    if _seeded(config, 1, 1) != _seeded(config, 2, 2):
        return True
    sampler_or_class = _instantiated(_seeded(config, 0, 0))
    return not isinstance(sampler_or_class, BaseSampler) and _takes(
        _class_of(sampler_or_class, str(config["_target_"])), SEED
    )


def _instantiated(config: Target) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return make(config)


def _not_ending(sampler: BaseSampler) -> BaseSampler:
    """The sampler, kept from ending Optuna's own loop once it has proposed everything.

    Grid samplers also look for an attribute of theirs in each trial, which the first candidates of a search lack.
    """
    after = sampler.after_trial

    def after_trial(study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        with suppress(RuntimeError, KeyError):
            after(study, trial, state, values)

    setattr(sampler, "after_trial", after_trial)  # noqa: B010, a method of this object alone
    return sampler


def _of_class(sampler: type[BaseSampler], seed: int, step_seed: int, name: str) -> BaseSampler:
    path = f"{sampler.__module__}.{sampler.__qualname__}"
    arguments = _added(sampler, {}, seed, step_seed)
    independent = arguments.pop("independent_sampler", None)
    samplers = {"independent_sampler": _instantiated(independent)} if independent else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return sampler(**arguments, **samplers)
    except Exception as error:  # any error of a constructor that needs more arguments
        raise InvalidInput(f"{name}: {path}: {error}") from error


def _seeded(config: Target, seed: int, step_seed: int) -> dict[str, Any]:
    """The configuration with the seeds and options that its samplers take and that it leaves out."""
    return _added(_target(config), config, seed, step_seed) | {
        key: _seeded(value, seed, step_seed) if isinstance(value, dict) and _is_sampler(value) else value
        for key, value in config.items()
        if value is not None
    }


def _added(target: Any, config: Target, seed: int, step_seed: int) -> dict[str, Any]:
    """The arguments that are added where the configuration leaves them out.

    A quasi-random sequence continues over the study, so all steps need the same seed; its independent draws do not.
    """
    is_sequence = inspect.isclass(target) and issubclass(target, QMCSampler)
    added: dict[str, Any] = {SEED: seed if is_sequence else step_seed}
    if inspect.isclass(target) and issubclass(target, QMCSampler | CmaEsSampler):
        added[QUIET] = False  # it would warn about each choice of each trial that is drawn at random
    if is_sequence:
        added["independent_sampler"] = {"_target_": f"optuna.samplers.{RandomSampler.__name__}", SEED: step_seed}
    return {key: value for key, value in added.items() if _takes(target, key) and config.get(key) is None}


def _check_no_seed(config: Target, name: str) -> None:
    for key, value in config.items():
        if key == SEED and value is not None:
            raise InvalidInput(f"{name}.seed={value!r}: a sampler is seeded by seed=...; leave {name}.seed out")
        if isinstance(value, dict):
            _check_no_seed(value, f"{name}.{key}")


def _class_of(target: Any, origin: str) -> type[BaseSampler]:
    """The sampler class that the target is, or the only one that a module defines."""
    if inspect.isclass(target) and issubclass(target, BaseSampler):
        return target
    if not isinstance(target, ModuleType):
        raise InvalidInput(f"{origin} made a {type(target).__name__}; it must make a sampler of Optuna")
    classes = [
        member for member in vars(target).values() if inspect.isclass(member) and issubclass(member, BaseSampler)
    ]
    defined = [member for member in dict.fromkeys(classes) if member.__module__.startswith(target.__name__)]
    if len(defined) != 1:
        names = ", ".join(member.__name__ for member in defined) or "none"
        raise InvalidInput(f"{origin} gave the module {target.__name__}, which must have one sampler and has {names}")
    return defined[0]


def _target(config: Target) -> Any:
    """What a configuration calls; None if the import fails, which instantiation reports better."""
    try:
        return get_object(str(config["_target_"]))
    except Exception:
        return None


def _is_sampler(config: Target) -> bool:
    target = _target(config) if "_target_" in config else None
    return inspect.isclass(target) and issubclass(target, BaseSampler)


def _takes(target: Any, name: str) -> bool:
    try:
        return name in inspect.signature(target).parameters
    except (TypeError, ValueError):
        return False


def _is_function_of_context(config: Target) -> bool:
    """Whether it is called with a SamplerContext: by its signature, or `_partial_` without a sampler class."""
    target = _target(config)
    if inspect.isfunction(target) and _takes(target, CONTEXT):
        return True
    return bool(config.get("_partial_")) and not _is_sampler(config)
