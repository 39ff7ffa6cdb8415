"""The finalists of a search, measured on all of its devices; the timings also go into the profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import convert
from search.candidates.figures import LATENCY, in_int8, is_latency, of_kernels
from search.candidates.mixtures import Groups
from search.candidates.search_files import (
    Finalist,
    Finalists,
    MeasuredSubnet,
    MeasurementQuality,
    TrialRow,
)
from search.config.request import plain
from search.config.search import FinalistSettings
from search.device import read_profile
from search.device.devices import SearchDevice, show_measuring
from search.device.measure_archs import (
    MeasuredArch,
    known_archs,
    measure_archs,
    sample_of,
    unknown_archs,
    with_finalists,
)
from search.device.remote.bundle import SCRIPT
from search.device.remote.exchange import bundled
from search.device.remote.manifest import BundleProtocol
from search.run.locks import measuring, only_one
from search.run.paths import RunFolder, SearchFolder
from search.run.progress import say, stage_progress
from search.study.plan import SearchPlan
from search.subnets.finalist_text import finalist_text
from search.subnets.finalists import FileBytes, choose_finalists
from search.subnets.mixed_finalists import Mixed, measured_mixed, say_mixed
from search.text import percent_text
from search.training.trained import Trained

WAITS_TO_MEASURE = "search: other jobs measure or evaluate on this machine; waiting to measure"
TRUSTED = ("ok", "more visits")


@dataclass(frozen=True)
class Bench:
    """Where the finalists of a search are measured: on all of its devices.

    Attributes:
        files: the folder of the search, which receives bundles for measurements on other machines.
        settings: how many are measured for each target, and how.
        file_bytes: counts the bytes of a candidate's coded file; None where bytes on disk do not matter.
        alone: holds this machine against evaluators of other runs.
        groups: of layers that have a precision each.
    """

    run: RunFolder
    trained: Trained
    files: SearchFolder
    devices: Sequence[SearchDevice]
    settings: FinalistSettings
    file_bytes: FileBytes | None = None
    alone: Callable[[], AbstractContextManager[None]] = nullcontext
    groups: Groups = field(default_factory=dict)

    @property
    def protocol(self) -> dict[str, Any]:
        """Visits, repeats and seconds of a measurement."""
        return plain(self.settings, "visits", "repeats", "seconds")


# (chosen finalists, ms by figure of every measured Arch) -> the finalists in their place.
Refine: TypeAlias = Callable[[Sequence[Finalist], Mapping[Arch, Mapping[str, float]]], Sequence[Finalist]]


def find_finalists(
    rows: Sequence[TrialRow], plan: SearchPlan, bench: Bench, refinements: Sequence[Refine] = ()
) -> Finalists:
    """Returns the choice for every target, by measurement on every device.

    The measurements are added to the profiles of the devices.

    Args:
        refinements: change the choice, one after the other, once all is measured.

    Raises:
        InvalidInput: no candidate meets a target, or some must first be measured on another machine.
    """
    devices, supernet = bench.devices, bench.trained.supernet
    measured: dict[str, list[MeasuredArch]] = {device.figure: [] for device in devices}
    with stage_progress("measure") as update:
        show = partial(show_measuring, update=update)

        def measure(archs: Sequence[Arch]) -> dict[str, list[float]]:
            # First, since missing measurements of another machine end the search for now.
            for figure, results in measured_elsewhere(bench, archs).items():
                measured[figure] += results
            for device in (device for device in devices if not device.remote):
                with bench.alone(), measuring(bench.run, WAITS_TO_MEASURE):
                    measured[device.figure] += measure_archs(
                        supernet, archs, device.make_runtime(), profile=device.profile, progress=show, **bench.protocol
                    )
            return {name: [result.ms for result in results[-len(archs) :]] for name, results in measured.items()}

        parted = dict[Arch, dict[str, float]]()

        def measure_parted(subnets: Sequence[Mixed]) -> list[float]:
            with bench.alone(), measuring(bench.run, WAITS_TO_MEASURE):
                times = measured_mixed(supernet, devices, bench.groups, subnets, show, **bench.protocol)
            for (arch, groups), ms in zip(subnets, times, strict=True):
                parted.setdefault(arch, {})[in_int8(LATENCY, groups)] = ms
            return times

        chosen = choose_finalists(
            rows,
            plan.limits.targets,
            measure,
            plan.ordered_metrics,
            latencies=plan.latencies,
            metric_limits=plan.metric_limits,
            top=bench.settings.candidates,
            file_bytes=bench.file_bytes,
            measure_mixed=measure_parted if bench.groups else None,
        )
    for device in devices:
        learn_from(bench.run, bench.trained, device, measured[device.figure])
    say_mixed(rows, parted)
    for refine in refinements:
        times = {arch: {**by_figure, **parted.get(arch, {})} for arch, by_figure in _times(measured).items()}
        chosen = list(refine(chosen, times))
    for finalist in chosen:
        say(f"search: {finalist_text(finalist, plan.metric)}")
    usual = of_kernels(measured, {})
    quality = {
        name: MeasurementQuality(verdict=results[-1].verdict, drift=results[-1].drift)
        for name, results in usual.items()
    }
    return Finalists(
        device=devices[0].profile.name,
        devices={device.figure: device.profile.name for device in devices if device.figure in usual},
        metrics=plan.ordered_metrics,
        metric_limits=dict(plan.metric_limits),
        margin=plan.limits.margin,
        finalists=tuple(chosen),
        largest=_largest(plan, usual),
        measurement=quality[devices[0].figure],
        measurements=quality,
    )


def measured_elsewhere(bench: Bench, archs: Sequence[Arch]) -> dict[str, tuple[MeasuredArch, ...]]:
    """Returns the times of `archs` on remote devices, by the name of the latency figure, from their current profiles.

    Raises:
        InvalidInput: some are not measured yet; the message says what to run where.
    """
    results: dict[str, tuple[MeasuredArch, ...]] = {}
    waiting = []
    for device in (device for device in bench.devices if device.remote):
        name, supernet = device.profile.name, bench.trained.supernet
        profile = read_profile(
            bench.run.profile(name), supernet
        )  # includes measurements imported since the search began
        unmeasured = unknown_archs(profile, [*archs, supernet.space.largest])
        if not unmeasured:
            results[device.figure] = known_archs(profile, supernet, archs)
            continue
        path = bench.files.to_measure(device.figure)
        bundled(
            bench.run,
            bench.trained,
            device.make_runtime(),
            sample_of(profile, supernet, unmeasured),
            path,
            device=name,
            purpose="finalists",
            protocol=convert(
                {**bench.protocol, "clock": profile.protocol.clock, "seed": 0}, BundleProtocol, "the protocol"
            ),
            settings={"profile": profile.digest},
        )
        subnets = "1 subnet has" if len(unmeasured) == 1 else f"{len(unmeasured)} subnets have"
        waiting.append(
            f"{subnets} to be measured on {name}: copy {path} there, unzip {path.name} && python3 {SCRIPT}; then here "
            f"ofa profile device={name} run={bench.run.name} import=profile.json"
        )
    if waiting:
        raise InvalidInput(f"{'; '.join(waiting)}; then run the same ofa search again, which keeps its trials")
    return results


def learn_from(run: RunFolder, trained: Trained, device: SearchDevice, measured: Sequence[MeasuredArch]) -> None:
    """Adds the measurements of a search to the device's profile, refits its latency model and writes it.

    Noisy measurements are left out. The profile keeps its digest, so searches made with it stay valid; later ones
    predict with the new fit.
    """
    trusted = [
        (result.arch, result.timing.scaled(1 / result.drift)) for result in measured if result.verdict in TRUSTED
    ]
    path = run.profile(device.profile.name)
    with only_one(run.profile_lock(device.profile.name), f"search: another job is updating {path}; waiting"):
        profile = read_profile(path, trained.supernet)  # read again: another search may have added to it
        learned = with_finalists(profile, trained.supernet, trusted)
        added = len(learned.anchors) - len(profile.anchors)
        if added:
            learned.write(path)
    if added:
        error = percent_text(learned.held_out_error, 1)
        subnets = "1 measured subnet" if added == 1 else f"{added} measured subnets"
        say(f"search: {subnets} added to {path}; its latency model is now off by {error} on subnets held out")


def _times(measured: Mapping[str, Sequence[MeasuredArch]]) -> dict[Arch, dict[str, float]]:
    """The ms of every measured Arch by latency figure, of the Archs that were measured on all devices."""
    by_figure = {name: {result.arch: result.ms for result in results} for name, results in measured.items()}
    archs = [arch for arch in next(iter(by_figure.values())) if all(arch in times for times in by_figure.values())]
    return {arch: {name: times[arch] for name, times in by_figure.items()} for arch in archs}


def _largest(plan: SearchPlan, measured: Mapping[str, Sequence[MeasuredArch]]) -> MeasuredSubnet:
    """The largest subnet, which was measured together with all others."""
    largest = plan.space.largest
    figures = {name: float(values[0]) for name, values in plan.figures([largest]).items()}
    predicted = {name: figures[name] for name in measured}
    times = {
        name: float(np.median([result.ms / result.relative for result in results]))
        for name, results in measured.items()
    }
    return MeasuredSubnet(
        arch=largest.arch,
        predicted_ms=next(iter(predicted.values())),
        measured_ms=next(iter(times.values())),
        predicted=predicted,
        measured=times,
        figures={name: value for name, value in figures.items() if not is_latency(name)},
    )
