"""The profile stage of one device, the devices of a search, and the figures that their profiles predict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ofa import Supernet
from ofa._cost import cost
from ofa.arch import Arch
from ofa.errors import InvalidInput, nearest
from ofa.peak_memory import peak_activation_bytes
from search.candidates.coded_bytes import CodedBytes, said_bytes
from search.candidates.figures import BYTES_ON_DISK, LATENCY, Figures, in_int8
from search.config.read import converted
from search.config.request import Device, plain
from search.config.rules import Target
from search.config.search import SearchRequest
from search.device.int8_sizes import int8_figures
from search.device.measuring import MeasureStep
from search.device.profile import Profile, read_profile
from search.device.profile_device import profile_device
from search.device.runtime import Runtime
from search.objects import make
from search.run.contents import complete_profiles
from search.run.locks import claimed, measuring
from search.run.paths import RunFolder, SearchFolder
from search.run.progress import Update, say, stage_progress
from search.run.stages import Stage, is_complete, stamp_path, stamped_config, written
from search.run.trust import Trust, check_stored
from search.text import percent_text
from search.training.trained import Trained


def profile_stage(
    device: Device, run: RunFolder, supernet: Supernet, *, force: bool, as_it_is: bool = False, waits: bool = False
) -> Profile:
    """Returns the profile of a device, after measuring it unless that is complete.

    Args:
        as_it_is: accept a complete profile of the same runtime, even if it was measured with other settings.
        waits: wait for another process that is measuring it, and use its profile.

    Raises:
        InvalidInput: it is not complete, and the device is another machine; or another process is measuring it.
    """
    path = run.profile(device.name)

    def stage() -> Stage:
        decides = device.decides
        if as_it_is and is_complete(path):
            decides["profile"] = stamped_config(path).get("profile")
        return Stage("profile", path, decides, {"space": supernet.space.digest})

    with claimed(stage, force=force, waits=waits) as needed:
        if needed:
            return _measured(stage(), device, run, supernet, force=force)
    say(f"profile: {path} is there, nothing to do")
    return read_profile(path, supernet)


def made_runtime(runtime: Target) -> Runtime:
    """Returns the runtime of a device.

    Raises:
        InvalidInput: its target does not make a runtime.
    """
    instance = make(runtime)
    if not isinstance(instance, Runtime):
        raise InvalidInput(
            f"{runtime.get('_target_')!r} is not a runtime: it needs name, load(net, example_input) and describe()"
        )
    return instance


def how_to_measure(name: str, run: RunFolder) -> str:
    """Returns a line that explains how to profile a remote device."""
    return (
        f"device={name} is another machine: ofa profile device={name} run={run.name} bundle={name}.zip writes what to "
        f"run there, and ofa profile device={name} run={run.name} import=profile.json takes what came out"
    )


def show_measuring(step: MeasureStep, update: Update) -> None:
    """Shows a step of a measurement as progress."""
    update(step.done, step.total, "exporting" if step.stage == "load" else "measuring")


def say_profile(profile: Profile) -> None:
    """Prints a summary of a profile."""
    error, verdict = percent_text(profile.held_out_error, 1), profile.quality.verdict
    say(f"profile: latency model of {profile.name}, off by {error} on subnets held out; measurement {verdict}")
    if not profile.workload.is_usual:
        slowest = max(anchor.ms for anchor in profile.anchors)
        say(f"profile: latencies are {profile.workload.unit}; up to {profile.workload.text(slowest)}")
    if profile.alignment is not None:
        say(f"profile: widths: {profile.alignment}")


def _measured(stage: Stage, device: Device, run: RunFolder, supernet: Supernet, *, force: bool) -> Profile:
    """Measures a device here, and writes its profile."""
    if device.remote:
        raise InvalidInput(how_to_measure(device.name, run))
    runtime = made_runtime(device.runtime)
    line = "profile: another job of this run measures or evaluates on this machine; waiting"
    with measuring(run, line), written(stage, force=force) as target, stage_progress("profile") as update:
        profile = profile_device(
            supernet,
            runtime,
            path=Path(target),
            name=device.name,
            progress=lambda row: show_measuring(row, update),
            **plain(device.profile),
        )
    say_profile(profile)
    return profile


@dataclass(frozen=True)
class SearchDevice:
    """A device that a search is for: the name of its latency figure, its profile and its runtime's configuration.

    `remote` says that it is another machine.
    """

    figure: str
    profile: Profile
    runtime: Target
    remote: bool = False

    def make_runtime(self) -> Runtime:
        """Returns the runtime that the profile was measured with."""
        return made_runtime(self.runtime)


def check_devices(request: SearchRequest) -> None:
    """Validates the devices of a search before any long step.

    Raises:
        InvalidInput: a device that cannot be used, or one other than the request's own that is not profiled.
    """
    run, own, names = request.folder, request.device.name, tuple(_named_devices(request))
    if own in names:
        made_runtime(request.device.runtime)
    profiled = complete_profiles(run)
    for name in names:
        if name != own and name not in profiled:
            other = f"; {nearest(name, profiled)}" if profiled else ""
            key = "search.int8_device" if name == request.search.int8_device else "latency_ms"
            raise InvalidInput(
                f"{key} names {name!r}, which is not profiled in {run.root}: "
                f"run ofa profile device={name} run={run.name} first{other}"
            )


def search_devices(
    request: SearchRequest, trained: Trained, *, force: bool, as_it_is: bool = False
) -> tuple[SearchDevice, ...]:
    """Returns the devices of a search, in order; the request's own is profiled first if it is one of them.

    The last is the one in int8, where the precision is searched; its figure is `in_int8` of the first's. The runtime of
    any other device than the request's comes from the stamp of its `ofa profile`.

    Args:
        force, as_it_is: as in `profile_stage`, for the request's own device.
    """
    run, devices = request.folder, list[SearchDevice]()
    for name, figure in _named_devices(request).items():
        if name == request.device.name:
            device = request.device
            profile = profile_stage(device, run, trained.supernet, force=force, as_it_is=as_it_is, waits=True)
        else:
            profile = read_profile(run.profile(name), trained.supernet)
            device = profiled_device(run, name, request.trusted)
        devices.append(SearchDevice(figure, profile, device.runtime, device.remote))
    return tuple(devices)


def _named_devices(request: SearchRequest) -> dict[str, str]:
    """The latency figure of each device of a search, by the device's name."""
    named = dict(zip(request.device_names, request.latency_figures, strict=True))
    if request.search.int8_device is not None:
        named.setdefault(request.search.int8_device, in_int8(LATENCY))
    return named


def profiled_device(run: RunFolder, name: str, trust: Trust) -> Device:
    """Returns a device as it was profiled, from the stamp of its profile.

    Raises:
        InvalidInput: the stamp is damaged, or names a target that is not trusted.
    """
    path = run.profile(name)
    stamp = stamped_config(path)
    check_stored(stamp, trust, stamp_path(path))
    if not isinstance(stamp.get("runtime"), Mapping):
        raise InvalidInput(f"{stamp_path(path)} holds no runtime: run ofa profile device={name} force=true")
    return converted({"name": name, **stamp}, Device)


def as_begun(files: SearchFolder, devices: Sequence[SearchDevice]) -> tuple[SearchDevice, ...]:
    """Returns the devices with the profiles that a search began with, which its limits depend on; unchanged before."""
    return tuple(
        replace(device, profile=read_profile(path)) if path.is_file() else device
        for device, path in ((device, files.profile(device.profile.name)) for device in devices)
    )


PEAK = "peak_activation_bytes"


def free_figures(supernet: Supernet, profiles: Mapping[str, Profile], needed: Collection[str] = ()) -> Figures:
    """Returns the function that gives the figures of Archs by name, each float64 (archs,): ms, MACs, counts, bytes.

    If the peak of the activations cannot be determined, it is left out. Bytes on disk and in int8 are there if needed.

    Args:
        profiles: the device's profile by the name of its latency figure.
        needed: the names of the figures that are limited or optimized.

    Raises:
        InvalidInput: the peak of the activations is needed and cannot be determined, with the reason.
    """
    has_peak, coded, in_int8_of = True, list[CodedBytes](), int8_figures(supernet, needed)
    try:
        peak_activation_bytes(supernet, [supernet.space.smallest])
    except InvalidInput as error:
        if PEAK in needed:
            raise InvalidInput(f"{PEAK} cannot be limited or optimized here: {error}") from None
        has_peak = False

    def figures(archs: Sequence[Arch]) -> dict[str, Any]:
        costs = cost(supernet, archs)
        by_name: dict[str, Any] = {name: profile.predict_archs(supernet, archs) for name, profile in profiles.items()}
        by_name |= {name: np.asarray(costs[name], dtype=np.float64) for name in ("macs", "params", "bytes")}
        if BYTES_ON_DISK in needed:
            coded.extend([] if coded else [said_bytes(supernet)])  # when it is first asked for: it takes a second
            by_name[BYTES_ON_DISK] = coded[0].predict(supernet, archs)
        by_name |= in_int8_of(archs)
        if has_peak:
            by_name[PEAK] = np.asarray(peak_activation_bytes(supernet, archs), dtype=np.float64)
        return by_name

    return figures
