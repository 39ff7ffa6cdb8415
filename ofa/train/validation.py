"""Accuracy of subnets during training, for the curves; it changes nothing that training depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from ofa.arch import Arch
from ofa.calibrate import calibrate
from ofa.data import Split
from ofa.evaluate import evaluate

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def accuracies(
    supernet: Supernet, archs: Mapping[str, Arch], images: Tensor, split: Split
) -> dict[str, float]:
    """Returns "accuracy_<name>", in [0, 1], of each Arch on `split`, norm statistics measured on `images`."""
    measured = {}
    for name, arch in archs.items():
        view = calibrate(supernet.subnet(arch), images)
        measured[f"accuracy_{name}"] = evaluate(view, split.in_order())
    return measured
