"""Finalists: for every target the most accurate candidate that measures within it, and those of a whole run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import content_of, read_record
from search.candidates.figures import LATENCY, device_of, is_latency
from search.candidates.limits import Target, check_target, target_text
from search.candidates.search_files import Finalist, Finalists, MeasuredTrial, SubnetRow, TrialRow
from search.candidates.space import Candidate
from search.run.contents import complete_searches
from search.run.paths import RunFolder, SearchFolder
from search.run.stages import hash_of

# Measures Archs together: ms of each, by the name of a device's latency figure.
Measure = Callable[[Sequence[Arch]], Mapping[str, Sequence[float]]]


def choose_finalists(
    rows: Sequence[TrialRow],
    targets: Sequence[Target],
    measure: Measure,
    *,
    latencies: Sequence[str] = (LATENCY,),
    top: int = 3,
    spare: float = 0.0,
) -> list[Finalist]:
    """Returns one Finalist per target, in order of the targets.

    The `top` candidates of every unserved target are measured together, then the next ones if all of them
    miss. A target without a latency limit takes its most accurate candidate, which is measured too.

    Args:
        latencies: the latency figures that `measure` returns, one per device.
        spare: the fraction of a latency limit that a measurement must leave.

    Raises:
        InvalidInput: no candidate meets a target; names the nearest.
    """
    for target in targets:
        if missing := [name for name in check_target(target) if is_latency(name) and name not in latencies]:
            raise InvalidInput(f"target {dict(target)} has {missing[0]}: measured are {', '.join(latencies)}")
    if not 0 <= spare < 1 or top < 1:
        raise InvalidInput(f"spare={spare!r} must be a fraction below 1, and top={top!r} at least 1")
    queues = [candidates_for(rows, target, latencies) for target in targets]
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
        raise InvalidInput(_none_meets(targets[index], queues[index], measured, spare))
    return served


def candidates_for(rows: Sequence[TrialRow], target: Target, latencies: Sequence[str]) -> list[TrialRow]:
    """Returns the evaluated candidates predicted to meet a target, most accurate first, then fastest."""
    best: dict[Candidate, TrialRow] = {}
    for row in rows:
        feasible = row.state == "evaluated" and all(row.figures[name] <= limit for name, limit in target.items())
        if row.candidate is not None and feasible:
            best.setdefault(row.candidate, row)
    return sorted(best.values(), key=lambda row: (-(row.accuracy or 0.0), *(row.figures[name] for name in latencies)))


def _first_that_meets(
    queue: Sequence[TrialRow], target: Target, measured: Mapping[Arch, Mapping[str, float]], spare: float
) -> Finalist | None:
    missed: list[MeasuredTrial] = []
    for row in queue:
        trial = _measured(row, measured)
        if all(trial.measured[name] <= target[name] * (1 - spare) for name in trial.measured if name in target):
            margin = min((1 - share for share in _shares(trial, target)), default=None)
            return Finalist(target=target, margin=margin, chosen=trial, missed=tuple(missed))
        missed.append(trial)
    return None


def _measured(row: TrialRow, measured: Mapping[Arch, Mapping[str, float]]) -> MeasuredTrial:
    assert row.arch is not None  # both checked by candidates_for
    assert row.accuracy is not None
    times = measured[row.arch]
    predicted = {name: row.figures[name] for name in times}
    return MeasuredTrial(
        arch=row.arch,
        trial=row.number,
        accuracy=row.accuracy,
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
    target: Target, queue: Sequence[TrialRow], measured: Mapping[Arch, Mapping[str, float]], spare: float
) -> str:
    limit = target_text(target) or "no limit"
    if not queue:
        return f"{limit}: no evaluated subnet is predicted to meet it; search longer or loosen the limit"
    nearest = min((_measured(row, measured) for row in queue), key=lambda trial: max(_shares(trial, target)))
    spare_text = f" with {spare:.1%} to spare" if spare else ""
    return (
        f"{limit}: none of {len(queue)} candidates measured within it{spare_text}; the nearest is trial "
        f"{nearest.trial} at {_times_text(nearest.measured)} (predicted {_times_text(nearest.predicted)}, "
        f"accuracy {nearest.accuracy:.4f})"
    )


def _times_text(times: Mapping[str, float]) -> str:
    """Milliseconds, with their devices if there are several."""
    on = {name: f" on {device_of(name)}" if device_of(name) else "" for name in times}
    return " and ".join(f"{ms:.4g} ms{on[name]}" for name, ms in times.items())


def found_by_searches(run: RunFolder) -> dict[str, Finalists]:
    """Returns the finalists of the complete searches, by name of the search."""
    return {name: read_record(SearchFolder(run.search(name)).finalists, Finalists) for name in complete_searches(run)}


def digest_of_searches(finalists: Mapping[str, Finalists]) -> str:
    """Returns 16 hex digits of the result of `found_by_searches`."""
    return hash_of({name: content_of(chosen) for name, chosen in finalists.items()})


@dataclass(frozen=True)
class Purpose:
    """The purpose for which a search chose a subnet.

    Attributes:
        devices: the devices of the search, in its order.
        limits_ms: latency limits by device.
        of_largest: the same, as fractions of the largest subnet's time on that device.
        others: limits of other figures, by name.
    """

    search: str
    devices: tuple[str, ...]
    limits_ms: Mapping[str, float]
    of_largest: Mapping[str, float]
    others: Mapping[str, float]


@dataclass(frozen=True)
class ChosenSubnet:
    """One subnet and its purposes; without purposes it is a baseline. Accuracy is on validation, a fraction."""

    arch: Arch
    purposes: tuple[Purpose, ...] = ()
    validation_accuracy: float | None = None

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that it was chosen for."""
        return tuple(dict.fromkeys(device for purpose in self.purposes for device in purpose.devices))


def chosen_subnets(finalists: Mapping[str, Finalists]) -> tuple[ChosenSubnet, ...]:
    """Returns the distinct subnets of searches, by device, tightest limits first.

    Args:
        finalists: the finalists by name of the search.
    """
    subnets: dict[Arch, ChosenSubnet] = {}
    for search, content in finalists.items():
        for finalist in content.finalists:
            arch = finalist.chosen.arch
            subnet = subnets.get(arch, ChosenSubnet(arch, (), finalist.chosen.accuracy))
            purposes = (*subnet.purposes, _purpose(search, content, finalist.target))
            subnets[arch] = replace(subnet, purposes=purposes)
    return tuple(sorted(subnets.values(), key=_order))


def latency_limits(subnets: Sequence[ChosenSubnet], device: str) -> tuple[float, ...]:
    """Returns every limit in ms that a search had on a device, ascending."""
    purposes = [purpose for subnet in subnets for purpose in subnet.purposes]
    return tuple(sorted({purpose.limits_ms[device] for purpose in purposes if device in purpose.limits_ms}))


def _purpose(search: str, content: Finalists, target: Mapping[str, float]) -> Purpose:
    devices, largest_ms = content.devices, content.largest.measured
    limited = [figure for figure in devices if figure in target]
    return Purpose(
        search=search,
        devices=tuple(devices.values()),
        limits_ms={devices[figure]: float(target[figure]) for figure in limited},
        of_largest={devices[figure]: target[figure] / largest_ms[figure] for figure in limited},
        others={name: float(limit) for name, limit in target.items() if not is_latency(name)},
    )


def _order(subnet: ChosenSubnet) -> tuple[list[str], float]:
    limits = [fraction for purpose in subnet.purposes for fraction in purpose.of_largest.values()]
    return sorted(subnet.devices), min(limits, default=float("inf"))


def row_for(rows: Sequence[SubnetRow], target: Mapping[str, float]) -> SubnetRow | None:
    """Returns the row of the subnet that was chosen for a target; None if it was not extracted."""
    return next((row for row in rows if not row.largest and row.limits == dict(target)), None)
