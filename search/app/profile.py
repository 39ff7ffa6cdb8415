"""`ofa profile`: measure a sample of subnets on a device and fit its latency model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ofa.errors import InvalidInput
from search.app.build import plain, run_folder
from search.app.device import check_device, decides, is_remote, make_device, show_measuring
from search.app.remote import bundle_profile, how_to_measure, import_result, say_profile
from search.device import Profile, read_profile
from search.locks import measuring, only_one
from search.paths import RunFolder
from search.profile import profile_device
from search.progress import say, stage_progress
from search.stages import Stage, is_complete, is_needed, stamped_config, written
from search.trained import Trained, load_trained


def task(config: DictConfig) -> None:
    """Profiles one device for the supernet of a run, or sends to and takes from another machine what that takes."""
    run = run_folder(config)
    check_device(config)
    device, asked = plain(config, "device")["device"], plain(config, "bundle", "import")
    paths = {key: Path(str(value)) for key, value in asked.items() if value is not None}
    if len(paths) > 1:
        raise InvalidInput("bundle and import are two steps: give one of them")
    trained, force = load_trained(run), bool(config.force)
    if "bundle" in paths:
        bundle_profile(device, run, trained, paths["bundle"])
    elif "import" in paths:
        import_result(device, run, trained, paths["import"], force=force)
    else:
        profile_stage(config, run, trained, force=force)


def profile_stage(
    config: DictConfig, run: RunFolder, trained: Trained, *, force: bool, as_it_is: bool = False
) -> Profile:
    """Returns the profile of the configured device, measured unless that is done.

    With `as_it_is`, one of the same runtime serves however it was measured.

    Raises:
        InvalidInput: it is not done, and the device is another machine.
    """
    device = plain(config, "device")["device"]
    name = check_device(config)
    path = run.profile(name)
    with only_one(run.profile_lock(name), f"profile: another job has {path} in hand; waiting for it"):
        return _profiled(device, run, trained, force=force, as_it_is=as_it_is)


def _profiled(device: Mapping[str, Any], run: RunFolder, trained: Trained, *, force: bool, as_it_is: bool) -> Profile:
    name = str(device["name"])
    path = run.profile(name)
    kept = decides(device)
    if as_it_is and is_complete(path):
        kept["profile"] = stamped_config(path).get("profile")
    stage = Stage("profile", path, kept, {"space": trained.supernet.space.digest})
    if not is_needed(stage, force=force):
        say(f"profile: {path} is there, nothing to do")
        return read_profile(path, trained.supernet)
    if is_remote(device):
        raise InvalidInput(how_to_measure(name, run))
    runtime = make_device(device)
    waits = "profile: another job of this run measures or evaluates on this machine; waiting for it"
    with measuring(run, waits), written(stage, force=force) as target, stage_progress("profile") as update:
        profile = profile_device(
            trained.supernet,
            runtime,
            path=Path(target),
            name=name,
            progress=lambda row: show_measuring(row, update),
            **device["profile"],
        )
    say_profile(profile)
    return profile
