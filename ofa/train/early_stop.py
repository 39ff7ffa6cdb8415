"""Early stopping: a training ends when its held-out score has stopped rising, with the best weights it had."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from ofa.task import Metric
from ofa.train.callbacks import averaged
from ofa.train.loop import Event
from ofa.train.state import TrainState


class EarlyStop:
    """A callback that ends a training after `patience` validations without a better score; it follows `validation`.

    The score is the metric's mean over the networks that the row of an epoch has scores of, which are the largest and
    the smallest subnet of a supernet. `restore` puts the best weights into the model when the training has ended.
    Checkpoints include both.

    Source: Prechelt 1998, "Early stopping - but when?".
    """

    def __init__(self, metric: Metric, patience: int) -> None:
        self._metric, self._patience = metric, patience
        self._best: float | None = None
        self._since = 0
        self._judged = 0  # epochs; the row of one is made again where an error came before it was whole
        self._weights: dict[str, Tensor] = {}

    def __call__(self, event: Event, state: TrainState) -> None:
        """Compares at the end of an epoch; stops after its step, and at once where an earlier process had stopped."""
        if event is Event.EPOCH and "scores" in state.row and state.epoch > self._judged:
            self._judge(state)
        if event in (Event.START, Event.STEP) and self._since >= self._patience:
            state.stop()

    def _judge(self, state: TrainState) -> None:
        self._judged = state.epoch
        quality = self._metric.quality(_mean(state.row["scores"], self._metric))
        if self._best is None or quality > self._best:
            self._best, self._since = quality, 0
            with averaged(state):
                self._weights = {name: value.detach().cpu().clone() for name, value in state.model.state_dict().items()}
        else:
            self._since += 1
            if self._since >= self._patience and state.epoch < state.epochs:
                state.row.setdefault("ended", self._text(state))

    def _text(self, state: TrainState) -> str:
        count = f"{self._since} validation{'' if self._since == 1 else 's'}"
        return f"{count} (patience) without a better {self._metric.title}, after epoch {state.epoch} of {state.epochs}"

    def restore(self, model: nn.Module) -> None:
        """Puts the weights of the best score into the model; those it has stay where nothing was scored."""
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if name in self._weights:
                    value.copy_(self._weights[name])

    def state_dict(self) -> dict[str, Any]:
        """Returns the best score and its weights, and how many validations were no better since."""
        return {"best": self._best, "since": self._since, "judged": self._judged, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts back what `state_dict` returned."""
        self._best, self._since, self._judged = state["best"], int(state["since"]), int(state["judged"])
        self._weights = dict(state["weights"])


def _mean(scores: Mapping[str, Mapping[str, float]], metric: Metric) -> float:
    return fmean(of_network[metric.name] for of_network in scores.values())
