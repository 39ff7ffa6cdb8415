"""Profiling another machine: writing a bundle for it, and importing the measurement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa._cost import cost
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import Object, write_record
from search.config.request import Device, Sampling, plain
from search.device import read_profile
from search.device.devices import how_to_measure, made_runtime, say_profile, show_measuring
from search.device.latency.sample import Sample, SampleItems, choose_sample
from search.device.measure_archs import with_measured
from search.device.measuring import check_counts
from search.device.plausible import believed_finalists, believed_sample
from search.device.profile_device import profile_of, tool_version
from search.device.remote.bundle import SCRIPT, portable, versions_of, write_bundle
from search.device.remote.manifest import BundleManifest, BundleProtocol, Purpose, read_manifest
from search.device.remote.result import DeviceMeasurement, machine_in, measurement_in, read_result, runtime_in
from search.device.timing import clock_named
from search.device.workload import Workload
from search.run.locks import claimed, only_one
from search.run.paths import RunFolder
from search.run.progress import say, stage_progress
from search.run.stages import Stage, is_complete, written
from search.run.stored_inputs import flatten
from search.text import percent_text
from search.training.trained import Trained


def bundle_profile(device: Device, run: RunFolder, trained: Trained, path: Path) -> None:
    """Writes the bundle for profiling a device, and stores its manifest in the run.

    Raises:
        InvalidInput: the runtime's networks are not files, the device is this machine, or a count is invalid.
    """
    runtime, name = portable(made_runtime(device.runtime)), device.name
    if not device.remote:
        raise InvalidInput(
            f"device={name} is this machine, which ofa profile measures without a bundle; another one has "
            f"device.remote=true and a device.name of its own, as device=pi5"
        )
    sampling = device.profile
    check_counts(sampling.visits, sampling.repeats, sampling.anchors)
    clock_named(sampling.clock)
    sample = choose_sample(
        trained.supernet,
        anchors=sampling.anchors,
        blocks=sampling.blocks,
        alignment=sampling.alignment,
        seed=0,
        workload=_workload(sampling),
    )
    protocol = BundleProtocol(**plain(sampling, "visits", "repeats", "seconds", "clock"), seed=0)
    manifest = bundled(
        run,
        trained,
        runtime,
        sample,
        path,
        device=name,
        purpose="profile",
        protocol=protocol,
        settings=device.decides,
    )
    say(
        f"profile: {path} ({path.stat().st_size / 1e6:.1f} MB, {len(manifest.networks)} networks); on {name}: unzip "
        f"{path.name} && python3 {SCRIPT}; then here: ofa profile device={name} run={run.name} import=profile.json"
    )


def _workload(sampling: Sampling) -> Workload:
    return Workload(**plain(sampling, "batch", "sequence", "decode"))


def bundled(
    run: RunFolder,
    trained: Trained,
    runtime: Any,
    sample: Sample,
    path: Path,
    *,
    device: str,
    purpose: Purpose,
    protocol: BundleProtocol,
    settings: Object,
) -> BundleManifest:
    """Returns the manifest of a bundle after writing it, with progress; the run stores it for the import."""
    with stage_progress("bundle") as update:
        manifest = write_bundle(
            path,
            trained.supernet,
            portable(runtime),
            sample,
            device=device,
            purpose=purpose,
            protocol=protocol,
            settings=settings,
            versions=versions_of(tool_version()),
            progress=lambda row: show_measuring(row, update),
        )
    write_record(run.bundle(manifest.digest), manifest)
    return manifest


def import_result(device: Device, run: RunFolder, trained: Trained, path: Path, *, force: bool) -> None:
    """Imports a measurement from another machine: a profile, or subnets that a search chose.

    Raises:
        InvalidInput: the file is damaged, of another bundle, space or configuration, or has too few rounds.
    """
    name, result = device.name, read_result(path)
    manifest = known_manifest(run, trained, name, result.bundle, path)
    if manifest.purpose == "finalists":
        import_finalists(run, trained, name, result, manifest, path)
        return
    check_settings(manifest.settings, device.decides, path)
    stage = Stage("profile", run.profile(name), device.decides, {"space": trained.supernet.space.digest})
    with claimed(stage, force=force) as needed:
        if needed:
            _write_imported(stage, result, manifest, trained, path, _workload(device.profile), force=force)
        else:
            say(f"profile: {stage.output} is there, nothing to do (force=true takes {path} in its place)")


def _write_imported(
    stage: Stage,
    result: DeviceMeasurement,
    manifest: BundleManifest,
    trained: Trained,
    path: Path,
    workload: Workload,
    *,
    force: bool,
) -> None:
    """Writes the profile that was measured on another machine."""
    measured = measurement_in(result, manifest, str(path))
    items = SampleItems(manifest.archs, manifest.pieces, manifest.widths)
    if measured.verdict != "reject":  # `profile_of` raises on a rejected one
        believed = believed_sample(trained.supernet, items, measured, str(path))
        items, measured = believed.items, believed.measured
        for line in believed.left_out:
            say(f"profile: {line}")
    profile = profile_of(
        trained.supernet,
        items,
        measured,
        device=machine_in(result, manifest.device),
        runtime=runtime_in(result, manifest, str(path)),
        repeats=manifest.protocol.repeats,
        seed=manifest.protocol.seed,
        bundle=manifest.digest,
        workload=workload,
    )
    with written(stage, force=force) as target:
        profile.write(target)
    say_profile(profile)


def import_finalists(
    run: RunFolder,
    trained: Trained,
    name: str,
    result: DeviceMeasurement,
    manifest: BundleManifest,
    source: Path,
) -> None:
    """Adds the measurements of a search's subnets to the profile of the device.

    Raises:
        InvalidInput: there is no such profile, or the search was made with another one.
    """
    path = run.profile(name)
    if not is_complete(path):
        raise InvalidInput(f"{source} is of subnets of a search, and {path} is missing: {how_to_measure(name, run)}")
    with only_one(run.profile_lock(name), f"profile: {{owner}} is updating {path}; waiting"):
        profile = read_profile(path, trained.supernet)
        if manifest.settings.get("profile") != profile.digest:
            raise InvalidInput(f"{source} is of a search with another profile of {name}: run the same ofa search again")
        runtime_in(result, manifest, str(source))
        measured = measurement_in(result, manifest, str(source))
        archs: Sequence[Arch] = manifest.archs
        if measured.verdict != "reject":  # `with_measured` raises on a rejected one
            believed = believed_finalists(profile, trained.supernet, archs, measured, str(source))
            archs, measured = believed.items.archs, believed.measured
            for line in believed.left_out:
                say(f"profile: {line}")
        learned = with_measured(profile, trained.supernet, archs, measured)
        learned.write(path)
    added, error = len(learned.anchors) - len(profile.anchors), percent_text(learned.held_out_error, 1)
    say(
        f"profile: {added} measured subnets added to {path}, off by {error} on subnets held out; measurement "
        f"{measured.verdict}; now the same ofa search again"
    )


def known_manifest(run: RunFolder, trained: Trained, name: str, digest: str, source: Path) -> BundleManifest:
    """Returns the manifest that the run stores of a bundle.

    Raises:
        InvalidInput: it is missing, damaged, or of another device, space or model.
    """
    path = run.bundle(digest)
    again = f"write a bundle and measure it: ofa profile device={name} run={run.name} bundle={name}.zip"
    if not path.is_file():
        raise InvalidInput(f"{source} is of bundle {digest}, which run={run.name} did not write; {again}")
    manifest = read_manifest(path)
    if manifest.device != name:
        raise InvalidInput(f"{source} is of device={manifest.device}, not of device={name}")
    space = trained.supernet.space.digest
    if manifest.space != space:
        raise InvalidInput(f"{source} is of another space ({manifest.space}, not {space}); {again}")
    archs = manifest.archs
    for index, arch in enumerate(archs):
        try:
            trained.supernet.space.validate(arch)
        except InvalidInput as error:
            raise InvalidInput(f"{path}: archs[{index}]: {error}; {again}") from None
    if not np.allclose(cost(trained.supernet, archs)["macs"], manifest.macs):
        raise InvalidInput(f"{source} is of a model with the same choices and other layers (MACs differ); {again}")
    return manifest


def check_settings(bundled: Object, current: Object, source: Path) -> None:
    """Checks that a bundle was written with the current configuration.

    Raises:
        InvalidInput: naming the first key that differs.
    """
    before, after = flatten(bundled), flatten(current)
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            raise InvalidInput(
                f"{source} is of a bundle with device.{key}={before.get(key)}, and device.{key} is {after.get(key)} "
                f"now: import it with the same keys, or write and measure the bundle again"
            )
