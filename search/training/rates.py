"""The learning rate that a training has found, on the terminal."""

from __future__ import annotations

from ofa.train import Callback, Event, TrainSettings, TrainState
from ofa.train.rate_test import is_auto
from search.run.progress import say


def rate_said(settings: TrainSettings) -> list[Callback]:
    """Returns a callback that prints the rate before the first step of a process; none where the rate is given."""
    return [_say] if is_auto(settings.optimizer) else []


def _say(event: Event, state: TrainState) -> None:
    if event is Event.START:
        say(f"train: learning rate {max(state.learning_rates):.2g}, found by a range test")
