"""`ofa compare`: what was chosen for each device, measured on every device that can be run here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig
from torch import Tensor

import ofa
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.paths import read_json, write_json
from search.accuracy import held_out_accuracy
from search.app.build import make, plain, positive, run_folder
from search.app.compare_table import print_comparison
from search.app.messages import explain
from search.chosen_subnets import ChosenSubnet, chosen_subnets
from search.compare import MeasuredDevice, comparison
from search.device import Profile, Runtime, read_profile
from search.locks import measuring
from search.measure import measure_archs
from search.paths import RunFolder
from search.progress import say, stage_progress
from search.run_contents import complete_profiles, complete_searches, found_by_searches, pick
from search.stages import Stage, hash_of, is_needed, is_outdated, stamped_config, written
from search.trained import Trained, load_trained

COSTS = ("macs", "params", "bytes")


def task(config: DictConfig) -> None:
    """Compares the subnets of a run's complete searches, and prints what came out."""
    print_comparison(compare_stage(config, run_folder(config)))


def compare_stage(config: DictConfig, run: RunFolder) -> dict[str, Any]:
    """Returns the content of comparison.json, made now unless it is there and nothing it came from has changed.

    Raises:
        InvalidInput: no complete search, no device that can be run here, or a key that cannot be used.
    """
    protocol = plain(config, "visits", "repeats", "seconds")
    calibration_images = positive("calibration_images", config.calibration_images)
    comparable = check_comparable(plain(config, "comparable")["comparable"])
    pick(complete_searches(run), run)
    found = found_by_searches(run)
    trained = load_trained(run)
    runtimes = runtimes_of(run)
    profiles = {name: read_profile(run.profile(name), trained.supernet) for name in runtimes}
    decides = {**protocol, "comparable": comparable, "calibration_images": calibration_images}
    inputs = {
        "supernet": trained.digest,
        "profiles": hash_of({name: profile.digest for name, profile in profiles.items()}),
        "searches": hash_of(found),
    }
    stage = Stage("compare", run.comparison, decides, inputs)
    force = bool(config.force) or is_outdated(stage)  # a summary: nothing is lost that the run does not hold
    if not is_needed(stage, force=force):
        say(f"compare: {stage.output} is there, nothing to do")
        return dict(read_json(stage.output))
    subnets = with_largest(chosen_subnets(found), trained.supernet.space.largest)
    with written(stage, force=force) as target:
        with measuring(run, "compare: other jobs of this run are at work on this machine; waiting to measure"):
            devices = [measure_device(trained, subnets, runtimes[name], profiles[name], protocol) for name in runtimes]
        accuracy = _accuracy(trained, subnets, trained.data.calibration(calibration_images))
        costs = ofa.cost(trained.supernet, [subnet.arch for subnet in subnets])
        content = comparison(
            subnets,
            devices,
            accuracy,
            {one.arch: {key: int(costs[key][index]) for key in COSTS} for index, one in enumerate(subnets)},
            images=len(trained.data.test),
            comparable=comparable,
        )
        content["searches"] = inputs["searches"]  # the report tells by it whether there are newer ones
        write_json(Path(target), content)
    say(f"compare: {stage.output}")
    return content


def check_comparable(comparable: Any) -> float:
    """Returns the factor within which limits are alike.

    Raises:
        InvalidInput: no number, or one below 1.
    """
    number = isinstance(comparable, int | float) and not isinstance(comparable, bool) and math.isfinite(comparable)
    if not number or comparable < 1:
        raise InvalidInput(f"comparable={comparable!r} must be a factor of at least 1, such as comparable=1.25")
    return float(comparable)


def runtimes_of(run: RunFolder) -> dict[str, Runtime]:
    """Returns the runtimes of the profiled devices by name; of one that cannot be run here a line says why.

    Raises:
        InvalidInput: none can be run here.
    """
    names = complete_profiles(run)
    runtimes: dict[str, Runtime] = {}
    for name in names:
        made = runtime_of(stamped_config(run.profile(name)))
        if isinstance(made, str):
            say(f"compare: {name} is left out: {made}")
        else:
            runtimes[name] = made
    if not runtimes:
        raise InvalidInput(f"none of the profiled devices can be run here: {', '.join(names) or 'there are none'}")
    return runtimes


def runtime_of(stamp: Mapping[str, Any]) -> Runtime | str:
    """Returns the runtime that a profile was measured with, from its stamp, or why it cannot be made here."""
    if stamp.get("remote"):
        return "it was measured on another machine"
    try:
        made = make(stamp.get("runtime") or {})
    except (InvalidInput, InstantiationException, ImportError) as error:
        return explain(error) or str(error)
    if not isinstance(made, Runtime):
        return "its stamp holds no runtime"
    return made


def with_largest(subnets: Sequence[ChosenSubnet], largest: Arch) -> tuple[ChosenSubnet, ...]:
    """Returns the subnets and, where it is not among them, the largest."""
    return (*subnets, *([] if any(one.arch == largest for one in subnets) else [ChosenSubnet(largest)]))


def measure_device(
    trained: Trained,
    subnets: Sequence[ChosenSubnet],
    runtime: Runtime,
    profile: Profile,
    protocol: Mapping[str, Any],
) -> MeasuredDevice:
    """Returns what all subnets take on one device, visited in turn; clock and scale are those of its profile."""
    archs = [subnet.arch for subnet in subnets]
    with stage_progress("compare") as update:

        def show(row: Mapping[str, Any]) -> None:
            what = "exporting for" if row["stage"] == "load" else "measuring on"
            update(int(row["done"]), int(row["total"]), f"{what} {profile.name}")

        clock = str(profile.protocol.get("clock", "wall"))
        measured = measure_archs(
            trained.supernet, archs, runtime, profile=profile, clock=clock, progress=show, **protocol
        )
    return MeasuredDevice(
        name=profile.name,
        runtime=runtime_text(runtime.describe()),
        verdict=measured[0].verdict,
        measured=dict(zip(archs, measured, strict=True)),
    )


def runtime_text(description: Mapping[str, Any]) -> str:
    """Returns a runtime in words, such as "onnxruntime 1.22.0, 1 thread"."""
    text = f"{description.get('name', '')} {description.get('version', '')}".strip()
    threads = description.get("threads")
    return text if threads is None else f"{text}, {threads} thread{'' if threads == 1 else 's'}"


def _accuracy(trained: Trained, subnets: Sequence[ChosenSubnet], calibration: Tensor) -> dict[Arch, dict[str, float]]:
    accuracy: dict[Arch, dict[str, float]] = {}
    with stage_progress("compare") as update:
        for subnet in subnets:
            accuracy[subnet.arch] = held_out_accuracy(trained.supernet, subnet.arch, trained.data, calibration)
            update(len(accuracy), len(subnets), "test accuracy")
    return accuracy
