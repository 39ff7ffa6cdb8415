"""Evaluator: the scores of a subnet in the supernet; and the card of a supernet that is trained."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

import ofa
from ofa import Supernet
from ofa._calibrate import calibrate
from ofa.arch import Arch
from ofa.calibration_size import calibration_size
from ofa.data import Dataset
from ofa.data.contents import contents_of
from ofa.data.selection import Selection
from ofa.identity import as_json
from ofa.inputs import Inputs
from ofa.resolution import resized
from ofa.task import Task, scores
from search.candidates.space import Evaluation
from search.config.rules import AUTO, CalibrationExamples
from search.evaluation.caches import ScoreCache
from search.run.scores import Scores, metrics_of
from search.run.stored_inputs import settings_digest
from search.run.training_cards import CalibrationFacts, EndScores, SpaceChoice, SupernetCard
from search.training.baseline import baseline_of, no_better
from search.training.judging import held_out

BATCH = 512  # examples, of those that take little memory


class Evaluator:
    """Returns the validation scores of an Arch's view: norm statistics from calibration images, then one pass.

    The validation split is read batch by batch, so that it is never held as floats, and so is a `Selection` of training
    images to calibrate on; `calibration` (M, C, H, W) are such images as the network sees them. Batches are of 512
    examples, or of as many as take 16 MiB: several evaluators fit on a machine. With a `cache` folder nothing is
    evaluated twice: the file's name has the digests of the supernet, the data, the metrics and the settings, so another
    of them never shares it.

    Raises:
        InvalidInput: nothing to calibrate on.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: Dataset,
        task: Task,
        calibration: Tensor | Inputs | Selection,
        *,
        batch_size: int | None = None,
        cache: Path | None = None,
    ) -> None:
        split = data.validation
        batch_size = split.at_once(BATCH) if batch_size is None else batch_size
        self._supernet, self._data, self._task, self._batch_size = supernet, data, task, batch_size
        self._calibration = calibration
        metrics = as_json({metric.name: (metric.statistics, metric.value) for metric in task.metrics})
        seen = (contents_of(data).digests, split.preprocessing, metrics)
        self.digest = f"{supernet.digest}-{settings_digest(*seen, calibration, batch_size)}"
        self.cache = ScoreCache(cache / f"{self.digest}.jsonl") if cache is not None else None

    def __call__(self, arch: Arch) -> Evaluation:
        """Returns the Evaluation of `arch`.

        Raises:
            InvalidInput: the subnet returns NaN or infinity, or a metric does.
        """
        known = self.cache.get(arch) if self.cache is not None else None
        if known is not None:
            return Evaluation(known, 0.0, cached=True)
        evaluation = self.evaluated_now(arch)
        self.keep(arch, evaluation)
        return evaluation

    def keep(self, arch: Arch, evaluation: Evaluation) -> None:
        """Puts an Evaluation in the cache, if there is one that has not got it."""
        if self.cache is not None and self.cache.get(arch) is None:
            self.cache.put(arch, evaluation)

    def evaluated_now(self, arch: Arch) -> Evaluation:
        """Returns the Evaluation of `arch` without the cache.

        Raises:
            InvalidInput: as a call.
        """
        start = time.perf_counter()
        with torch.no_grad():
            view = calibrate(self._supernet.subnet(arch), resized(self._calibration, arch), self._batch_size)
            batches = resized(self._data, arch).validation.in_order(self._batch_size)
            # What is computed anew for each draw of a bootstrap, such as metrics of torchmetrics, is slow for trials.
            measured = scores(view, batches, self._task, standard_errors="quick")
        return Evaluation(measured, time.perf_counter() - start)


def held_out_scores(
    supernet: Supernet, arch: Arch, data: Dataset, task: Task, calibration: Tensor | Inputs | Selection
) -> Scores:
    """Returns the scores of `arch` on the validation and the test split, at its resolution.

    `calibration` are training images (N, C, H, W) for the norm statistics.
    """
    net, data = calibrate(supernet.subnet(arch), resized(calibration, arch)), resized(data, arch)
    return held_out(net, data, task)


ENDS = {"largest": "the largest subnet", "smallest": "the smallest subnet"}  # by their names in rows of a history


def supernet_card(
    supernet: ofa.Supernet,
    data: Dataset,
    task: Task,
    calibration_images: CalibrationExamples,
    config_hash: str,
    seconds: float,
) -> SupernetCard:
    """Returns the card of a supernet, its largest and its smallest subnet evaluated.

    Args:
        task: what it learned.
        calibration_images: training images that their norm statistics come from; "auto": as many as the card says.
        config_hash: of the configuration that the supernet can be made again of.
        seconds: that its training took.
    """
    size = calibration_size(supernet, data)
    images = data.calibration_source(size.examples if calibration_images == AUTO else calibration_images)
    ends = {"largest": supernet.space.largest, "smallest": supernet.space.smallest}
    by_name = {name: held_out_scores(supernet, arch, data, task, images) for name, arch in ends.items()}
    baseline, metrics = baseline_of(task, data), metrics_of(task)
    constant = None if baseline is None else baseline.validation
    warnings = [
        line for name, each in by_name.items() for line in no_better(ENDS[name], metrics[0], each.validation, constant)
    ]
    subnets = supernet.space.size
    return SupernetCard(
        digest=supernet.digest,
        space_digest=supernet.space.digest,
        config_hash=config_hash,
        subnets=subnets if subnets < 2**53 else float(min(subnets, 10**308)),
        space=tuple(SpaceChoice(**choice) for choice in supernet.space.to_dict()),
        metrics=metrics,
        scores=EndScores(**by_name),
        baseline=baseline,
        warnings=tuple(warnings),
        seconds=seconds,
        calibration=CalibrationFacts(**vars(size)),
    )
