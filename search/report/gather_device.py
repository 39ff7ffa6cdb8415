"""Gathers what a report shows of a device and of one search: its profile, trials and chosen subnets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ofa.arch import Arch
from ofa.records import read_record
from ofa.task import Score
from search.candidates.metric_limits import meets_metrics, metric_limits_text
from search.candidates.search_files import Finalist, Finalists, MeasuredSubnet, SubnetList, SubnetRow, TrialRow, Trials
from search.device import Profile, read_profile
from search.device.latency.fit import fit_linear
from search.device.latency.model import linear
from search.report.data import AnchorPrediction, Chosen, DeviceResult, Trial
from search.report.gather_summary import analysis_of
from search.run.paths import RunFolder, SearchFolder
from search.run.scores import first
from search.run.stages import is_complete, stamped_config
from search.subnets.chosen import row_for

GIVEN_UP = "given up"
SHOWN = ("evaluated", "infeasible")  # states of trials in figures; failed and duplicate ones are left out


def search_result(run: RunFolder, name: str, shown_devices: set[str]) -> DeviceResult:
    """Returns the result of one search; its profile is left out if its device is in `shown_devices`."""
    files = SearchFolder(run.search(name))
    finalists = read_record(files.finalists, Finalists)
    profile = read_profile(run.profile(finalists.device))
    latency = next(iter(finalists.devices))
    rows = extracted_rows(run, name)
    content = read_record(files.trials, Trials)
    tried, metrics = content.rows, content.metrics
    trials = tuple(
        _trial(row, row.arch, latency, finalists) for row in tried if row.state in SHOWN and row.arch is not None
    )
    given_up = sum(row.state == GIVEN_UP for row in tried)
    return replace(
        _profiled(profile, name, shown=profile.name not in shown_devices),
        trials=trials,
        chosen=tuple(_chosen(finalists, finalist, rows) for finalist in finalists.finalists),
        largest=_network(finalists, finalists.largest, next((row for row in rows if row.largest), None)),
        others=tuple(finalists.devices.values())[1:],
        analysis=analysis_of(trials, metrics[0], stamped_config(files.root), given_up),
        metric=metrics[0],
        metric_limits=metric_limits_text(finalists.metric_limits, metrics),
        ended=content.ended,
    )


def profile_only(run: RunFolder, name: str) -> DeviceResult:
    """Returns what is shown of a device that was profiled and not searched for."""
    return replace(_profiled(read_profile(run.profile(name)), name), device=name)


def _profiled(profile: Profile, name: str, *, shown: bool = True) -> DeviceResult:
    """What is known of a device without a search; its anchors where they are shown."""
    return DeviceResult(
        name=name,
        device=profile.name,
        description=_description(profile),
        anchors=_anchors(profile) if shown else (),
        held_out_error=profile.held_out_error,
        macs_only_error=profile.model.macs_only.mape,
        quality=profile.quality.verdict,
        trials=(),
        chosen=(),
        largest=None,
        workload=profile.workload,
    )


def _anchors(profile: Profile) -> tuple[AnchorPrediction, ...]:
    """The measured subnets, each with the prediction of a fit of the same form without it."""
    ms = np.array([anchor.ms for anchor in profile.anchors])
    form = profile.model.form
    costs = {name: np.array([anchor.costs[name] for anchor in profile.anchors]) for name in form}
    anchors = []
    for index, anchor in enumerate(profile.anchors):
        others = np.arange(len(ms)) != index
        coefficients = fit_linear({name: values[others] for name, values in costs.items()}, ms[others], form)
        predicted = linear(coefficients, {name: values[[index]] for name, values in costs.items()})
        anchors.append(AnchorPrediction(anchor.ms, float(predicted[0]), anchor.arch.values))
    return tuple(anchors)


def _description(profile: Profile) -> dict[str, str]:
    runtime = profile.runtime
    facts = {
        "runtime": f"{runtime.get('name', '')} {runtime.get('version', '')}".strip(),
        "processor": profile.device.cpu_model or "",
        "threads": str(runtime.get("threads", "")),
        "latency model": " + ".join(profile.model.form),
    }
    return {label: text for label, text in facts.items() if text}


def extracted_rows(run: RunFolder, search: str) -> tuple[SubnetRow, ...]:
    """Returns the rows of the subnets that were extracted from a search; none if it was not extracted."""
    listed = run.subnet_list(search)
    return read_record(listed, SubnetList).rows if is_complete(listed) else ()


def _trial(row: TrialRow, arch: Arch, latency: str, finalists: Finalists) -> Trial:
    figures = row.figures
    return Trial(
        number=row.number,
        score=row.score,
        latency_ms=figures.get(latency),
        macs=figures.get("macs"),
        params=figures.get("params"),
        arch=arch.values,
        feasible=row.state != "infeasible",
        settings=row.settings,
        bytes=figures.get("bytes"),
        keeps=not row.scores or meets_metrics(row.scores, finalists.metric_limits, finalists.metrics),
    )


def _chosen(finalists: Finalists, finalist: Finalist, rows: Sequence[SubnetRow]) -> Chosen:
    """The network of one target; `rows` are the rows of extracted subnets."""
    chosen, target = finalist.chosen, finalist.target
    row = row_for(rows, target)
    return replace(
        _network(finalists, chosen, row),
        limit_ms=target.get(next(iter(chosen.measured))),
        limits=target,
        validation=with_error(chosen.score, row),
        alike=finalist.alike,
        among=chosen.among,
        folder="" if row is None or row.folder is None else row.folder,
    )


def with_error(score: Score, row: SubnetRow | None) -> Score:
    """Returns a score of a search on validation with its standard error, once its subnet was extracted.

    That of some metrics takes too long for every trial; of the extracted subnet it was computed on the same examples.
    """
    if score.standard_error is not None or row is None:
        return score
    known = [first(scores.validation) for scores in (row.scores, row.raw) if scores is not None]
    # The search's own score may be that before a later fine-tuning.
    extracted = next((each for each in known if each.value == score.value), known[-1])
    return replace(score, standard_error=extracted.standard_error) if extracted.examples == score.examples else score


def _network(finalists: Finalists, subnet: MeasuredSubnet, row: SubnetRow | None) -> Chosen:
    """A network without a limit, from its measurement and, if it was extracted, its row."""
    _, *others = finalists.metrics
    on_test = {} if row is None else row.scores.test
    return Chosen(
        device=finalists.device,
        limit_ms=None,
        predicted_ms=subnet.predicted_ms,
        measured_ms=subnet.measured_ms,
        validation=None if row is None else first(row.scores.validation),
        test=None if row is None else first(row.scores.test),
        macs=None if row is None else row.macs,
        params=None if row is None else row.params,
        bytes=None if row is None else row.bytes,
        arch=subnet.arch.values,
        folder="",
        times=subnet.measured if len(subnet.measured) > 1 else {},
        peak_activation_bytes=None if row is None else row.peak_activation_bytes,
        raw=None if row is None or row.raw is None else first(row.raw.test),
        gain=None if row is None or row.gain is None else row.gain.test,
        from_largest=None if row is None or row.from_largest is None else row.from_largest.test,
        quantized=None if row is None else row.quantized,
        bytes_on_disk=None if row is None else row.bytes_on_disk,
        others=tuple((metric, on_test[metric.name]) for metric in others if metric.name in on_test),
    )
