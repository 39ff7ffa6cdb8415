"""The stage that compares devices: the chosen subnets of each, measured on every device that can be run here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException

import ofa
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.inputs import Example
from ofa.records import Object, read_record, write_record
from ofa.task import Replicates, replicates, scores
from search.config.request import Device, plain
from search.config.verbs import CompareRequest
from search.device import Profile, Runtime, read_profile
from search.device.devices import made_runtime, profiled_device
from search.device.measure_archs import measure_archs
from search.device.measuring import MeasureStep
from search.run.contents import complete_profiles, searches_to_use
from search.run.locks import claimed, measuring
from search.run.paths import RunFolder, SearchFolder
from search.run.progress import say, stage_progress
from search.run.result_files import Comparison
from search.run.scores import Scores, metrics_of
from search.run.stages import Stage, hash_of, is_outdated, written
from search.run.trust import TOOLKIT_ALONE, Trust
from search.subnets.chosen import ChosenSubnet, chosen_subnets, digest_of_searches, found_by_searches
from search.subnets.compare import MeasuredDevice, comparison
from search.subnets.extract import load_refined
from search.training.judging import in_split
from search.training.trained import Trained, load_trained

Explain = Callable[[Exception], str | None]
COSTS = ("macs", "params", "bytes")


def compare_stage(request: CompareRequest, explain: Explain, *, waits: bool) -> Comparison:
    """Returns the comparison, made now unless it exists and its inputs are unchanged.

    Args:
        explain: an error as one line, or None; for devices that cannot be run here.
        waits: whether to wait for another job that makes it.

    Raises:
        InvalidInput: no complete search, or no device that can be run here.
    """
    run, protocol = request.folder, plain(request, "visits", "repeats", "seconds")
    searches_to_use(run)
    finalists = found_by_searches(run)
    trained = load_trained(run, request.trusted)
    runtimes = runtimes_of(run, explain, request.trusted)
    profiles = {name: read_profile(run.profile(name), trained.supernet) for name in runtimes}
    decides = plain(request, "visits", "repeats", "seconds", "comparable", "calibration_images")
    inputs = {
        "supernet": trained.digest,
        "profiles": hash_of({name: profile.digest for name, profile in profiles.items()}),
        "searches": digest_of_searches(finalists),
    }
    stage = Stage("compare", run.comparison, decides, inputs)
    force = request.force or is_outdated(stage)  # a summary, which can always be made again from the run
    with claimed(stage, force=force, waits=waits) as needed:
        if not needed:
            say(f"compare: {stage.output} is there, nothing to do")
            return read_record(stage.output, Comparison)
        subnets = with_largest(chosen_subnets(finalists), trained.supernet.space.largest)
        with written(stage, force=force) as target:
            # Before what takes long: data may have broken since.
            scores, judged = _judged(run, trained, subnets, trained.calibration(request.calibration_images))
            with measuring(run, "compare: other jobs of this run are running on this machine; waiting to measure"):
                devices = [
                    measure_device(trained, subnets, runtimes[name], profiles[name], protocol) for name in runtimes
                ]
            costs = ofa.cost(trained.supernet, [subnet.arch for subnet in subnets])
            content = comparison(
                subnets,
                devices,
                scores,
                {subnet.arch: {key: int(costs[key][index]) for key in COSTS} for index, subnet in enumerate(subnets)},
                metrics=metrics_of(trained.task),
                comparable=request.comparable,
                searches=inputs["searches"],
                judged=judged,
            )
            write_record(Path(target), content)
    say(f"compare: {stage.output}")
    return content


def runtimes_of(run: RunFolder, explain: Explain, trust: Trust = TOOLKIT_ALONE) -> dict[str, Runtime]:
    """Returns the runtimes of the profiled devices by name; prints why a device cannot be run here.

    Raises:
        InvalidInput: none can be run here, or one calls an untrusted target.
    """
    names = complete_profiles(run)
    runtimes: dict[str, Runtime] = {}
    for name in names:
        runtime = runtime_of(profiled_device(run, name, trust), explain)
        if isinstance(runtime, str):
            say(f"compare: {name} is left out: {runtime}")
        else:
            runtimes[name] = runtime
    if not runtimes:
        raise InvalidInput(f"none of the profiled devices can be run here: {', '.join(names) or 'there are none'}")
    return runtimes


def runtime_of(device: Device, explain: Explain) -> Runtime | str:
    """Returns the runtime that a device was profiled with, or the reason why it cannot be made here."""
    if device.remote:
        return "it was measured on another machine"
    try:
        return made_runtime(device.runtime)
    except (InvalidInput, InstantiationException, ImportError) as error:
        return explain(error) or str(error)


def with_largest(subnets: Sequence[ChosenSubnet], largest: Arch) -> tuple[ChosenSubnet, ...]:
    """Returns the subnets with the largest, which is added if missing."""
    return (*subnets, *([] if any(subnet.arch == largest for subnet in subnets) else [ChosenSubnet(largest)]))


def measure_device(
    trained: Trained,
    subnets: Sequence[ChosenSubnet],
    runtime: Runtime,
    profile: Profile,
    protocol: Mapping[str, Any],
) -> MeasuredDevice:
    """Returns the times of all subnets on one device, measured in turn; clock and scale are those of its profile."""
    archs = [subnet.arch for subnet in subnets]
    with stage_progress("compare") as update:

        def show(step: MeasureStep) -> None:
            action = "exporting for" if step.stage == "load" else "measuring on"
            update(step.done, step.total, f"{action} {profile.name}")

        clock = profile.protocol.clock
        measured = measure_archs(
            trained.supernet, archs, runtime, profile=profile, clock=clock, progress=show, **protocol
        )
    return MeasuredDevice(
        name=profile.name,
        runtime=runtime_text(runtime.describe()),
        verdict=measured[0].verdict,
        measured=dict(zip(archs, measured, strict=True)),
    )


def runtime_text(description: Object) -> str:
    """Returns a runtime in words, such as "onnxruntime 1.22.0, 1 thread"."""
    text = f"{description.get('name', '')} {description.get('version', '')}".strip()
    threads = description.get("threads")
    return text if threads is None else f"{text}, {threads} thread{'' if threads == 1 else 's'}"


def _judged(
    run: RunFolder, trained: Trained, subnets: Sequence[ChosenSubnet], calibration: Example
) -> tuple[dict[Arch, Scores], dict[Arch, Replicates]]:
    """The scores of every subnet with the weights that it was chosen with, and what differences on test take."""
    by_arch, judged = dict[Arch, Scores](), dict[Arch, Replicates]()
    with stage_progress("compare") as update:
        for subnet in subnets:
            data = ofa.resized(trained.data, subnet.arch)
            if subnet.tuned is None:
                net = ofa.calibrate(trained.supernet.subnet(subnet.arch), ofa.resized(calibration, subnet.arch))
            else:
                search, digest = subnet.tuned
                net, _ = load_refined(subnet.arch, trained, SearchFolder(run.search(search)).tuned(digest))
            with in_split("test"):
                judged[subnet.arch] = replicates(net, data.test.in_order(), trained.task)
            with in_split("validation"):
                validation = scores(net, data.validation.in_order(), trained.task)
            by_arch[subnet.arch] = Scores(validation=validation, test=dict(judged[subnet.arch].scores))
            update(len(by_arch), len(subnets), "scores on test")
    return by_arch, judged
