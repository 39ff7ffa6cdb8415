"""Gathers the saved files of a run into a ReportData."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import read_limited, read_record
from search.candidates.search_files import Finalist, Finalists, MeasuredSubnet, SubnetList, SubnetRow, TrialRow, Trials
from search.device import Profile, read_profile
from search.device.latency.fit import fit_linear
from search.device.latency.model import linear
from search.device.profile_device import tool_version
from search.report.compare_section import gather_compared
from search.report.data import AnchorPrediction, Choice, Chosen, DeviceResult, Pruned, ReportData, Trial
from search.report.gather_summary import analysis_of, gather_tuned, gather_warnings, summary_of
from search.report.prune_section import gather_pruned
from search.run.contents import complete_profiles, complete_searches
from search.run.paths import RunFolder, SearchFolder, SupernetFolder
from search.run.result_files import Layers
from search.run.stages import hash_of, is_complete, stamped_config
from search.run.stored_inputs import read_stored_config
from search.run.training_cards import History, SupernetCard
from search.subnets.finalists import row_for

GIVEN_UP = "given up"
SHOWN = ("evaluated", "infeasible")  # states of trials in figures; failed and duplicate ones are left out


def gather(run: RunFolder) -> ReportData:
    """Returns the content of a run's files so far; missing parts are empty.

    Raises:
        InvalidInput: neither a trained supernet nor a pruned network, or a damaged file; names it.
    """
    files = SupernetFolder(run.supernet)
    pruned = gather_pruned(run)
    if not is_complete(files.root) and pruned:
        return _only_pruned(run, pruned)
    if not is_complete(files.root):
        raise InvalidInput(f"{files.root} holds no trained supernet: run ofa train run={run.name} first")
    card = read_record(files.card, SupernetCard)
    config = _config_text(files, card)
    names = complete_searches(run)
    searched: list[DeviceResult] = []
    for name in names:
        shown_devices = {result.device for result in searched if result.anchors}
        searched.append(_search(run, name, shown_devices))
    searched_devices = {result.device for result in searched}
    profiled = [_profile_only(run, name) for name in complete_profiles(run) if name not in searched_devices]
    return ReportData(
        run=run.name,
        summary=summary_of(card, files.root),
        choices=tuple(Choice(choice.kind, choice.name, choice.values) for choice in card.space),
        history=read_record(files.history, History).rows,
        devices=(*searched, *profiled),
        commands=_commands(run, names),
        digests={
            "supernet": card.digest,
            "space": card.space_digest,
            "configuration": card.config_hash,
        },
        config=config,
        versions=versions(),
        pruned=pruned,
        compared=gather_compared(run),
        side_by_side=gather_tuned(run, names),
        warned=gather_warnings(run),
        layers=read_record(files.layers, Layers) if os.path.lexists(files.layers) else None,
    )


def _config_text(files: SupernetFolder, card: SupernetCard) -> str:
    """The text of the configuration file, if it is the one that the card names."""
    if hash_of(read_stored_config(files.config)) != card.config_hash:
        raise InvalidInput(f"{files.config} is not what {files.weights} was trained with; restore it")
    return read_limited(files.config).decode()


def _only_pruned(run: RunFolder, pruned: tuple[Pruned, ...]) -> ReportData:
    """The data of a run without a supernet."""
    networks = ", ".join(dict.fromkeys(result.network for result in pruned))
    return ReportData(
        run=run.name,
        summary={"networks": networks},
        choices=(),
        history=(),
        devices=(),
        commands=_commands(run, [])[1:],
        digests={},
        config="",
        versions=versions(),
        pruned=pruned,
        warned=gather_warnings(run),
    )


def versions() -> dict[str, str]:
    """Returns the versions that a page was made with, by label."""
    return {
        "ofa-search": tool_version(),
        "Python": platform.python_version(),
        "on": platform.platform(),
    }


def _commands(run: RunFolder, searches: list[str]) -> tuple[str, ...]:
    where = run_arguments(run)
    return (
        f"ofa run{where}   # continues or repeats all of it; finished stages are skipped",
        *(f"ofa dashboard{where} study={search}" for search in searches),
        f"ofa report{where}",
    )


def run_arguments(run: RunFolder) -> str:
    """Returns the arguments that name a run, such as " run=cifar"; empty for the default run."""
    outputs = "" if str(run.root.parent) == "outputs" else f" outputs={run.root.parent}"
    name = "" if run.name == "main" else f" run={run.name}"
    return f"{name}{outputs}"


def _search(run: RunFolder, name: str, shown_devices: set[str]) -> DeviceResult:
    """One search; its profile is left out if its device is in `shown_devices`."""
    files = SearchFolder(run.search(name))
    finalists = read_record(files.finalists, Finalists)
    profile = read_profile(run.profile(finalists.device))
    latency = next(iter(finalists.devices))
    rows = extracted_rows(run, name)
    tried = read_record(files.trials, Trials).rows
    trials = tuple(_trial(row, row.arch, latency) for row in tried if row.state in SHOWN and row.arch is not None)
    given_up = sum(row.state == GIVEN_UP for row in tried)
    return DeviceResult(
        name=name,
        device=profile.name,
        description=_description(profile),
        anchors=_anchors(profile) if profile.name not in shown_devices else (),
        held_out_error=profile.held_out_error,
        macs_only_error=profile.model.macs_only.mape,
        quality=profile.quality.verdict,
        trials=trials,
        chosen=tuple(_chosen(finalists.device, finalist, rows) for finalist in finalists.finalists),
        largest=_network(finalists.device, finalists.largest, next((row for row in rows if row.largest), None)),
        others=tuple(finalists.devices.values())[1:],
        analysis=analysis_of(trials, stamped_config(files.root), given_up),
    )


def _profile_only(run: RunFolder, name: str) -> DeviceResult:
    profile = read_profile(run.profile(name))
    return DeviceResult(
        name=name,
        device=name,
        description=_description(profile),
        anchors=_anchors(profile),
        held_out_error=profile.held_out_error,
        macs_only_error=profile.model.macs_only.mape,
        quality=profile.quality.verdict,
        trials=(),
        chosen=(),
        largest=None,
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


def _trial(row: TrialRow, arch: Arch, latency: str) -> Trial:
    figures = row.figures
    return Trial(
        number=row.number,
        accuracy=row.accuracy,
        latency_ms=figures.get(latency),
        macs=figures.get("macs"),
        params=figures.get("params"),
        arch=arch.values,
        feasible=row.state != "infeasible",
        settings=row.settings,
        bytes=figures.get("bytes"),
    )


def _chosen(device: str, finalist: Finalist, rows: Sequence[SubnetRow]) -> Chosen:
    """The network of one target; `rows` are the rows of extracted subnets."""
    chosen, target = finalist.chosen, finalist.target
    row = row_for(rows, target)
    return replace(
        _network(device, chosen, row),
        limit_ms=target.get(next(iter(chosen.measured))),
        limits=target,
        validation_accuracy=chosen.accuracy,
        folder="" if row is None or row.folder is None else row.folder,
        export_difference=None if row is None or row.onnx is None else row.onnx.max_abs_difference,
    )


def _network(device: str, subnet: MeasuredSubnet, row: SubnetRow | None) -> Chosen:
    """A network without a limit, from its measurement and, if it was extracted, its row."""
    return Chosen(
        device=device,
        limit_ms=None,
        predicted_ms=subnet.predicted_ms,
        measured_ms=subnet.measured_ms,
        validation_accuracy=None if row is None else row.accuracy.validation,
        test_accuracy=None if row is None else row.accuracy.test,
        macs=None if row is None else row.macs,
        params=None if row is None else row.params,
        bytes=None if row is None else row.bytes,
        arch=subnet.arch.values,
        folder="",
        times=subnet.measured if len(subnet.measured) > 1 else {},
        peak_activation_bytes=None if row is None else row.peak_activation_bytes,
    )
