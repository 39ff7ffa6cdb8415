"""From the saved files of a run to a ReportData."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.paths import read_json
from search.device import Profile, read_profile
from search.device.fit import fit_linear
from search.device.latency_model import linear
from search.paths import RunFolder, SearchFolder, SupernetFolder
from search.profile import tool_version
from search.report.data import Anchor, Choice, Chosen, DeviceResult, Pruned, ReportData, Trial
from search.report.gather_analysis import analysis_of
from search.report.gather_compared import gather_compared
from search.report.gather_pruned import gather_pruned
from search.report.gather_tuned import gather_tuned
from search.report.numbers import count_text, percent_text
from search.run_contents import complete_profiles, complete_searches
from search.stages import is_complete, stamped_config
from search.subnet_rows import is_for, is_largest, times_of

GIVEN_UP = "given up"
SHOWN = ("evaluated", "infeasible")  # trials that failed, or came a second time, are no points of a figure


def gather(run: RunFolder) -> ReportData:
    """Returns what a run's files hold so far; parts that are not there yet are empty.

    Raises:
        InvalidInput: neither a trained supernet nor a pruned network, or a damaged file, by name.
    """
    files = SupernetFolder(run.supernet)
    pruned = gather_pruned(run)
    if not is_complete(files.root) and pruned:
        return _only_pruned(run, pruned)
    if not is_complete(files.root):
        raise InvalidInput(f"{files.root} holds no trained supernet: run ofa train run={run.name} first")
    card = read_json(files.card)
    config = files.config.read_text(encoding="utf-8")
    stamp = read_json(files.root / "stage.json")["config"]
    names = complete_searches(run)
    searched: list[DeviceResult] = []
    for name in names:
        shown = {result.device for result in searched if result.anchors}
        searched.append(_search(run, name, shown))
    seen = {result.device for result in searched}
    profiled = [_profile_only(run, name) for name in complete_profiles(run) if name not in seen]
    return ReportData(
        run=run.name,
        summary=_summary(card, stamp),
        choices=tuple(Choice(c["kind"], c["name"], tuple(c["values"])) for c in card["space"]),
        history=tuple(read_json(files.history)),
        devices=(*searched, *profiled),
        commands=_commands(run, names),
        digests={
            "supernet": card["digest"],
            "space": card["space_digest"],
            "configuration": card["config_hash"],
        },
        config=config,
        versions=versions(),
        pruned=pruned,
        compared=gather_compared(run),
        side_by_side=gather_tuned(run, names),
    )


def _only_pruned(run: RunFolder, pruned: tuple[Pruned, ...]) -> ReportData:
    """A run without a supernet."""
    networks = ", ".join(dict.fromkeys(one.network for one in pruned))
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
    )


def versions() -> dict[str, str]:
    """Returns what a page was made with, by label."""
    return {
        "ofa-search": tool_version(),
        "Python": platform.python_version(),
        "on": platform.platform(),
    }


def _summary(card: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    dataset = config["data"]["dataset"]
    return {
        "model": str(config["model"]["_target_"]).rpartition(".")[2],
        "data": str(dataset.get("name") or str(dataset["_target_"]).rpartition(".")[2]),
        "subnets in the space": count_text(float(card["subnets"])),
        "largest": f"{percent_text(card['accuracy']['largest']['test'])} test",
        "smallest": f"{percent_text(card['accuracy']['smallest']['test'])} test",
        "training": f"{float(card['seconds']):.0f} s",
    }


def _commands(run: RunFolder, searches: list[str]) -> tuple[str, ...]:
    where = run_arguments(run)
    return (
        f"ofa run{where}   # continues or repeats all of it; finished stages are skipped",
        *(f"ofa dashboard{where} study={search}" for search in searches),
        f"ofa report{where}",
    )


def run_arguments(run: RunFolder) -> str:
    """Returns the arguments that name a run, such as " run=cifar"; nothing for the usual one."""
    outputs = "" if str(run.root.parent) == "outputs" else f" outputs={run.root.parent}"
    name = "" if run.name == "main" else f" run={run.name}"
    return f"{name}{outputs}"


def _search(run: RunFolder, name: str, shown: set[str]) -> DeviceResult:
    """One search; the profile is left out where its device is among those `shown`."""
    files = SearchFolder(run.search(name))
    found = read_json(files.finalists)
    profile = read_profile(run.profile(found["device"]))
    latency, *_ = times_of(found["largest"])
    listed = run.subnet_list(name)
    rows = read_json(listed) if is_complete(listed) else []
    chosen = tuple(_chosen(run, found, finalist, rows) for finalist in found["finalists"])
    largest = next((row for row in rows if is_largest(row)), None)
    tried = read_json(files.trials)
    trials = tuple(_trial(row, latency) for row in tried if row["state"] in SHOWN)
    given_up = sum(row["state"] == GIVEN_UP for row in tried)
    return DeviceResult(
        name=name,
        device=profile.name,
        description=_description(profile),
        anchors=_anchors(profile) if profile.name not in shown else (),
        held_out_error=profile.held_out_error,
        macs_only_error=profile.model.macs_only.mape,
        quality=str(profile.quality.get("verdict", "")),
        trials=trials,
        chosen=chosen,
        largest=_network(found["device"], found["largest"], largest or {}),
        others=tuple(found.get("devices", {}).values())[1:],
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
        quality=str(profile.quality.get("verdict", "")),
        trials=(),
        chosen=(),
        largest=None,
    )


def _anchors(profile: Profile) -> tuple[Anchor, ...]:
    """The measured subnets, each with what a fit of the same form says that did not see it."""
    ms = np.array([anchor.ms for anchor in profile.anchors])
    form = profile.model.form
    costs = {name: np.array([anchor.costs[name] for anchor in profile.anchors]) for name in form}
    made = []
    for index, anchor in enumerate(profile.anchors):
        kept = np.arange(len(ms)) != index
        coefficients = fit_linear({name: values[kept] for name, values in costs.items()}, ms[kept], form)
        predicted = linear(coefficients, {name: values[[index]] for name, values in costs.items()})
        made.append(Anchor(anchor.ms, float(predicted[0]), anchor.arch.values))
    return tuple(made)


def _description(profile: Profile) -> dict[str, str]:
    runtime, device = profile.runtime, profile.device
    facts = {
        "runtime": f"{runtime.get('name', '')} {runtime.get('version', '')}".strip(),
        "processor": str(device.get("cpu_model", "")),
        "threads": str(runtime.get("threads", "")),
        "latency model": " + ".join(profile.model.form),
    }
    return {label: text for label, text in facts.items() if text}


def _trial(row: Mapping[str, Any], latency: str) -> Trial:
    figures = row["figures"]
    return Trial(
        number=row["number"],
        accuracy=row["accuracy"],
        latency_ms=figures.get(latency),
        macs=figures.get("macs"),
        params=figures.get("params"),
        arch=Arch.from_dict(row["arch"]).values,
        feasible=row["state"] != "infeasible",
        settings=row.get("settings", {}),
        bytes=figures.get("bytes"),
    )


def _chosen(run: RunFolder, found: Mapping[str, Any], finalist: Mapping[str, Any], rows: list[Any]) -> Chosen:
    """The network of one target; `rows` are of extracted subnets."""
    chosen, target = finalist["chosen"], finalist["target"]
    row: Any = next((row for row in rows if not is_largest(row) and is_for(row, target)), {})
    return replace(
        _network(found["device"], chosen, row),
        limit_ms=target.get(next(iter(times_of(chosen)))),
        limits=target,
        validation_accuracy=chosen["accuracy"],
        folder=str(Path(row["folder"]).relative_to(run.root)) if row.get("folder") else "",
        export_difference=(row.get("onnx") or {}).get("max_abs_difference"),
    )


def _network(device: str, measured: Mapping[str, Any], row: Mapping[str, Any]) -> Chosen:
    """A network of no limit, from its measurement and, where it was extracted, its row."""
    accuracy = row.get("accuracy") or {}
    times = times_of(measured)
    return Chosen(
        device=device,
        limit_ms=None,
        predicted_ms=measured["predicted_ms"],
        measured_ms=measured["measured_ms"],
        validation_accuracy=accuracy.get("validation"),
        test_accuracy=accuracy.get("test"),
        macs=row.get("macs"),
        params=row.get("params"),
        bytes=row.get("bytes"),
        arch=Arch.from_dict(measured["arch"]).values,
        folder="",
        times=times if len(times) > 1 else {},
        peak_activation_bytes=row.get("peak_activation_bytes"),
    )
