"""Once-for-all supernets of plain PyTorch models: one training, a fitted subnet for every device."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ofa._calibrate import calibrate
    from ofa._cost import cost
    from ofa._evaluate import evaluate
    from ofa.arch import Arch
    from ofa.choice import Choice
    from ofa.errors import InvalidArch, InvalidInput
    from ofa.inputs import Inputs
    from ofa.inspection import inspect
    from ofa.one_of import OneOf
    from ofa.peak_memory import measure_peak_activation_bytes, peak_activation_bytes
    from ofa.resolution import resized
    from ofa.rules import SpaceRules
    from ofa.saving import load, save
    from ofa.sorting import sort_channels_
    from ofa.space import Space
    from ofa.supernet import Supernet

__all__ = [
    "Arch",
    "Choice",
    "Inputs",
    "InvalidArch",
    "InvalidInput",
    "OneOf",
    "Space",
    "SpaceRules",
    "Supernet",
    "calibrate",
    "cost",
    "evaluate",
    "inspect",
    "load",
    "measure_peak_activation_bytes",
    "peak_activation_bytes",
    "resized",
    "save",
    "sort_channels_",
]

_PACKAGES = ("compress", "data", "models", "prune", "start", "task", "train")
_MODULES = {
    "Arch": "ofa.arch",
    "Choice": "ofa.choice",
    "InvalidArch": "ofa.errors",
    "Inputs": "ofa.inputs",
    "InvalidInput": "ofa.errors",
    "OneOf": "ofa.one_of",
    "Space": "ofa.space",
    "SpaceRules": "ofa.rules",
    "Supernet": "ofa.supernet",
    "calibrate": "ofa._calibrate",
    "cost": "ofa._cost",
    "evaluate": "ofa._evaluate",
    "inspect": "ofa.inspection",
    "load": "ofa.saving",
    "measure_peak_activation_bytes": "ofa.peak_memory",
    "peak_activation_bytes": "ofa.peak_memory",
    "resized": "ofa.resolution",
    "save": "ofa.saving",
    "sort_channels_": "ofa.sorting",
}


def __getattr__(name: str) -> Any:
    """Returns a public name or package when it is first used: importing this package costs next to nothing."""
    if name in _MODULES:
        value = getattr(importlib.import_module(_MODULES[name]), name)
        globals()[name] = value
        return value
    if name in _PACKAGES:
        return importlib.import_module(f"ofa.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Returns the public names alone: modules that are imported on the way are nobody's business."""
    return sorted({*__all__, *_PACKAGES})
