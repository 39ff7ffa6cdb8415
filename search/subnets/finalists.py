"""Finalists: for every target the best candidate that measures within it, and those of a whole run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from msgspec import structs

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.candidates.figures import LATENCY, device_of, is_latency
from search.candidates.limits import Target, check_target, target_text
from search.candidates.metric_limits import meets_metrics, metric_limits_text, metric_violations
from search.candidates.search_files import Finalist, MeasuredTrial, TrialRow
from search.candidates.space import Candidate
from search.run.scores import MetricFacts, first, is_noise
from search.text import limits_text, noise_text, times_text

# Measures Archs together: ms of each, by the name of a device's latency figure.
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
) -> list[Finalist]:
    """Returns one Finalist per target, in order of the targets.

    The `top` candidates of every unserved target are measured together, then the next ones if all of them
    miss. A target without a latency limit takes its best candidate, which is measured too.

    Args:
        metrics: of the scores, that which candidates are chosen by first.
        latencies: the latency figures that `measure` returns, one per device.
        metric_limits: the worst values allowed, by metric.
        spare: the fraction of a latency limit that a measurement must leave.

    Raises:
        InvalidInput: no candidate meets a target; names the nearest.
    """
    for target in targets:
        if missing := [name for name in check_target(target) if is_latency(name) and name not in latencies]:
            raise InvalidInput(f"target {dict(target)} has {missing[0]}: measured are {', '.join(latencies)}")
    if not 0 <= spare < 1 or top < 1:
        raise InvalidInput(f"spare={spare!r} must be a fraction below 1, and top={top!r} at least 1")
    kept = [row for row in rows if row.scores and meets_metrics(row.scores, metric_limits, metrics)]
    queues = [candidates_for(kept, target, latencies, metrics[0]) for target in targets]
    tops = [top if any(map(is_latency, target)) else 1 for target in targets]
    measured: dict[Arch, dict[str, float]] = {}
    finalists: list[Finalist | None] = [None] * len(targets)
    for step in range(1, 1 + max(map(len, queues), default=0)):
        unserved = [index for index, finalist in enumerate(finalists) if finalist is None]
        ends = {index: step * tops[index] for index in unserved}
        requested = {row.arch: None for index in unserved for row in queues[index][: ends[index]] if row.arch}
        new = [arch for arch in requested if arch not in measured]
        if new:
            times = measure(new)
            measured |= {
                arch: {name: float(times[name][index]) for name in latencies} for index, arch in enumerate(new)
            }
        for index in unserved:
            finalists[index] = _first_that_meets(queues[index][: ends[index]], targets[index], measured, spare)
        if None not in finalists:
            break
    served = [finalist for finalist in finalists if finalist is not None]
    if len(served) < len(targets):
        index = finalists.index(None)
        if not queues[index] and (others := candidates_for(rows, targets[index], latencies, metrics[0])):
            raise InvalidInput(_none_keeps(others, metric_limits, metrics))
        raise InvalidInput(_none_meets(targets[index], queues[index], measured, spare, metrics[0]))
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
) -> list[MeasuredTrial]:
    """Returns the measured candidates that meet a target, those best in a metric first, at most `top`.

    Args:
        rows: the candidates that may be chosen.
        measured: ms by the name of a device's latency figure, of each Arch that was measured.
    """
    latencies = list(next(iter(measured.values()), {}))
    queue = [row for row in candidates_for(rows, target, latencies, metric) if row.arch in measured]
    return [trial for row in queue if _meets(trial := _measured(row, measured), target)][:top]


def _meets(trial: MeasuredTrial, target: Target, spare: float = 0.0) -> bool:
    return all(ms <= target[name] * (1 - spare) for name, ms in trial.measured.items() if name in target)


def _first_that_meets(
    queue: Sequence[TrialRow], target: Target, measured: Mapping[Arch, Mapping[str, float]], spare: float
) -> Finalist | None:
    missed: list[MeasuredTrial] = []
    for row in queue:
        trial = _measured(row, measured)
        if _meets(trial, target, spare):
            margin = min((1 - share for share in _shares(trial, target)), default=None)
            return Finalist(target=target, margin=margin, chosen=trial, missed=tuple(missed))
        missed.append(trial)
    return None


def _measured(row: TrialRow, measured: Mapping[Arch, Mapping[str, float]]) -> MeasuredTrial:
    assert row.arch is not None  # checked by candidates_for
    times = measured[row.arch]
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
    """The measured latencies as fractions of their limits."""
    return [ms / target[name] for name, ms in trial.measured.items() if name in target]


def _none_meets(
    target: Target,
    queue: Sequence[TrialRow],
    measured: Mapping[Arch, Mapping[str, float]],
    spare: float,
    metric: MetricFacts,
) -> str:
    limit = target_text(target) or "no limit"
    if not queue:
        return f"{limit}: no evaluated subnet is predicted to meet it; search longer or loosen the limit"
    nearest = min((_measured(row, measured) for row in queue), key=lambda trial: max(_shares(trial, target)))
    spare_text = f" with {spare:.1%} to spare" if spare else ""
    return (
        f"{limit}: none of {len(queue)} candidates measured within it{spare_text}; the nearest is trial "
        f"{nearest.trial} at {_times_text(nearest.measured)} (predicted {_times_text(nearest.predicted)}, "
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


def tuned_text(chosen: MeasuredTrial, metric: MetricFacts) -> str:
    """Returns what a fine-tuning has changed, in words; empty where there was none."""
    if not chosen.raw:
        return ""
    gain = (
        metric.difference_text(chosen.score, first(chosen.raw))
        if chosen.gain is None
        else metric.gain_text(chosen.gain)
    )
    of = f", the best of {chosen.among}" if chosen.among > 1 else ""
    return f"; fine-tuned{of}: {gain} from {metric.text(first(chosen.raw))}"


def int8_text(chosen: MeasuredTrial, metric: MetricFacts) -> str:
    """Returns the score in int8, in words, and how far it is from that in float32; empty where there is none."""
    if not chosen.int8:
        return ""
    score = first(chosen.int8)
    by = metric.gain_or_difference_text(chosen.int8_gain, score, chosen.score)
    return f"; in int8 {metric.text(score)}, {by}"


def finalist_text(finalist: Finalist, metric: MetricFacts) -> str:
    """Returns what was chosen for a target, in words."""
    chosen = finalist.chosen
    missed = f", after {len(finalist.missed)} that missed" if finalist.missed else ""
    return (
        f"{limits_text(finalist.target) or 'no limit'}: {metric.named_text(chosen.score)} on "
        f"{chosen.score.examples:,} validation examples, {times_text(chosen.measured)} measured "
        f"({times_text(chosen.predicted)} predicted){missed}{tuned_text(chosen, metric)}{int8_text(chosen, metric)}"
        f"{noise_text(finalist.alike)}"
    )
