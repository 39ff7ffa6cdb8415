"""Once-for-all supernets of plain PyTorch models: one training, a fitted subnet for every device."""

from ofa.arch import Arch
from ofa.calibrate import calibrate
from ofa.cost import cost
from ofa.errors import InvalidArch, InvalidInput
from ofa.evaluate import evaluate
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
    "sort_channels_",
]
