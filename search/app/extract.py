"""`ofa extract`: each chosen subnet as a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

import ofa
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.paths import read_json, write_json
from search.accuracy import held_out_accuracy
from search.app.build import asked_device, make, plain, positive, run_folder
from search.candidate import Candidate
from search.extract import extract_subnet
from search.figures import LATENCY, is_latency
from search.free_figures import PEAK
from search.paths import PrunedFolder, RunFolder, SearchFolder
from search.progress import say, stage_progress
from search.run_contents import complete_searches, pick
from search.stages import Stage, hash_of, is_needed, written
from search.subnet_folder import SubnetFolder
from search.subnet_names import check_place, subnet_name
from search.subnet_rows import row_of, times_of
from search.trained import Trained, load_trained
from search.tuning.refine import find_refined, load_refined

VERIFY_IMAGES = 8


def task(config: DictConfig) -> None:
    """Extracts what the searches of a run have chosen, or one trial of one of them."""
    run = run_folder(config)
    names = pick(complete_searches(run), run, device=asked_device(config), study=config.study)
    trained = load_trained(run)
    for name in names:
        if config.trial is None:
            extract_stage(config, run, trained, name, force=bool(config.force))
        else:
            extract_trial(config, run, trained, name, config.trial)


def extract_stage(
    config: DictConfig, run: RunFolder, trained: Trained, name: str, *, force: bool
) -> list[dict[str, Any]]:
    """Returns a row a subnet, the largest last, after extracting each into a folder of its own."""
    export = plain(config, "export")["export"]
    found = read_json(SearchFolder(run.search(name)).finalists)
    inputs = {"supernet": trained.digest, "search": hash_of(found)}
    stage = Stage("extract", run.subnet_list(name), {"export": export}, inputs)
    if not is_needed(stage, force=force):
        say(f"extract: {stage.output} is there, nothing to do")
        return list(read_json(stage.output))
    calibration = trained.data.calibration(positive("export.calibration_images", export["calibration_images"]))
    chosen = [(finalist, run.subnet(subnet_name(name, found, finalist["target"]))) for finalist in found["finalists"]]
    for finalist, folder in [] if config.force else chosen:
        check_place(folder, name, finalist["target"])
    rows = []
    with written(stage, force=force) as target, stage_progress("extract") as update:
        for index, (finalist, folder) in enumerate(chosen):
            arch = Arch.from_dict(finalist["chosen"]["arch"])
            facts = {**_facts(found, finalist), "search": name, "trial": finalist["chosen"]["trial"]}
            tuned = finalist["chosen"].get("tuned")
            kept = None if tuned is None else SearchFolder(run.search(name)).tuned(tuned)
            card = _extract(trained, arch, folder, calibration, facts, kept)
            rows.append(row_of(card, folder))
            update(index + 1, len(chosen), str(folder))
        rows.append(_largest_row(trained, found, calibration))
        write_json(Path(target), rows)
    return rows


def _facts(found: Mapping[str, Any], finalist: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of the search for a subnet; `limit_ms` and such are of the first device that has a limit."""
    target = finalist["target"]
    measured = _measured(finalist["chosen"])
    return {
        "device": found["device"],
        "devices": list(found.get("devices", {LATENCY: found["device"]}).values()),
        "limit_ms": next((float(target[name]) for name in measured["measured"] if name in target), None),
        "limits": target,
        "margin": finalist["margin"],
        **measured,
    }


def _measured(one: Mapping[str, Any]) -> dict[str, Any]:
    """The latencies of a measured subnet by figure, the first device's by names of their own, and its peak memory."""
    first = {key: one[key] for key in ("predicted_ms", "measured_ms")}
    by_figure = {kind: times_of(one, kind) for kind in ("predicted", "measured")}
    return {**first, **by_figure, **_peak(one.get("figures", {}))}


def _peak(figures: Mapping[str, float]) -> dict[str, int]:
    return {PEAK: int(figures[PEAK])} if PEAK in figures else {}


def _largest_row(trained: Trained, found: Mapping[str, Any], calibration: Any) -> dict[str, Any]:
    """The row of the largest subnet, which is there to compare with and gets no folder."""
    largest = Arch.from_dict(found["largest"]["arch"])
    costs = {key: int(values[0]) for key, values in ofa.cost(trained.supernet, [largest]).items()}
    accuracy = held_out_accuracy(trained.supernet, largest, trained.data, calibration)
    row = row_of({"device": found["device"], **_measured(found["largest"]), **costs}, None)
    return row | {"largest": True, "arch": largest.to_dict(), "accuracy": accuracy}


def extract_trial(config: DictConfig, run: RunFolder, trained: Trained, name: str, trial: Any) -> None:
    """Extracts one trial of a search by its number.

    Raises:
        InvalidInput: no such trial, or one without an Arch.
    """
    rows = read_json(SearchFolder(run.search(name)).trials)
    row = next((row for row in rows if row["number"] == trial and row["arch"]), None)
    if row is None:
        raise InvalidInput(f"trial={trial!r}: the search {name} has trials 0 to {len(rows) - 1}")
    folder = run.subnets / f"{name}-trial-{trial}"
    if SubnetFolder(folder).card.is_file() and not config.force:
        raise InvalidInput(f"{folder} is there already; force=true extracts it anew")
    calibration = trained.data.calibration(positive("export.calibration_images", config.export.calibration_images))
    predicted = {key: value for key, value in row["figures"].items() if is_latency(key)}
    facts = {
        "device": name,
        "search": name,
        "trial": trial,
        "predicted_ms": next(iter(predicted.values()), None),
        "predicted": predicted,
        **_peak(row["figures"]),
    }
    kept = None
    if row.get("settings"):
        kept = find_refined(Candidate.from_dict(row), SearchFolder(run.search(name)))
        if kept is None:
            raise InvalidInput(
                f"trial={trial} of {name} was fine-tuned for comparison alone, and its weights were not kept; those of "
                f"the best search.finalists.candidates for each limit are"
            )
    _extract(trained, Arch.from_dict(row["arch"]), folder, calibration, facts, kept)
    say(f"extract: {folder}")


def _extract(
    trained: Trained,
    arch: Arch,
    folder: Path,
    calibration: Any,
    facts: Mapping[str, Any],
    kept: PrunedFolder | None,
) -> dict[str, Any]:
    """Writes a subnet, with the supernet's weights, or with those that a fine-tuning kept."""
    data = trained.data
    images, _ = next(data.test.in_order(VERIFY_IMAGES))
    network, masks, tuning = None, None, {}
    if kept is None:
        accuracy = held_out_accuracy(trained.supernet, arch, data, calibration)
    else:
        network, masks = load_refined(arch, trained, kept)
        card = read_json(kept.card)
        accuracy = {split: float(card[split]) for split in ("validation", "test")}
        tuning = {"settings": card["settings"], "density": card["density"], "sparse_bytes": card["bytes"]}
    return extract_subnet(
        trained.supernet,
        arch,
        folder,
        calibration_images=calibration,
        verify_images=images,
        facts={
            **facts,
            **tuning,
            "accuracy": accuracy,
            "data": data.name,
            "num_classes": data.num_classes,
            "class_names": list(data.class_names),
            "preprocessing": data.preprocessing,
            "config_hash": trained.card["config_hash"],
        },
        model_config=trained.config["model"],
        space_rules=make(trained.config["space"]),
        network=network,
        masks=masks,
    )
