"""The weights that a candidate's fine-tuning starts from: the supernet's, its early ones, or fresh ones."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import nn

import ofa
from ofa.arch import Arch
from ofa.checkpoint import load_supernet, save_supernet
from ofa.prune.initializers import Initializer
from search.config.read import converted
from search.config.tuning import SupernetRecipe
from search.objects import build_supernet
from search.pruning.dense import INITIAL_IMAGES
from search.run.locks import only_one
from search.run.progress import say, stage_progress
from search.run.stages import hash_of
from search.training.starts import Beginning
from search.training.trained import Trained, run_training

INHERIT, REWIND, FRESH = "inherit", "rewind", "fresh"


class StartWeights:
    """Makes the network that fine-tuning starts from, with its own copy of the weights.

    Args:
        trained: the supernet and its data.
        folder: the folder for the supernet that `rewind` goes back to, once it is trained.
        rewind: the fraction of the supernet's training after which its weights are taken. The training is repeated up
            to that step, which gives the same bits (rewinding as in Frankle et al. 2020, 1912.05671).
        calibration: training images (N, C, H, W) for norm statistics.
    """

    def __init__(self, trained: Trained, folder: Path, *, rewind: float, calibration: torch.Tensor) -> None:
        self._trained, self._folder, self._rewind, self._calibration = trained, folder, rewind, calibration

    def network(self, arch: Arch, start: str, initializer: Initializer | None, seed: int) -> nn.Module:
        """Returns the subnet with its start weights; `initializer` redraws fresh ones, as a function of `seed`."""
        if start != FRESH:
            supernet = self._trained.supernet if start == INHERIT else self._rewound
            return ofa.calibrate(supernet.extract(arch), ofa.resized(self._calibration, arch))
        net = self._initial.extract(arch)
        if initializer is not None:
            images = ofa.resized(self._trained.data.calibration(INITIAL_IMAGES), arch)
            initializer(net, images, torch.Generator().manual_seed(seed))
        return net

    @cached_property
    def _initial(self) -> ofa.Supernet:
        """The supernet before its training."""
        return self._built()

    def _built(self, fill: Beginning | None = None) -> ofa.Supernet:
        config, data, task = self._trained.config, self._trained.data, self._trained.task
        return build_supernet(config["model"], config["space"], data, int(config["seed"]), task=task, fill=fill)

    @cached_property
    def _rewound(self) -> ofa.Supernet:
        name = hash_of({"supernet": self._trained.digest, "rewind": self._rewind})
        file = self._folder / f"rewound-{name}.safetensors"
        supernet = self._built(Beginning(self._trained.config.get("start"), self._trained.start))
        checkpoint = file.with_suffix(".checkpoint.safetensors")
        with only_one(file.with_suffix(".lock"), "search: another worker trains the supernet to rewind to; waiting"):
            if not file.exists():
                self._train(supernet, file, checkpoint)
            checkpoint.unlink(missing_ok=True)
        load_supernet(supernet, file)
        return supernet

    def _train(self, supernet: ofa.Supernet, file: Path, checkpoint: Path) -> None:
        """Trains the supernet up to the step that candidates are rewound to."""
        say(f"search: the supernet after {self._rewind:.0%} of its training, to rewind to")
        with stage_progress("rewind") as update:
            run_training(
                supernet,
                self._trained.data,
                converted(self._trained.config, SupernetRecipe),
                checkpoint,
                lambda step: update(step.step, step.total_steps, ""),
                stop_after=self._rewind,
            )
        supernet.model.to("cpu")
        save_supernet(supernet, file, {"rewind": self._rewind})
