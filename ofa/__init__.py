"""Once-for-all supernets of plain PyTorch models: one training, a fitted subnet for every device."""

from __future__ import annotations

import importlib
from types import ModuleType

from ofa.arch import Arch
from ofa.calibrate import calibrate
from ofa.cost import cost
from ofa.errors import InvalidArch, InvalidInput
from ofa.evaluate import evaluate
from ofa.memory import measure_peak_activation_bytes, peak_activation_bytes
from ofa.rules import SpaceRules
from ofa.sorting import sort_channels_
from ofa.space import Choice, Space
from ofa.supernet import Supernet

__all__ = [
    "Arch",
    "Choice",
    "InvalidArch",
    "InvalidInput",
    "Space",
    "SpaceRules",
    "Supernet",
    "calibrate",
    "cost",
    "evaluate",
    "measure_peak_activation_bytes",
    "peak_activation_bytes",
    "sort_channels_",
]

_PACKAGES = ("compress", "data", "models", "prune", "train")


def __getattr__(name: str) -> ModuleType:
    """Returns a package of this one when it is first used: `ofa.prune` needs no import of its own, and costs none."""
    if name in _PACKAGES:
        return importlib.import_module(f"ofa.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
