"""Evaluator: the accuracy of a subnet in the supernet; and the card of a supernet that is trained."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import ofa
from ofa import Supernet
from ofa._calibrate import calibrate
from ofa._evaluate import evaluate
from ofa.arch import Arch
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.inputs import Inputs, as_inputs
from ofa.resolution import resized
from search.candidates.space import Evaluation
from search.evaluation.caches import AccuracyCache
from search.run.cards import Accuracy
from search.run.stored_inputs import settings_digest
from search.run.training_cards import EndAccuracies, SpaceChoice, SupernetCard
from search.training.trained import late_warnings


class Evaluator:
    """Returns the validation accuracy of an Arch's view: norm statistics from calibration images, then one pass.

    `images` (N, C, H, W) and `labels` (N,) are the validation split, `calibration` (M, C, H, W) training images as the
    network sees them. With a `cache` folder nothing is evaluated twice: the file's name has the digests of the
    supernet, the images and the settings, so another supernet or another split never shares it.
    """

    def __init__(
        self,
        supernet: Supernet,
        images: Tensor | Inputs,
        labels: Tensor,
        calibration: Tensor | Inputs,
        *,
        batch_size: int = 512,
        cache: Path | None = None,
    ) -> None:
        if len(images) == 0 or len(images) != len(labels):
            raise InvalidInput(f"{len(images)} validation images and {len(labels)} labels: give as many, at least 1")
        self._supernet, self._batch_size = supernet, batch_size
        self._images, self._labels, self._calibration = images, labels, calibration
        self.digest = f"{supernet.digest}-{settings_digest(images, labels, calibration, batch_size)}"
        self.cache = AccuracyCache(cache / f"{self.digest}.jsonl") if cache is not None else None

    def __call__(self, arch: Arch) -> Evaluation:
        """Returns the Evaluation of `arch`.

        Raises:
            InvalidInput: the subnet returns NaN or infinity.
        """
        known = self.cache.get(arch) if self.cache is not None else None
        if known is not None:
            return Evaluation(known, 0.0, cached=True)
        start = time.perf_counter()
        with torch.no_grad():
            view = calibrate(self._supernet.subnet(arch), resized(self._calibration, arch), self._batch_size)
            accuracy = evaluate(view, self._batches(arch))
        evaluation = Evaluation(accuracy, time.perf_counter() - start)
        if self.cache is not None:
            self.cache.put(arch, evaluation)
        return evaluation

    def _batches(self, arch: Arch) -> Iterator[tuple[Tensor | Inputs, Tensor]]:
        """The validation split at the Arch's resolution; batch by batch, so that no second copy of it is made."""
        inputs, size = as_inputs(self._images), self._batch_size
        for start in range(0, len(self._labels), size):
            yield resized(inputs.rows(start, start + size), arch), self._labels[start : start + size]


def held_out_accuracy(supernet: Supernet, arch: Arch, data: Dataset, calibration: Tensor | Inputs) -> Accuracy:
    """Returns the accuracy of `arch` on the validation and the test split, at its resolution.

    `calibration` are training images (N, C, H, W) for the norm statistics.
    """
    net, data = calibrate(supernet.subnet(arch), resized(calibration, arch)), resized(data, arch)
    return Accuracy(validation=evaluate(net, data.validation.in_order()), test=evaluate(net, data.test.in_order()))


ENDS = {"largest": "the largest subnet", "smallest": "the smallest subnet"}  # in rows of a history


def supernet_card(
    supernet: ofa.Supernet, data: Dataset, calibration_images: int, config_hash: str, seconds: float
) -> SupernetCard:
    """Returns the card of a supernet, its largest and its smallest subnet evaluated.

    Args:
        calibration_images: training images that their norm statistics come from.
        config_hash: of the configuration that the supernet can be made again of.
        seconds: that its training took.
    """
    images = data.calibration(calibration_images)
    ends = {"largest": supernet.space.largest, "smallest": supernet.space.smallest}
    accuracy = {name: held_out_accuracy(supernet, arch, data, images) for name, arch in ends.items()}
    named = {ENDS[name]: each for name, each in accuracy.items()}
    size = supernet.space.size
    return SupernetCard(
        digest=supernet.digest,
        space_digest=supernet.space.digest,
        config_hash=config_hash,
        subnets=size if size < 2**53 else float(min(size, 10**308)),
        space=tuple(SpaceChoice(**choice) for choice in supernet.space.to_dict()),
        accuracy=EndAccuracies(**accuracy),
        warnings=tuple(late_warnings(named, data.validation.labels)),
        seconds=seconds,
    )
