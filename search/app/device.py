"""One device of a configuration: its name, its runtime, whether it is another machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ofa.errors import InvalidInput
from search.app.build import make
from search.device import Runtime
from search.progress import Update


def check_device(config: DictConfig) -> str:
    """Returns the device's name.

    Raises:
        InvalidInput: a name that cannot be a file's.
    """
    name = str(config.device.name)
    if not name or Path(name).name != name:
        raise InvalidInput(f"device.name={name!r} must be a plain name, such as laptop")
    return name


def is_remote(device: Mapping[str, Any]) -> bool:
    """Returns whether a `device` group is of another machine, where nothing of this toolkit is.

    Raises:
        InvalidInput: `remote` is neither true nor false.
    """
    remote = device.get("remote", False)
    if not isinstance(remote, bool):
        raise InvalidInput(f"device.remote={remote!r} must be true or false")
    return remote


def decides(device: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what of a `device` group decides what its profile holds."""
    kept = {"runtime": device["runtime"], "profile": device["profile"]}
    return {**kept, "remote": True} if is_remote(device) else kept


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
