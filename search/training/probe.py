"""A probe of a supernet's training: is its largest subnet behind the same network that is trained alone for as long?"""

from __future__ import annotations

import copy
from dataclasses import asdict, replace

import ofa
from ofa.data import Dataset, steps_per_epoch
from ofa.records import convert
from ofa.resolution import resized
from ofa.task import Replicates, Task, paired_difference, replicates
from ofa.train import Callback, Event, History, TrainSettings, TrainState, train
from ofa.train.callbacks import averaged
from ofa.train.strategies import single
from search.config.training import SupernetTraining
from search.run.progress import say
from search.run.scores import NOISE, MetricFacts, facts_of
from search.run.training_cards import ProbeFacts

ROW = "probe"  # the key of its result among those of an epoch


def probing(
    supernet: ofa.Supernet, data: Dataset, task: Task, settings: TrainSettings, training: SupernetTraining
) -> Callback:
    """Returns a callback that trains the largest subnet alone once so many epochs have passed, and compares the two.

    The network alone begins with the weights that the supernet has now and has the same batches, optimizer, schedule,
    augmentation and average of weights, and learns from targets. Both have norm statistics measured anew, and scores on
    the same validation examples. The result goes into the row of the epoch, so it is in checkpoints and never made
    twice. What is a warning is printed at once.
    """
    largest, epochs = supernet.space.largest, training.probe_epochs
    other = copy.deepcopy(supernet)  # with the weights that both begin with
    alone_settings = replace(
        settings,
        batches_per_step=1,
        stop_step=epochs * steps_per_epoch(data.train, settings.batch_size),
        validate_every=0,
        patience=None,
        minutes=None,
        compile=False,
    )

    def judged(within: ofa.Supernet) -> Replicates:
        images = resized(data.calibration(settings.calibration_images), largest)
        view = ofa.calibrate(within.subnet(largest), images)
        return replicates(view, resized(data, largest).validation.in_order(), task)

    def probe(event: Event, state: TrainState) -> None:
        if event is not Event.EPOCH or state.epoch != epochs:
            return
        with averaged(state):
            shared = judged(supernet)
        say(f"train: probe: the largest subnet alone for {epochs} epoch{'' if epochs == 1 else 's'}")
        train(other, data, single, alone_settings, task=task)
        alone = judged(other)
        by_name = {"alone": alone.score, "supernet": shared.score, "difference": paired_difference(shared, alone)}
        facts = {"epochs": epochs, "margin": training.probe_margin}
        state.row[ROW] = facts | {name: asdict(score) for name, score in by_name.items()}
        for line in probe_warnings(probe_of([state.row]), facts_of(task.objective), training):
            say(f"train: warning: {line}")

    return probe


def probe_of(history: History) -> ProbeFacts | None:
    """Returns the result of the probe, from the rows of a training; None: there was none."""
    rows = [row[ROW] for row in history if ROW in row]
    return convert(rows[-1], ProbeFacts, "the probe") if rows else None


def probe_warnings(probe: ProbeFacts | None, metric: MetricFacts, training: SupernetTraining) -> list[str]:
    """Returns a line where the supernet's largest is behind by more than the margin, and by more than luck.

    The margin is in points of a metric in percent, and in percent of the score alone of any other. Luck is two standard
    errors of the difference.
    """
    if probe is None:
        return []
    behind = -metric.quality(probe.difference.value)
    luck = NOISE * (probe.difference.standard_error or 0.0)
    whole = 1.0 if metric.unit == "%" else abs(probe.alone.value)
    if behind <= probe.margin / 100 * whole or behind <= luck:
        return []
    return [
        f"the supernet's largest subnet is behind the same network trained alone, {probe.text(metric)}: "
        f"{_remedies(training)}"
    ]


def _remedies(training: SupernetTraining) -> str:
    rate, weight = training.optimizer.get("lr"), training.strategy.get("label_weight")
    remedies = [
        f"another learning rate (train.optimizer.lr={_short(rate)} now)" if isinstance(rate, float | int) else "",
        f"more epochs (train.epochs={training.epochs} now)",
        f"more of the loss from targets (train.strategy.label_weight={_short(weight)} now)"
        if isinstance(weight, float | int) and weight < 1
        else "",
    ]
    return "try " + ", ".join(filter(None, remedies))


def _short(value: float) -> str:
    return f"{value:g}"
