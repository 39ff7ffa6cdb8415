"""The accuracy of one subnet on the splits that training never sees."""

from __future__ import annotations

from torch import Tensor

from ofa import Supernet
from ofa.arch import Arch
from ofa.calibrate import calibrate
from ofa.data import Dataset
from ofa.evaluate import evaluate


def held_out_accuracy(supernet: Supernet, arch: Arch, data: Dataset, calibration: Tensor) -> dict[str, float]:
    """Returns the accuracy of `arch` on "validation" and on "test", fractions.

    `calibration` are training images (N, C, H, W) for the norm statistics.
    """
    net = calibrate(supernet.subnet(arch), calibration)
    splits = {"validation": data.validation, "test": data.test}
    return {name: evaluate(net, split.in_order()) for name, split in splits.items()}
