"""The devices of a search: the verb's own, or those that `latency_ms` names, each with its profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig

from ofa.errors import InvalidInput, nearest
from search.app.build import plain
from search.app.device import check_device, is_remote, make_device
from search.app.profile import profile_stage
from search.device import Profile, Runtime, read_profile
from search.figures import LATENCY, latency_of
from search.latency_limits import LatencyLimits, check_latency
from search.paths import RunFolder, SearchFolder
from search.run_contents import complete_profiles
from search.stages import stamped_config
from search.trained import Trained


@dataclass(frozen=True)
class SearchDevice:
    """A device that a search is for: the name of its latency figure, its profile and its runtime's configuration.

    `remote` says that it is another machine.
    """

    figure: str
    profile: Profile
    runtime: Mapping[str, Any]
    remote: bool = False

    def make_runtime(self) -> Runtime:
        """Returns the runtime that the profile was measured with."""
        return make_device({"runtime": self.runtime})


def check_devices(config: DictConfig, run: RunFolder) -> None:
    """Checks the devices of a search before anything long is begun.

    Raises:
        InvalidInput: a device that cannot be used, or another than the verb's own that was not profiled.
    """
    own = check_device(config)
    names = device_names(own, check_latency(plain(config, "latency_ms")["latency_ms"]))
    if own in names:
        make_device(plain(config, "device")["device"])
    known = complete_profiles(run)
    for name in names:
        if name != own and name not in known:
            other = f"; {nearest(name, known)}" if known else ""
            raise InvalidInput(
                f"latency_ms names {name!r}, which is not profiled in {run.root}: "
                f"run ofa profile device={name} run={run.name} first{other}"
            )


def device_names(own: str, limits: LatencyLimits) -> tuple[str, ...]:
    """Returns the names of a search's devices: those that the limits name, else the verb's own."""
    return tuple(limits) if isinstance(limits, Mapping) else (own,)


def latency_figures(own: str, limits: LatencyLimits) -> tuple[str, ...]:
    """Returns the names of a search's latency figures, one a device in the order of `device_names`."""
    return tuple(map(latency_of, device_names(own, limits))) if isinstance(limits, Mapping) else (LATENCY,)


def search_devices(
    config: DictConfig, run: RunFolder, trained: Trained, *, force: bool, as_it_is: bool = False
) -> tuple[SearchDevice, ...]:
    """Returns the devices of a search, in order; the verb's own is profiled where it is one of them and is not yet.

    The runtime of another one is what its own `ofa profile` was called with, as its stamp keeps it.

    Args:
        force, as_it_is: as `search.app.profile.profile_stage`, of the verb's own device.
    """
    own, limits = check_device(config), check_latency(plain(config, "latency_ms")["latency_ms"])
    names = device_names(own, limits)
    found: list[SearchDevice] = []
    for name, figure in zip(names, latency_figures(own, limits), strict=True):
        if name == own:
            profile = profile_stage(config, run, trained, force=force, as_it_is=as_it_is)
            device = plain(config, "device")["device"]
        else:
            profile = read_profile(run.profile(name), trained.supernet)
            device = stamped_config(run.profile(name))
        found.append(SearchDevice(figure, profile, device["runtime"], is_remote(device)))
    return tuple(found)


def as_begun(files: SearchFolder, devices: Sequence[SearchDevice]) -> tuple[SearchDevice, ...]:
    """Returns the devices with the profiles that a search began with, where it has begun: its limits hang on them."""
    return tuple(
        replace(device, profile=read_profile(path)) if path.is_file() else device
        for device, path in ((device, files.profile(device.profile.name)) for device in devices)
    )
