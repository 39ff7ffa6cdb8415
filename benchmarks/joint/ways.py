"""The ways: a joint study; architecture first and then its pruning; pruning of the largest subnet alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ofa
from benchmarks.joint.setting import Setting
from ofa.arch import Arch
from ofa.space import Space
from search.candidates.figures import of_candidates
from search.candidates.limits import Limits
from search.candidates.space import Candidate, CandidateSpace, Evaluation
from search.candidates.trials import trial_rows
from search.evaluation.tune import Gate
from search.run.scores import first, metrics_of
from search.run.stages import hash_of
from search.samplers import guided
from search.study.fidelities import Fidelities
from search.study.plan import SearchPlan
from search.study.study import run_study
from search.study.tuning import figures_with, tuning_of
from search.study.zero_shot import ZeroShot, of_archs

STARTUP = 12  # trials of a study before anything is predicted, a quarter at most
ZERO_SHOT = 200  # evaluations in the supernet, without any training: they are no part of the budget
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Recorder:
    """Fine-tunes as a search does, and keeps what came out with its accuracy on the test images."""

    setting: Setting
    tuner: Any
    rows: list[Row]

    def __call__(self, candidate: Candidate, gate: Gate) -> Evaluation:
        """Returns the Evaluation of a candidate."""
        tuned = self.tuner.tune(candidate, self.tuner.settings(candidate), gate)
        latency = float(self.setting.figures([candidate.arch])["latency_ms"][0])
        row: dict[str, Any] = {"accuracy": first(tuned.scores).value, "latency_ms": latency, "bytes": tuned.bytes}
        test = self.setting.trained.data.test
        row["test"] = ofa.evaluate(tuned.model, test.images, test.labels)
        self.rows.append({**row, "settings": dict(candidate.settings), "arch": candidate.arch.digest})
        return Evaluation(tuned.scores, tuned.seconds, figures={"bytes": float(tuned.bytes)})


def joint(setting: Setting, seed: int) -> list[Row]:
    """Returns all that one study over Archs and settings fine-tuned."""
    objectives = ("accuracy", "latency_ms", "bytes")
    limits = setting.limits(("latency_ms", "bytes"))
    return _tuned(setting, seed, setting.trained.supernet.space, objectives, limits, setting.tunings)


def architecture_then_pruning(setting: Setting, seed: int) -> list[Row]:
    """Returns what settings make of the best Arch for each latency limit, these having been searched first.

    Archs are judged by their accuracy in the supernet; the fine-tunings are shared out evenly among the limits.
    """
    archs = architectures(setting, seed)
    rows: list[Row] = []
    for number, arch in enumerate(archs):
        count = (number + 1) * setting.tunings // len(archs) - number * setting.tunings // len(archs)
        rows += _tuned(setting, seed, only(setting, arch), ("accuracy", "bytes"), setting.limits(["bytes"]), count)
    return rows


def pruning_only(setting: Setting, seed: int) -> list[Row]:
    """Returns what settings make of the largest subnet; zero weights make it no quicker, so time is not limited."""
    largest = only(setting, setting.trained.supernet.space.largest)
    return _tuned(setting, seed, largest, ("accuracy", "bytes"), setting.limits(["bytes"]), setting.tunings)


WAYS: Mapping[str, Callable[[Setting, int], list[Row]]] = {
    "joint": joint,
    "architecture_then_pruning": architecture_then_pruning,
    "pruning_only": pruning_only,
}


def architectures(setting: Setting, seed: int) -> list[Arch]:
    """Returns the Arch of best accuracy in the supernet under each latency limit, none of them twice."""
    plan = _of_archs(setting, seed, ("accuracy", "latency_ms"), setting.limits(["latency_ms"]))
    with tempfile.TemporaryDirectory() as folder:
        rows = trial_rows(run_study(plan, Path(folder) / "study.log").study)
    evaluated = [row for row in rows if row.state == "evaluated"]
    best = []
    for limit in setting.latencies:
        under = [row for row in evaluated if row.figures["latency_ms"] <= limit]
        best.append(
            max(under, key=lambda row: (row.score.value if row.score else 0.0, -row.figures["latency_ms"])).arch
        )
    return [arch for arch in dict.fromkeys(best) if arch is not None]


def zero_shot(setting: Setting, seed: int, objectives: Sequence[str], limits: Limits) -> ZeroShot:
    """Returns what is expected of Archs, learned from evaluations in the supernet as `ofa search` learns it."""
    plan = _of_archs(setting, seed, objectives, of_archs(limits))
    expected = ZeroShot(plan, setting.run.cache / f"archs-{hash_of(plan.attributes)}.json")
    expected.learn()
    return expected


def _of_archs(setting: Setting, seed: int, objectives: Sequence[str], limits: Limits) -> SearchPlan:
    """A search over Archs by their accuracy in the supernet."""
    return SearchPlan(
        name="archs",
        space=CandidateSpace(setting.trained.supernet.space),
        figures=of_candidates(setting.figures),
        evaluate=lambda candidate: setting.evaluator(candidate.arch),
        evaluations=ZERO_SHOT,
        metrics=metrics_of(setting.trained.task),
        limits=limits,
        objective=list(objectives),
        seed=seed,
    )


def only(setting: Setting, arch: Arch) -> Space:
    """Returns the space that has one Arch."""
    space, values = setting.trained.supernet.space, arch.values
    return Space(tuple(replace(one, values=(values.get(one.key, one.values[-1]),)) for one in space.choices))


def _tuned(
    setting: Setting, seed: int, archs: Space, objectives: Sequence[str], limits: Limits, count: int
) -> list[Row]:
    """What a study of `count` fine-tunings makes."""
    request = setting.request(seed)
    tuning = tuning_of(request, setting.trained)
    assert tuning is not None
    rows: list[Row] = []
    expected = zero_shot(setting, seed, objectives, limits) if archs.size > 1 and setting.learns_first else None
    recorder = Recorder(setting, tuning.tuner, rows)
    plan = SearchPlan(
        name="study",
        space=CandidateSpace(archs, tuning.keys.parameters),
        figures=figures_with(tuning, request, setting.trained, setting.figures),
        evaluate=lambda candidate: setting.evaluator(candidate.arch),
        evaluations=count,
        metrics=metrics_of(setting.trained.task),
        limits=limits,
        objective=list(objectives),
        seed=seed,
        fidelities=Fidelities(recorder, rungs=(), expected=expected),
        sampler=partial(guided, startup_trials=max(2, min(STARTUP, count // 4))),
    )
    with tempfile.TemporaryDirectory() as folder:
        run_study(plan, Path(folder) / "study.log")
    return rows
