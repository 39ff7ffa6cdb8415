"""Optuna's own samplers with what a Space of an architecture needs set.

How each takes a candidate over a limit (state PRUNED with a constraint above 0): TPE puts it among the trials
to stay away from, nearest to the limit first when there is nothing better; NSGA-II and random look at
completed trials or at nothing, and are merely not harmed.
"""

from __future__ import annotations

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler

from search.samplers.context import SamplerContext


def tpe(context: SamplerContext, *, group: bool = False, startup_trials: int = 10, candidates: int = 24) -> BaseSampler:
    """Returns a multivariate tree-structured Parzen estimator.

    Multivariate is set since Optuna turns it off for two objectives. `group` samples choices that not every
    trial has together instead of one by one. Source: Bergstra et al. 2011; Ozaki et al. 2022 for several
    objectives.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            multivariate=True,
            group=group,
            n_startup_trials=startup_trials,
            n_ei_candidates=candidates,
            constant_liar=False,  # one trial runs at a time, and it would cost two more writes a trial
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

    It looks at no figures but those that are objectives. Source: the acquisition functions of Ament et al. 2023
    (2310.20708) and Daulton et al. 2020 (2006.05078).
    """
    return GPSampler(n_startup_trials=startup_trials, seed=context.step_seed)


def random(context: SamplerContext) -> BaseSampler:
    """Returns uniform draws, a choice at a time: the baseline that a sampler has to beat."""
    return RandomSampler(seed=context.step_seed)
