"""`ofa profile`: measure a sample of subnets on a device and fit its latency model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ofa.errors import InvalidInput
from search.app.build import make, plain, run_folder
from search.device import Profile, Runtime, read_profile
from search.paths import RunFolder
from search.profile import profile_device
from search.progress import Update, say, stage_progress
from search.report.numbers import percent_text
from search.stages import Stage, is_complete, is_needed, stamped_config, written
from search.trained import Trained, load_trained


def task(config: DictConfig) -> None:
    """Profiles one device for the supernet of a run."""
    run = run_folder(config)
    check_device(config)
    profile_stage(config, run, load_trained(run), force=bool(config.force))


def profile_stage(
    config: DictConfig, run: RunFolder, trained: Trained, *, force: bool, as_it_is: bool = False
) -> Profile:
    """Returns the profile of the configured device, measured unless that is done.

    With `as_it_is`, one of the same runtime serves however it was measured.
    """
    device = plain(config, "device")["device"]
    name = check_device(config)
    path = run.profile(name)
    decides = {"runtime": device["runtime"], "profile": device["profile"]}
    if as_it_is and is_complete(path):
        decides["profile"] = stamped_config(path).get("profile")
    stage = Stage("profile", path, decides, {"space": trained.supernet.space.digest})
    if not is_needed(stage, force=force):
        say(f"profile: {path} is there, nothing to do")
        return read_profile(path, trained.supernet)
    runtime = make_device(device)
    with written(stage, force=force) as target, stage_progress("profile") as update:
        profile = profile_device(
            trained.supernet,
            runtime,
            path=Path(target),
            name=name,
            progress=lambda row: show_measuring(row, update),
            **device["profile"],
        )
    error, verdict = percent_text(profile.held_out_error, 1), profile.quality["verdict"]
    say(f"profile: latency model of {name}, off by {error} on subnets held out; measurement {verdict}")
    if profile.alignment is not None:
        say(f"profile: widths: {profile.alignment}")
    return profile


def check_device(config: DictConfig) -> str:
    """Returns the device's name.

    Raises:
        InvalidInput: a name that cannot be a file's.
    """
    name = str(config.device.name)
    if not name or Path(name).name != name:
        raise InvalidInput(f"device.name={name!r} must be a plain name, such as laptop")
    return name


def make_device(device: Mapping[str, Any]) -> Runtime:
    """Returns the runtime of a `device` group.

    Raises:
        InvalidInput: what its target makes is no runtime.
    """
    runtime = make(device["runtime"])
    if not isinstance(runtime, Runtime):
        target = device["runtime"].get("_target_")
        raise InvalidInput(f"{target!r} is not a runtime: it needs name, load(net, example_input) and describe()")
    return runtime


def show_measuring(row: Mapping[str, Any], update: Update) -> None:
    """Shows a step of a measurement."""
    what = "exporting" if row["stage"] == "load" else "measuring"
    update(int(row["done"]), int(row["total"]), what)
