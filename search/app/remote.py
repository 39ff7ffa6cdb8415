"""A device that is another machine: a bundle goes there, and what was measured comes back."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ofa.arch import Arch
from ofa.cost import cost
from ofa.errors import InvalidInput
from ofa.paths import read_json, write_json
from search.app.device import decides, is_remote, make_device, show_measuring
from search.device import Profile, read_profile
from search.device.bundle import FINALISTS, SCRIPT, is_sound, portable, versions_of, write_bundle
from search.device.bundle import PROFILE as FOR_PROFILE
from search.device.clock import clock_named
from search.device.measure import check_counts
from search.device.remote import machine_in, measurement_in, read_result, runtime_in
from search.device.sample import Sample, SampleItems, choose_sample
from search.measure_elsewhere import with_measured
from search.paths import RunFolder
from search.profile import profile_device, profile_of, tool_version
from search.progress import say, stage_progress
from search.report.numbers import percent_text
from search.stages import Stage, flatten, is_complete, is_needed, written
from search.trained import Trained

# What a device's configuration leaves out is what it would be on this machine.
USUAL = {
    name: parameter.default
    for name, parameter in inspect.signature(profile_device).parameters.items()
    if name in ("anchors", "blocks", "alignment", "visits", "repeats", "seconds", "clock")
}


def how_to_measure(name: str, run: RunFolder) -> str:
    """Returns the line that says how a remote device is profiled."""
    return (
        f"device={name} is another machine: ofa profile device={name} run={run.name} bundle={name}.zip writes what to "
        f"run there, and ofa profile device={name} run={run.name} import=profile.json takes what came out"
    )


def bundle_profile(device: Mapping[str, Any], run: RunFolder, trained: Trained, path: Path) -> None:
    """Writes the bundle from which a device is profiled, and keeps its manifest in the run.

    Raises:
        InvalidInput: a runtime that cannot be taken away, a device that is this machine, or a wrong count.
    """
    runtime, name = portable(make_device(device)), str(device["name"])
    if not is_remote(device):
        raise InvalidInput(
            f"device={name} is this machine, which ofa profile measures without a bundle; another one has "
            f"device.remote=true and a device.name of its own, as device=pi5"
        )
    asked = {**USUAL, **device["profile"]}
    check_counts(asked["visits"], asked["repeats"], asked["anchors"])
    clock_named(asked["clock"])
    chosen = {key: asked.pop(key) for key in ("anchors", "blocks", "alignment")}
    sample = choose_sample(trained.supernet, **chosen, seed=0)
    manifest = bundled(
        run, trained, runtime, sample, path, device=name, purpose=FOR_PROFILE, protocol=asked, settings=decides(device)
    )
    say(
        f"profile: {path} ({path.stat().st_size / 1e6:.1f} MB, {len(manifest['networks'])} networks); on {name}: unzip "
        f"{path.name} && python3 {SCRIPT}; then here: ofa profile device={name} run={run.name} import=profile.json"
    )


def bundled(
    run: RunFolder,
    trained: Trained,
    runtime: Any,
    sample: Sample,
    path: Path,
    *,
    device: str,
    purpose: str,
    protocol: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns the manifest of a bundle that it writes, with progress shown; the run keeps it for the way back."""
    with stage_progress("bundle") as update:
        manifest = write_bundle(
            path,
            trained.supernet,
            portable(runtime),
            sample,
            device=device,
            purpose=purpose,
            protocol={**protocol, "seed": 0},
            settings=settings,
            versions=versions_of(tool_version()),
            progress=lambda row: show_measuring(row, update),
        )
    write_json(run.bundle(manifest["digest"]), manifest)
    return manifest


def import_result(device: Mapping[str, Any], run: RunFolder, trained: Trained, path: Path, *, force: bool) -> None:
    """Takes what was measured on another machine: a profile, or subnets that a search found.

    Raises:
        InvalidInput: a file that is damaged, of another bundle, space or configuration, or holds too little.
    """
    name, content = str(device["name"]), read_result(path)
    manifest = known_manifest(run, trained, name, content["bundle"], path)
    if manifest["purpose"] == FINALISTS:
        import_finalists(run, trained, name, content, manifest, path)
        return
    check_settings(manifest["settings"], decides(device), path)
    stage = Stage("profile", run.profile(name), decides(device), {"space": trained.supernet.space.digest})
    if not is_needed(stage, force=force):
        say(f"profile: {stage.output} is there, nothing to do (force=true takes {path} in its place)")
        return
    measured = measurement_in(content, manifest, str(path))
    protocol = manifest["protocol"]
    asked = {key: protocol[key] for key in ("clock", "repeats", "seed")}
    profile = profile_of(
        trained.supernet,
        SampleItems(archs_of(manifest), tuple(manifest["pieces"]), tuple(manifest["widths"])),
        measured,
        device=machine_in(content, name, str(path)),
        runtime=runtime_in(content, manifest, str(path)),
        asked={**asked, "remote": True, "bundle": manifest["digest"]},
    )
    with written(stage, force=force) as target:
        profile.write(target)
    say_profile(profile)


def import_finalists(
    run: RunFolder,
    trained: Trained,
    name: str,
    content: Mapping[str, Any],
    manifest: Mapping[str, Any],
    source: Path,
) -> None:
    """Adds what was measured of a search's subnets to the profile of the device.

    Raises:
        InvalidInput: there is no such profile, or it is another one than the search was made with.
    """
    path = run.profile(name)
    if not is_complete(path):
        raise InvalidInput(f"{source} is of subnets of a search, and {path} is missing: {how_to_measure(name, run)}")
    profile = read_profile(path, trained.supernet)
    if manifest["settings"].get("profile") != profile.digest:
        raise InvalidInput(f"{source} is of a search with another profile of {name}: run the same ofa search again")
    runtime_in(content, manifest, str(source))
    machine_in(content, name, str(source))
    measured = measurement_in(content, manifest, str(source))
    learned = with_measured(profile, trained.supernet, archs_of(manifest), measured)
    learned.write(path)
    added, error = len(learned.anchors) - len(profile.anchors), percent_text(learned.held_out_error, 1)
    say(
        f"profile: {added} measured subnets added to {path}, off by {error} on subnets held out; measurement "
        f"{measured.verdict}; now the same ofa search again"
    )


def known_manifest(run: RunFolder, trained: Trained, name: str, digest: str, source: Path) -> dict[str, Any]:
    """Returns the manifest that the run keeps of a bundle.

    Raises:
        InvalidInput: there is none, it is damaged, or of another device, space or model.
    """
    path = run.bundle(digest)
    again = f"write a bundle and measure it: ofa profile device={name} run={run.name} bundle={name}.zip"
    if not path.is_file():
        raise InvalidInput(f"{source} is of bundle {digest}, which run={run.name} did not write; {again}")
    manifest = read_json(path)
    if not is_sound(manifest):
        raise InvalidInput(f"{path} is damaged; {again}")
    if manifest["device"] != name:
        raise InvalidInput(f"{source} is of device={manifest['device']}, not of device={name}")
    space = trained.supernet.space.digest
    if manifest["space"] != space:
        raise InvalidInput(f"{source} is of another space ({manifest['space']}, not {space}); {again}")
    if not np.allclose(cost(trained.supernet, archs_of(manifest))["macs"], manifest["macs"]):
        raise InvalidInput(f"{source} is of a model with the same choices and other layers (MACs differ); {again}")
    return dict(manifest)


def archs_of(manifest: Mapping[str, Any]) -> tuple[Arch, ...]:
    """Returns the Archs of a manifest, in order."""
    return tuple(map(Arch.from_dict, manifest["archs"]))


def check_settings(there: Mapping[str, Any], now: Mapping[str, Any], source: Path) -> None:
    """Checks that a bundle was written with the configuration of now.

    Raises:
        InvalidInput: naming the first key that differs.
    """
    before, after = flatten(there), flatten(now)
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            raise InvalidInput(
                f"{source} is of a bundle with device.{key}={before.get(key)}, and device.{key} is {after.get(key)} "
                f"now: import it with the same keys, or write and measure the bundle again"
            )


def say_profile(profile: Profile) -> None:
    """Says in lines what a profile came to."""
    error, verdict = percent_text(profile.held_out_error, 1), profile.quality["verdict"]
    say(f"profile: latency model of {profile.name}, off by {error} on subnets held out; measurement {verdict}")
    if profile.alignment is not None:
        say(f"profile: widths: {profile.alignment}")
