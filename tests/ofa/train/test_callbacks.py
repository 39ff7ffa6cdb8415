"""The callbacks of the training: what progress shows, and when accuracy is measured."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from ofa.train import Event, TrainSettings, progress_rows, train_network
from ofa.train.callbacks import is_due


def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))


SETTINGS = TrainSettings(optimizer=partial(torch.optim.SGD, lr=0.1), epochs=3, batch_size=32, validate_every=1)


def test_progress_shows_each_finished_row_with_the_whole_length(data):
    shown = []
    history = train_network(net(), data, SETTINGS, callbacks=[progress_rows(shown.append)]).history
    finished = [row for row in shown if "scores" in row]
    assert finished == [row | {"epochs": 3, "total_steps": 9} for row in history]


def test_progress_within_an_epoch_has_the_loss_so_far(data, monkeypatch):
    monkeypatch.setattr("ofa.train.callbacks._PROGRESS_SECONDS", 0.0)
    shown, losses = [], []

    def keep(event, state):
        if event is Event.STEP:
            losses.append(list(state.progress.epoch_losses))

    train_network(net(), data, SETTINGS, callbacks=[progress_rows(shown.append), keep])
    assert [row["step"] for row in shown] == list(range(1, 10))
    assert [row["epoch"] for row in shown] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert shown[1]["loss"] == pytest.approx(sum(losses[1]) / 2)


@pytest.mark.parametrize(
    ("epochs", "every", "due"),
    [(6, 4, [2, 4, 6]), (7, 0, []), (1, 5, [1]), (5, 2, [2, 4, 5])],
)
def test_accuracy_is_measured_at_a_third_regularly_and_at_the_end(epochs, every, due):
    assert [epoch for epoch in range(1, epochs + 1) if is_due(epoch, epochs, every)] == due
