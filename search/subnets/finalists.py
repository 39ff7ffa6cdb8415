"""Finalists: for every target the best candidate that measures within it, and those of a whole run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

from msgspec import structs

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.task import Score
from search.candidates.figures import BYTES_ON_DISK, LATENCY, device_of, is_latency, of_kernels
from search.candidates.limits import Target, check_target, target_text
from search.candidates.metric_limits import meets_metrics, metric_limits_text, metric_violations
from search.candidates.search_files import Finalist, MeasuredTrial, TrialRow
from search.candidates.space import Candidate
from search.run.scores import MetricFacts, first, is_noise
from search.subnets.mixed_finalists import MeasureMixed, add_mixed, is_measured

# Counts the bytes of a candidate's coded file.
FileBytes = Callable[[MeasuredTrial], int]
# Measures Archs together: ms of each, by the name of a device's latency figure, and by that of its kernels in int8
# (`in_int8`) where the precision is searched.
Measure = Callable[[Sequence[Arch]], Mapping[str, Sequence[float]]]


def choose_finalists(
    rows: Sequence[TrialRow],
    targets: Sequence[Target],
    measure: Measure,
    metrics: Sequence[MetricFacts],
    *,
    latencies: Sequence[str] = (LATENCY,),
    metric_limits: Mapping[str, float] = MappingProxyType({}),
    top: int = 3,
    spare: float = 0.0,
    file_bytes: FileBytes | None = None,
    measure_mixed: MeasureMixed | None = None,
) -> list[Finalist]:
    """Returns one Finalist per target, in order of the targets.

    The `top` candidates of every unserved target are measured together, then the next ones if all of them
    miss. A target without a latency limit takes its best candidate, which is measured too.

    Args:
        metrics: of the scores, that which candidates are chosen by first.
        latencies: the latency figures that `measure` returns, one per device.
        metric_limits: the worst values allowed, by metric.
        spare: the fraction of a latency limit that a measurement must leave.
        file_bytes: counts a candidate's bytes on disk, for those that the times allow; None: they do not matter.
        measure_mixed: measures candidates with some groups of layers in int8; None: there are none.

    Raises:
        InvalidInput: no candidate meets a target; names the nearest.
    """
    for target in targets:
        if missing := [name for name in check_target(target) if is_latency(name) and name not in latencies]:
            raise InvalidInput(f"target {dict(target)} has {missing[0]}: measured are {', '.join(latencies)}")
    if not 0 <= spare < 1 or top < 1:
        raise InvalidInput(f"spare={spare!r} must be a fraction below 1, and top={top!r} at least 1")
    valid = [row for row in rows if row.scores and meets_metrics(row.scores, metric_limits, metrics)]
    queues = [candidates_for(valid, target, latencies, metrics[0]) for target in targets]
    tops = [top if any(map(is_latency, target)) else 1 for target in targets]
    measured: dict[Arch, dict[str, float]] = {}
    finalists: list[Finalist | None] = [None] * len(targets)
    for step in range(1, 1 + max(map(len, queues), default=0)):
        unserved = [index for index, finalist in enumerate(finalists) if finalist is None]
        ends = {index: step * tops[index] for index in unserved}
        batch = [row for index in unserved for row in queues[index][: ends[index]]]
        requested = {row.arch: None for row in batch if row.arch}
        new = [arch for arch in requested if arch not in measured]
        if new:
            times = measure(new)
            measured |= {
                arch: {name: float(each[index]) for name, each in times.items()} for index, arch in enumerate(new)
            }
        if measure_mixed is not None:
            add_mixed(measured, batch, measure_mixed)
        for index in unserved:
            finalists[index] = _first_that_meets(
                queues[index][: ends[index]], targets[index], measured, spare, file_bytes
            )
        if None not in finalists:
            break
    served = [finalist for finalist in finalists if finalist is not None]
    if len(served) < len(targets):
        index = finalists.index(None)
        if not queues[index] and (others := candidates_for(rows, targets[index], latencies, metrics[0])):
            raise InvalidInput(_none_keeps(others, metric_limits, metrics))
        tried = [_counted(_measured(row, measured), file_bytes) for row in queues[index]]
        raise InvalidInput(_none_meets(targets[index], tried, spare, metrics[0]))
    return [_with_alike(finalist, queue) for finalist, queue in zip(served, queues, strict=True)]


def _with_alike(finalist: Finalist, queue: Sequence[TrialRow]) -> Finalist:
    """The finalist with the number of other candidates whose score is not told apart from its own by the noise."""
    tried = {finalist.chosen.trial, *(trial.trial for trial in finalist.missed)}
    others = [row.score for row in queue if row.number not in tried and row.score is not None]
    return structs.replace(finalist, alike=sum(is_noise(finalist.chosen.score, score) for score in others))


def candidates_for(
    rows: Sequence[TrialRow], target: Target, latencies: Sequence[str], metric: MetricFacts
) -> list[TrialRow]:
    """Returns the evaluated candidates predicted to meet a target, those best in a metric first, then fastest."""
    best: dict[Candidate, TrialRow] = {}
    for row in rows:
        feasible = row.state == "evaluated" and all(row.figures[name] <= limit for name, limit in target.items())
        if row.candidate is not None and feasible:
            best.setdefault(row.candidate, row)
    return sorted(best.values(), key=lambda row: row.costs((metric.name, *latencies), metric))


def contenders(
    rows: Sequence[TrialRow],
    target: Target,
    measured: Mapping[Arch, Mapping[str, float]],
    metric: MetricFacts,
    top: int,
    file_bytes: FileBytes | None = None,
) -> list[MeasuredTrial]:
    """Returns the measured candidates that meet a target, those best in a metric first, at most `top`.

    Args:
        rows: the candidates that may be chosen.
        measured: ms by the name of a device's latency figure, of each Arch that was measured.
    """
    latencies = list(of_kernels(next(iter(measured.values()), {}), {}))
    queue = [row for row in candidates_for(rows, target, latencies, metric) if is_measured(row, measured)]
    quick = (trial for row in queue if _in_time(trial := _measured(row, measured), target))
    return list(islice((trial for each in quick if fits(trial := _counted(each, file_bytes), target)), top))


def best_judged_anew(
    finalist: Finalist,
    trials: Sequence[MeasuredTrial],
    scores: Callable[[MeasuredTrial], Mapping[str, Score]],
    metrics: Sequence[MetricFacts],
    metric_limits: Mapping[str, float],
) -> tuple[Finalist, bool]:
    """Returns the finalist with the candidate that is best by other scores, and whether any keeps limits on metrics.

    Args:
        trials: its contenders.
        scores: those of a candidate that decide now, the objective first, such as those after a fine-tuning.
    """
    keeping = [trial for trial in trials if meets_metrics(scores(trial), metric_limits, metrics)]
    quality, score = metrics[0].quality, {id(trial): first(scores(trial)) for trial in trials}
    chosen = max(keeping or trials, key=lambda trial: (quality(score[id(trial)].value), -trial.measured_ms))
    alike = sum(is_noise(score[id(chosen)], score[id(trial)]) for trial in trials if trial is not chosen)
    margin = min((1 - share for share in _shares(chosen, finalist.target)), default=None)
    return structs.replace(finalist, chosen=chosen, margin=margin, alike=alike), bool(keeping)


def _in_time(trial: MeasuredTrial, target: Target, spare: float = 0.0) -> bool:
    return all(ms <= target[name] * (1 - spare) for name, ms in trial.measured.items() if name in target)


def _counted(trial: MeasuredTrial, file_bytes: FileBytes | None) -> MeasuredTrial:
    """A candidate with the bytes of its file, where they matter."""
    return trial if file_bytes is None else structs.replace(trial, file_bytes=file_bytes(trial))


def fits(trial: MeasuredTrial, target: Target) -> bool:
    """Returns whether the coded file of a candidate keeps a limit on bytes on disk, if there is one."""
    return trial.file_bytes is None or trial.file_bytes <= target.get(BYTES_ON_DISK, math.inf)


def _first_that_meets(
    queue: Sequence[TrialRow],
    target: Target,
    measured: Mapping[Arch, Mapping[str, float]],
    spare: float,
    file_bytes: FileBytes | None,
) -> Finalist | None:
    missed: list[MeasuredTrial] = []
    for row in queue:
        trial = _measured(row, measured)
        if _in_time(trial, target, spare) and fits(trial := _counted(trial, file_bytes), target):
            margin = min((1 - share for share in _shares(trial, target)), default=None)
            return Finalist(target=target, margin=margin, chosen=trial, missed=tuple(missed))
        missed.append(trial)
    return None


def _measured(row: TrialRow, measured: Mapping[Arch, Mapping[str, float]]) -> MeasuredTrial:
    assert row.arch is not None  # checked by candidates_for
    times = of_kernels(measured[row.arch], row.settings)
    predicted = {name: row.figures[name] for name in times}
    return MeasuredTrial(
        arch=row.arch,
        trial=row.number,
        scores=row.scores,
        predicted_ms=next(iter(predicted.values())),
        measured_ms=next(iter(times.values())),
        predicted=predicted,
        measured=times,
        figures={name: value for name, value in row.figures.items() if name not in times},
        settings=row.settings,
    )


def _shares(trial: MeasuredTrial, target: Target) -> list[float]:
    """The measured latencies, and the bytes counted, as fractions of their limits."""
    shares = [ms / target[name] for name, ms in trial.measured.items() if name in target]
    counted = BYTES_ON_DISK in target and trial.file_bytes is not None
    return [*shares, trial.file_bytes / target[BYTES_ON_DISK]] if counted else shares  # type: ignore[operator]


def _none_meets(
    target: Target,
    tried: Sequence[MeasuredTrial],
    spare: float,
    metric: MetricFacts,
) -> str:
    limit = target_text(target) or "no limit"
    if not tried:
        return f"{limit}: no evaluated subnet is predicted to meet it; search longer or loosen the limit"
    nearest = min(tried, key=lambda trial: max(_shares(trial, target)))
    file_text = "" if nearest.file_bytes is None else f" and {nearest.file_bytes:,} bytes on disk"
    spare_text = f" with {spare:.1%} to spare" if spare else ""
    return (
        f"{limit}: none of {len(tried)} candidates measured within it{spare_text}; the nearest is trial "
        f"{nearest.trial} at {_times_text(nearest.measured)}{file_text} (predicted {_times_text(nearest.predicted)}, "
        f"{metric.named_text(nearest.score)})"
    )


def _none_keeps(queue: Sequence[TrialRow], limits: Mapping[str, float], metrics: Sequence[MetricFacts]) -> str:
    """Why no candidate is left after the limits on metrics, with the nearest."""

    def excess(row: TrialRow) -> float:
        return max(metric_violations(row.scores, limits, metrics).values())

    nearest, known = min(queue, key=excess), {metric.name: metric for metric in metrics}
    reached = " and ".join(f"{known[name].named_text(nearest.scores[name])}" for name in limits)
    return (
        f"none of {len(queue)} evaluated subnets has {metric_limits_text(limits, metrics)}; the nearest is trial "
        f"{nearest.number} with {reached}: loosen search.metric_limits or search longer"
    )


def _times_text(times: Mapping[str, float]) -> str:
    """Milliseconds, with their devices if there are several."""
    on = {name: f" on {device_of(name)}" if device_of(name) else "" for name in times}
    return " and ".join(f"{ms:.4g} ms{on[name]}" for name, ms in times.items())
