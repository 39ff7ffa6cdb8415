"""Accuracy of subnets during training, for the curves; it changes nothing that training depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ofa.arch import Arch
from ofa.calibrate import calibrate
from ofa.data import Dataset
from ofa.evaluate import evaluate

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def accuracies(
    supernet: Supernet, data: Dataset, archs: Mapping[str, Arch] | None, calibration_images: int
) -> dict[str, float]:
    """Returns "accuracy_<name>", in [0, 1], of each Arch on the validation split; largest and smallest if None.

    Norm statistics are measured on `calibration_images` training images.
    """
    if archs is None:
        archs = {"largest": supernet.space.largest, "smallest": supernet.space.smallest}
    images = data.calibration(calibration_images)
    measured = {}
    for name, arch in archs.items():
        view = calibrate(supernet.subnet(arch), images)
        measured[f"accuracy_{name}"] = evaluate(view, data.validation.in_order())
    return measured
