"""Tuner: fine-tunes the candidates of one search; one that came to its end is not made again."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from omegaconf import DictConfig
from torch import Tensor, nn

import ofa
from search.candidate import Candidate
from search.evaluation import Evaluation
from search.stages import hash_of
from search.trained import Trained
from search.tuning.searched_keys import SearchedKeys, with_settings
from search.tuning.start_weights import StartWeights
from search.tuning.tune import Gate, Tuned, TuningSettings, tune, tuning_settings
from search.tuning.tuned_cache import TunedCache

SHOWN = ("epoch", "loss", "accuracy", "density")  # of a row of a training


class Tuner:
    """Fine-tunes candidates as a configuration and their settings say.

    Args:
        config: of the search, unresolved: a candidate's settings are put in it first.
        calibration: training images (N, C, H, W) for norm statistics.
    """

    def __init__(
        self,
        trained: Trained,
        config: DictConfig,
        keys: SearchedKeys,
        weights: StartWeights,
        cache: TunedCache,
        calibration: Tensor,
    ) -> None:
        self._trained, self._config, self._keys = trained, config, keys
        self._weights, self._cache, self._calibration = weights, cache, calibration

    def __call__(self, candidate: Candidate, gate: Gate) -> Evaluation:
        """Returns the Evaluation of a candidate: accuracy on validation, and its bytes without zeros.

        Raises:
            InvalidInput: settings that do not fit together, or a loss that is not finite.
        """
        settings = self.settings(candidate)
        digest = self.digest(candidate, settings)
        if (known := self._cache.get(digest)) is not None:
            for row in known.history:
                if row["epoch"] < settings.epochs and not gate(int(row["epoch"]), float(row["accuracy"])):
                    return Evaluation(row["accuracy"], 0.0, True, stopped_at=int(row["epoch"]))
            return known
        tuned = self.tune(candidate, settings, gate)
        rows = tuple({key: row[key] for key in SHOWN if key in row} for row in tuned.history)
        if tuned.model is None:
            return Evaluation(tuned.accuracy, tuned.seconds, history=rows, stopped_at=int(rows[-1]["epoch"]))
        evaluation = Evaluation(tuned.accuracy, tuned.seconds, figures={"bytes": float(tuned.bytes)}, history=rows)
        self._cache.put(digest, evaluation)
        return evaluation

    def settings(self, candidate: Candidate) -> TuningSettings:
        """Returns how a candidate is fine-tuned."""
        config = with_settings(self._config, self._keys, candidate.values)
        return tuning_settings(config, self._trained.config["data"])

    def digest(self, candidate: Candidate, settings: TuningSettings) -> str:
        """Returns 16 hex digits of all that decides what comes out."""
        return hash_of(
            {
                "supernet": self._trained.digest,
                "data": self._trained.config["data"],
                "arch": candidate.arch.to_dict(),
                "settings": settings.decides,
                "calibration": len(self._calibration),
            }
        )

    def tune(self, candidate: Candidate, settings: TuningSettings, gate: Gate | None = None, **options: Any) -> Tuned:
        """Returns what fine-tuning a candidate gives; `options` as `search.tuning.tune.tune`."""
        return tune(
            candidate.arch,
            settings,
            self._weights,
            self._trained.data,
            seed=int(self._config.seed),
            teacher=self._teacher if settings.recipe.distill else None,
            gate=gate,
            **options,
        )

    @cached_property
    def _teacher(self) -> nn.Module:
        """The largest subnet, which distillation learns from."""
        supernet = self._trained.supernet
        return ofa.calibrate(supernet.extract(supernet.space.largest), self._calibration).eval()
