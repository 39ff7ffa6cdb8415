"""The plan of a search from what was asked: made by the verb, and again by each of several workers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from threadpoolctl import threadpool_limits

from ofa.space import Space
from search.app.build import make_partial, positive
from search.app.tuning import Tuning, figures_with, space_with, tuning_of
from search.candidate import Candidate
from search.candidate_space import CandidateSpace
from search.device import Profile
from search.evaluate import Evaluator
from search.evaluation import Evaluate, Evaluation
from search.figures import CandidateFigures
from search.free_figures import free_figures, of_candidates
from search.limits import Limits
from search.locks import WAITS, evaluating
from search.paths import RunFolder
from search.plan import SearchPlan
from search.stages import hash_of
from search.trained import Trained, load_trained
from search.warm_start import fitting
from search.zero_shot import ZeroShot, of_archs


@dataclass(frozen=True)
class AskedPlan:
    """What decides a SearchPlan, in values that can be sent to another process.

    Attributes:
        name: of the Optuna study.
        study: the name of the search, by which other verbs know it.
        profiles: the device's profile by the name of its latency figure.
        figures: the names of the figures that are limited or optimised.
        options, sampler: the groups `search` and `sampler` of the configuration.
        threads: of PyTorch, in each process.
        config: the whole configuration, not resolved, where candidates are fine-tuned.
        artifacts: the folder of the trials' files; None where none are written.
        warm: the best candidates of earlier searches, of which the plan takes those that fit.
    """

    name: str
    study: str
    run: RunFolder
    space: Space
    profiles: Mapping[str, Profile]
    evaluations: int
    limits: Limits
    figures: frozenset[str]
    latencies: tuple[str, ...]
    options: Mapping[str, Any]
    sampler: Mapping[str, Any]
    seed: int
    identity: Mapping[str, str]
    threads: int
    config: Mapping[str, Any] | None = None
    artifacts: Path | None = None
    warm: tuple[Candidate, ...] = ()


def make_plan(asked: AskedPlan, trained: Trained | None = None, tuning: Tuning | None = None) -> SearchPlan:
    """Returns the plan; a worker's own process loads the supernet itself, and makes the fine-tuning.

    Raises:
        InvalidInput: a sampler or a count that cannot be used, or a supernet that cannot be loaded.
    """
    if trained is None:
        torch.set_num_threads(asked.threads)
        threadpool_limits(asked.threads)  # of NumPy and scikit-learn, which samplers use
        trained = load_trained(asked.run)
    images = positive("search.calibration_images", asked.options["calibration_images"])
    validation, calibration = trained.data.validation, trained.data.calibration(images)
    evaluator = Evaluator(trained.supernet, validation.images, validation.labels, calibration, cache=asked.run.cache)
    config = None if asked.config is None else OmegaConf.create(dict(asked.config))
    if config is not None and tuning is None:
        tuning = tuning_of(config, asked.run, trained)
    space = space_with(tuning, asked.space)
    of_each = free_figures(trained.supernet, asked.profiles, asked.figures)
    figures = figures_with(tuning, config, trained, of_each)

    def evaluate(candidate: Candidate) -> Evaluation:
        with evaluating(asked.run, WAITS):
            return evaluator(candidate.arch)

    expected = _expected(asked, trained, of_candidates(of_each), evaluate) if tuning else None
    return SearchPlan(
        name=asked.name,
        space=space,
        figures=figures,
        evaluate=evaluate,
        evaluations=asked.evaluations,
        limits=asked.limits,
        objective=asked.options["objective"],
        latencies=asked.latencies,
        sampler=make_partial("sampler", asked.sampler),
        seed=asked.seed,
        identity=asked.identity,
        refusals=int(asked.options["refusals"]),
        command=partial(extract_command, asked.run, asked.study),
        artifacts=asked.artifacts,
        fidelities=None if tuning is None else replace(tuning.fidelities, expected=expected),
        warm=tuple(fitting(asked.warm, space, figures, asked.limits.hard)),
    )


def _expected(asked: AskedPlan, trained: Trained, figures: CandidateFigures, evaluate: Evaluate) -> ZeroShot | None:
    """What fine-tuned candidates are expected to be worth; None where no Archs are to be evaluated before."""
    count = int(asked.options["tuning"]["zero_shot"])
    if not count:
        return None
    plan = SearchPlan(
        name="archs",
        space=CandidateSpace(asked.space),
        figures=figures,
        evaluate=evaluate,
        evaluations=count,
        limits=of_archs(asked.limits),
        objective=asked.options["objective"],
        latencies=asked.latencies,
        seed=asked.seed,
        refusals=int(asked.options["refusals"]),
    )
    decides = {**asked.identity, **plan.attributes, "evaluations": count}
    images = asked.options["calibration_images"]
    return ZeroShot(plan, asked.run.cache / f"{trained.digest}-archs-{hash_of({**decides, 'images': images})}.json")


def extract_command(run: RunFolder, search: str, trial: int) -> str:
    """Returns what extracts one trial, as a shell takes it."""
    outputs = [] if str(run.root.parent) == "outputs" else [f"outputs={run.root.parent}"]
    return shlex.join(["ofa", "extract", f"run={run.name}", *outputs, f"study={search}", f"trial={trial}"])
