"""The plan of a search from its request, made by the verb and by each evaluator; and running the study of a plan."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from ofa.loggers import Logger
from ofa.space import Space
from search.candidates.figures import CandidateFigures, objective_metric, objective_names, of_candidates
from search.candidates.limits import Limits
from search.candidates.metric_limits import metric_limits
from search.candidates.space import Candidate, CandidateSpace, Evaluate, Evaluation, Work
from search.candidates.trials import TrialProgress
from search.config.search import SearchRequest
from search.device.devices import SearchDevice, free_figures
from search.device.profile import Profile
from search.engine import MakeEngine, Source
from search.evaluation.supernet import Evaluator
from search.objects import make_partial
from search.run.locks import WAITS, evaluating
from search.run.progress import stage_progress
from search.run.scores import metrics_of, with_first
from search.run.stages import hash_of
from search.samplers.sampler_of import sampler_of
from search.study.database import Place
from search.study.logged import evaluations_to
from search.study.plan import SearchPlan, TrialFiles, fitting
from search.study.study import SearchResult, run_study
from search.study.trial_attributes import THIS_RUN
from search.study.tuning import FineTuning, figures_with, limits_of, space_of, tuning_of
from search.study.zero_shot import ZeroShot, of_archs
from search.text import times_text
from search.training.trained import Trained, load_trained


@dataclass(frozen=True)
class PlanInputs:
    """The inputs of a SearchPlan, as values that can be pickled to another process.

    Attributes:
        study: the name of Optuna's study.
        space: the searched part of the supernet's space.
        profiles: the device's profile by the name of its latency figure.
        identity: the digests of the inputs of the search.
        artifacts: the folder of the trials' files; None writes none.
        trial_files: makes them; a function of a module, so that it can be pickled.
        warm: the best candidates of earlier searches, of which the plan uses those that fit.
    """

    request: SearchRequest
    study: str
    space: Space
    profiles: Mapping[str, Profile]
    limits: Limits
    identity: Mapping[str, str]
    artifacts: Path | None = None
    trial_files: TrialFiles | None = None
    warm: tuple[Candidate, ...] = ()

    @property
    def figures(self) -> frozenset[str]:
        """The names of the figures that are limited or optimized."""
        return frozenset({*self.request.search.given_limits, *self.request.objective_figures})


def plan_inputs(
    request: SearchRequest,
    trained: Trained,
    devices: Sequence[SearchDevice],
    identity: Mapping[str, str],
    study: str,
    warm: Sequence[Candidate] = (),
) -> PlanInputs:
    """Returns the inputs of the plan of a search.

    Raises:
        InvalidInput: a limit that the profiles do not allow.
    """
    space = space_of(request, devices, trained.supernet.space)
    profiles = {device.figure: device.profile for device in devices}
    inputs = PlanInputs(request, study, space, profiles, Limits(), identity, warm=tuple(warm))
    figures = free_figures(trained.supernet, profiles, inputs.figures)
    return replace(inputs, limits=limits_of(request, devices, space, figures))


def make_plan(inputs: PlanInputs, trained: Trained | None = None, tuning: FineTuning | None = None) -> SearchPlan:
    """Returns the plan; an evaluator's process loads the supernet and makes the fine-tuning itself.

    Raises:
        InvalidInput: a sampler that cannot be used, or a supernet that cannot be loaded.
    """
    request = inputs.request
    run, options = request.folder, request.search
    if trained is None:
        trained = load_trained(run, request.trusted, show=False)
    tuning = tuning_of(request, trained) if tuning is None else tuning
    calibration = trained.calibration_source(options.calibration_images)
    evaluator = Evaluator(trained.supernet, trained.data, trained.task, calibration, cache=run.cache)
    space = CandidateSpace(inputs.space, tuning.keys.parameters if tuning else ())
    arch_figures = free_figures(trained.supernet, inputs.profiles, inputs.figures)
    figures = figures_with(tuning, request, trained, arch_figures, inputs.profiles)

    metrics = metrics_of(trained.task)
    metric = objective_metric(objective_names(options.objective, request.latency_figures), metrics)

    def evaluate(candidate: Candidate) -> Evaluation:
        with evaluating(run, WAITS):
            evaluation = evaluator(candidate.arch)
        return replace(evaluation, scores=with_first(evaluation.scores, metric.name))

    expected = _expected(inputs, trained, of_candidates(arch_figures), evaluate) if tuning else None
    return SearchPlan(
        name=inputs.study,
        space=space,
        figures=figures,
        evaluate=evaluate,
        evaluations=options.evaluations,
        metrics=metrics,
        limits=inputs.limits,
        metric_limits=metric_limits(options.metric_limits, metrics),
        objective=options.objective,
        latencies=request.latency_figures,
        sampler=sampler_of(request.sampler),
        seed=request.seed,
        identity=inputs.identity,
        refusals=options.refusals,
        command=partial(extract_command, request.name),
        artifacts=inputs.artifacts,
        trial_files=inputs.trial_files,
        fidelities=None if tuning is None else replace(tuning.fidelities, expected=expected),
        warm=tuple(fitting(inputs.warm, space, figures, inputs.limits.hard)),
        minutes=options.minutes,
        patience=options.patience,
    )


def _expected(inputs: PlanInputs, trained: Trained, figures: CandidateFigures, evaluate: Evaluate) -> ZeroShot | None:
    """The expected quality of fine-tuned candidates; None if no Archs are to be evaluated first."""
    request, options = inputs.request, inputs.request.search
    count = 0 if options.tuning is None else options.tuning.zero_shot
    if not count:
        return None
    plan = SearchPlan(
        name="archs",
        space=CandidateSpace(inputs.space),
        figures=figures,
        evaluate=evaluate,
        evaluations=count,
        metrics=metrics_of(trained.task),
        limits=of_archs(inputs.limits),
        objective=options.objective,
        latencies=request.latency_figures,
        seed=request.seed,
        refusals=options.refusals,
    )
    decides = {**inputs.identity, **plan.attributes, "evaluations": count, "images": options.calibration_images}
    return ZeroShot(plan, request.folder.cache / f"{trained.digest}-archs-{hash_of(decides)}.json")


def extract_command(search: str, trial: int) -> str:
    """Returns the shell command that extracts one trial; `THIS_RUN` stands for the run, which can be moved."""
    return shlex.join(["ofa", "extract", THIS_RUN, f"study={search}", f"trial={trial}"])


def make_work(inputs: PlanInputs, trained: Trained | None) -> Work:
    """Returns what an evaluator in another process does; `trained` None is loaded from the folder of the run."""
    torch.set_num_threads(inputs.request.threads)
    threadpool_limits(inputs.request.threads)  # of NumPy and scikit-learn
    return make_plan(inputs, trained).work


def engine_of(request: SearchRequest) -> MakeEngine:
    """Returns what gives the engine of a search.

    Raises:
        InvalidInput: it cannot be made.
    """
    own = request.engine.get("workers")
    return make_partial("engine", {**request.engine, "workers": request.workers if own is None else own})  # type: ignore[no-any-return]


def search_study(
    inputs: PlanInputs, plan: SearchPlan, location: Place, trained: Trained, loggers: Sequence[Logger] = ()
) -> SearchResult:
    """Returns the study of a plan once it holds all requested evaluations, made by the requested engine."""
    log = evaluations_to(loggers, plan.metric.name)
    _learn_expected(plan)
    with stage_progress("search") as update:

        def show(ended: TrialProgress) -> None:
            log(ended)
            if ended.score is not None:
                times = times_text({figure: ended.figures[figure] for figure in plan.latencies})
                first = next((ended.figures[figure] for figure in plan.latencies), None)
                value = ended.score.value
                point = {"latency, ms": first, plan.metric.with_unit(): plan.metric.shown(value)}
                point["quality"] = plan.metric.quality(value)
                update(ended.done, ended.evaluations, f"{plan.metric.named_text(value)} at {times}", point)

        source = Source(plan.work, partial(make_work, inputs), trained)
        return run_study(plan, location, show, engine_of(inputs.request), source)


def _learn_expected(plan: SearchPlan) -> None:
    """Evaluates the Archs that guide samplers, before the first fine-tuning."""
    if plan.fidelities is None or plan.fidelities.expected is None:
        return
    with stage_progress("zero-shot") as update:

        def show(ended: TrialProgress) -> None:
            if ended.score is not None:
                update(ended.done, ended.evaluations, plan.metric.text(ended.score.value))

        plan.fidelities.expected.learn(show)
