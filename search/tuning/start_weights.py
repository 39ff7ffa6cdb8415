"""The weights that a candidate's fine-tuning begins with: the supernet's, its early ones, or fresh ones."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ofa
from ofa.arch import Arch
from ofa.checkpoint import load_supernet, save_supernet
from ofa.errors import InvalidInput, nearest
from ofa.prune.initializers import Initializer
from search.app.build import build_supernet
from search.app.train import run_training
from search.locks import only_one
from search.progress import say, stage_progress
from search.pruning.dense import INITIAL_IMAGES
from search.stages import hash_of
from search.trained import Trained

INHERIT, REWIND, FRESH = STARTS = ("inherit", "rewind", "fresh")


class StartWeights:
    """Makes the network that fine-tuning begins with, with weights of its own.

    Args:
        trained: the supernet and its data.
        folder: where the supernet of `rewind` is kept, once trained.
        rewind: the fraction of the supernet's training after which its weights are taken. They come from that training
            made again up to there, which gives the same bits (Frankle et al. 2020, 1912.05671, rewind so).
        calibration: training images (N, C, H, W) for norm statistics.
    """

    def __init__(self, trained: Trained, folder: Path, *, rewind: float, calibration: torch.Tensor) -> None:
        if not 0 < rewind < 1:
            raise InvalidInput(f"search.tuning.rewind={rewind!r} must be a fraction of the training, between 0 and 1")
        self._trained, self._folder, self._rewind, self._calibration = trained, folder, rewind, calibration

    def network(self, arch: Arch, start: str, initializer: Initializer | None, seed: int) -> nn.Module:
        """Returns the subnet with its first weights; `initializer` gives fresh ones others, a function of `seed`.

        Raises:
            InvalidInput: an unknown start.
        """
        if check_start(start) != FRESH:
            supernet = self._trained.supernet if start == INHERIT else self._rewound
            return ofa.calibrate(supernet.extract(arch), self._calibration)
        net = self._initial.extract(arch)
        if initializer is not None:
            images = self._trained.data.calibration(INITIAL_IMAGES)
            initializer(net, images, torch.Generator().manual_seed(seed))
        return net

    @cached_property
    def _initial(self) -> ofa.Supernet:
        """The supernet as it was before its training."""
        config = self._trained.config
        return build_supernet(config["model"], config["space"], self._trained.data, int(config["seed"]))

    @cached_property
    def _rewound(self) -> ofa.Supernet:
        config = self._trained.config
        name = hash_of({"supernet": self._trained.digest, "rewind": self._rewind})
        file = self._folder / f"rewound-{name}.safetensors"
        supernet = build_supernet(config["model"], config["space"], self._trained.data, int(config["seed"]))
        with only_one(file.with_suffix(".lock"), "search: another worker trains the supernet to rewind to; waiting"):
            if not file.exists():
                self._train(supernet, file)
        load_supernet(supernet, file)
        return supernet

    def _train(self, supernet: ofa.Supernet, file: Path) -> None:
        """Trains the supernet up to where candidates are rewound to."""
        checkpoint = file.with_suffix(".checkpoint.safetensors")
        say(f"search: the supernet after {self._rewind:.0%} of its training, to rewind to")
        with stage_progress("rewind") as update:
            run_training(
                supernet,
                self._trained.data,
                self._trained.config,
                checkpoint,
                lambda row: update(int(row["step"]), int(row["total_steps"]), ""),
                stop_after=self._rewind,
            )
        supernet.model.to("cpu")
        save_supernet(supernet, file, {"rewind": self._rewind})
        checkpoint.unlink(missing_ok=True)


def check_start(start: Any) -> str:
    """Returns a start.

    Raises:
        InvalidInput: there is none of that name.
    """
    if start not in STARTS:
        raise InvalidInput(f"search.tuning.start={start!r}: {nearest(str(start), STARTS)}")
    return str(start)
