"""Tuner: fine-tunes the candidates of one search; a complete fine-tuning is cached and not repeated."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

import ofa
from ofa.arch import Arch
from ofa.records import convert
from ofa.resolution import KEY as RESOLUTION
from ofa.task import Score
from ofa.train.callbacks import NETWORK
from search.candidates.figures import objective_metric, objective_names
from search.candidates.space import Candidate, Evaluation, Gate, TuningEpoch
from search.config.read import converted
from search.config.search import SearchRequest
from search.config.searched_keys import SearchedKeys, candidate_request
from search.config.tuning import Data
from search.evaluation.caches import TunedCache
from search.evaluation.start_weights import StartWeights
from search.evaluation.tune import TunedNetwork, TuningSettings, tune, tuning_settings
from search.run.scores import metrics_of, with_first
from search.run.stages import hash_of
from search.run.training_cards import Epoch
from search.training.trained import Trained


class Tuner:
    """Fine-tunes candidates according to a configuration and their settings.

    Args:
        request: the search, whose configuration a candidate's settings are merged into.
        calibration: training images (N, C, H, W) for norm statistics.
    """

    def __init__(
        self,
        trained: Trained,
        request: SearchRequest,
        keys: SearchedKeys,
        weights: StartWeights,
        cache: TunedCache,
        calibration: Tensor,
    ) -> None:
        self._trained, self._keys = trained, keys
        self._composed, self._seed = request.composed, request.seed
        self._weights, self._cache, self._calibration = weights, cache, calibration
        self._teachers: dict[Arch, nn.Module] = {}
        names = objective_names(request.search.objective, request.latency_figures)
        self._metric = objective_metric(names, metrics_of(trained.task))

    def __call__(self, candidate: Candidate, gate: Gate) -> Evaluation:
        """Returns the Evaluation of a candidate: scores on validation, and its bytes without zeros.

        Raises:
            InvalidInput: settings that do not fit together, or a loss that is not finite.
        """
        settings = self.settings(candidate)
        digest = self.digest(candidate, settings)
        if (known := self._cache.get(digest)) is not None:
            for number, row in enumerate(known.history, start=1):
                if row.epoch < settings.epochs and not gate(row.epoch, row.value):
                    scores = {self._metric.name: Score(row.value, known.score.examples)}
                    return Evaluation(scores, 0.0, True, history=known.history[:number], stopped_at=row.epoch)
            return known
        tuned = self.tune(candidate, settings, gate)
        rows = convert([self._epoch(epoch) for epoch in tuned.history], tuple[TuningEpoch, ...], "the history")
        scores = with_first(tuned.scores, self._metric.name)
        if tuned.model is None:
            return Evaluation(scores, tuned.seconds, history=rows, stopped_at=rows[-1].epoch)
        evaluation = Evaluation(scores, tuned.seconds, figures={"bytes": float(tuned.bytes)}, history=rows)
        self._cache.put(digest, evaluation)
        return evaluation

    def settings(self, candidate: Candidate) -> TuningSettings:
        """Returns how a candidate is fine-tuned."""
        request = candidate_request(self._composed, self._keys, candidate.values)
        return tuning_settings(request, converted(self._trained.config["data"], Data, "data"), self._trained.task)

    def digest(self, candidate: Candidate, settings: TuningSettings) -> str:
        """Returns 16 hex digits of everything that determines the outcome."""
        return hash_of(
            {
                "supernet": self._trained.digest,
                "data": self._trained.config["data"],
                "task": self._trained.config["task"],
                "arch": candidate.arch.to_dict(),
                "settings": settings.decides,
                "metric": self._metric.name,
                "calibration": len(self._calibration),
            }
        )

    def tune(
        self, candidate: Candidate, settings: TuningSettings, gate: Gate | None = None, **options: Any
    ) -> TunedNetwork:
        """Returns the outcome of fine-tuning a candidate; `options` as for `search.evaluation.tune.tune`."""
        return tune(
            candidate.arch,
            settings,
            self._weights,
            self._trained.data,
            self._metric.name,
            seed=self._seed,
            teacher=self._teacher(candidate.arch) if settings.recipe.distill else None,
            gate=gate,
            **options,
        )

    def _teacher(self, arch: Arch) -> nn.Module:
        """The teacher of distillation: the largest subnet at the resolution of an Arch, whose images it gets."""
        supernet = self._trained.supernet
        resolution = {key: value for key, value in arch.values.items() if key == RESOLUTION}
        largest = supernet.space.arch(resolution)
        if largest not in self._teachers:
            images = ofa.resized(self._calibration, largest)
            self._teachers[largest] = ofa.calibrate(supernet.extract(largest), images).eval()
        return self._teachers[largest]

    def _epoch(self, row: Epoch) -> dict[str, Any]:
        """The fields of a `TuningEpoch`."""
        value = row.value(NETWORK, self._metric.name)
        return {"epoch": row.epoch, "loss": row.loss, "value": value, "density": row.density}
