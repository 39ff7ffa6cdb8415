"""Fine-tuning and pruning one candidate according to its settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from ofa.arch import Arch
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.precisions import int8_layers
from ofa.prune.initializers import Initializer
from ofa.prune.prune_report import predicted_bytes
from ofa.quantization import INT8, RANGE_EXAMPLES, simulated
from ofa.records import Object
from ofa.resolution import resized
from ofa.task import Score, Task, scores
from ofa.train import Distillation, Event, TrainSettings, TrainState, train_network
from ofa.train.callbacks import NETWORK
from search.candidates.space import Gate
from search.config.request import plain
from search.config.tuning import CandidateRequest, Data
from search.evaluation.start_weights import INHERIT, StartWeights
from search.objects import make_partial
from search.pruning.job import with_rate
from search.pruning.recipe import Recipe, pruner_of, read_recipe
from search.pruning.retraining import finished, retrain
from search.run.scores import Values
from search.run.training_cards import Epoch, TrainingStep, history_of
from search.training.settings import train_settings
from search.training.trained import showing


@dataclass(frozen=True)
class TuningSettings:
    """How a candidate is fine-tuned, made from its configuration.

    Attributes:
        start: the weights to start from, see `search.evaluation.start_weights`.
        initializer: draws fresh weights; None: the model's own.
        recipe: of pruning; its `start` is not used.
        rounds_before: pruning events before the first step.
        training: settings of the training, except its seed.
        task: what is learned.
        decides: everything that determines the outcome, as plain values; their digest identifies it.
    """

    start: str
    initializer: Initializer | None
    recipe: Recipe
    rounds_before: int
    training: TrainSettings
    task: Task
    decides: Object

    @property
    def epochs(self) -> int:
        """The number of epochs of the training."""
        return self.training.epochs


@dataclass(frozen=True)
class TunedNetwork:
    """The outcome of a fine-tuning.

    Attributes:
        model: plain and full-size, with removed weights at zero; None where a gate stopped it before the last epoch.
        masks: bool, True is kept, by name of the parameter.
        scores: on validation after the last epoch that was trained, by metric; values alone where a gate stopped it. Of
            a network for int8 they are those that it has there.
        bytes: predicted size on disk, zeros left out; of weights in the precision that it is for.
        density: fraction of the weights that are kept.
        history: with the scores on validation of every epoch.
    """

    model: nn.Module | None
    masks: Mapping[str, Tensor]
    scores: Values
    bytes: int
    density: float
    history: tuple[Epoch, ...]
    seconds: float


def tuning_settings(request: CandidateRequest, data: Data, task: Task) -> TuningSettings:
    """Returns how a candidate is fine-tuned (see `search.config.searched_keys.candidate_request`).

    Args:
        data: the data that the supernet was trained with.
        task: what it learned; candidates learn the same.

    Raises:
        InvalidInput: a method of pruning that is more than one training, or arguments that a `_target_` does not take.
    """
    tuning, recipe = request.search.tuning, request.prune
    method = make_partial("prune.method", recipe.method)
    if method.func is not retrain or method.keywords.get("sensitivity_drop") is not None:
        raise InvalidInput("a search fine-tunes by prune/method=retrain, without a sensitivity scan")
    augment = tuning.augment or data.augment
    chosen = tuning.groups_in_int8
    layers = int8_layers(tuning.groups, chosen) if chosen else None
    precision = INT8 if chosen else tuning.precision
    training = train_settings(request.dense, augment, request.seed, "dense")
    training = replace(
        training,
        epochs=tuning.epochs,
        minutes=None,  # candidates are compared after the same steps
        optimizer=with_rate(training.optimizer, recipe.retraining.learning_rate),
        validate_every=1,
        patience=None,  # of the dense training alone: the last weights are those that are pruned
        checkpoint_seconds=TrainSettings.checkpoint_seconds,
        precision=training.precision if precision == "float32" else precision,
        int8_layers=layers,
    )
    decides = {
        **plain(request, "initializer", "prune", "seed"),
        "dense": request.dense.decides,
        **{"start": tuning.start, "augment": augment, "epochs": tuning.epochs},
    }
    if precision == INT8:
        decides["precision"] = INT8 if layers is None else [[list(each.match), each.int8] for each in layers.groups]
    if tuning.start == "rewind":
        decides["rewind"] = tuning.rewind
    return TuningSettings(
        start=tuning.start,
        initializer=make_partial("initializer", request.initializer) if request.initializer else None,
        recipe=replace(read_recipe(recipe), task=task),
        rounds_before=int(method.keywords.get("rounds_before", 0)),
        training=training,
        task=task,
        decides=decides,
    )


def longer(settings: TuningSettings, epochs: int) -> TuningSettings:
    """Returns the settings with another number of epochs."""
    decides = {**settings.decides, "epochs": epochs}
    return replace(settings, training=replace(settings.training, epochs=epochs), decides=decides)


def tune(
    arch: Arch,
    settings: TuningSettings,
    weights: StartWeights,
    data: Dataset,
    metric: str,
    *,
    seed: int,
    teacher: nn.Module | None = None,
    gate: Gate | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[TrainingStep], None] | None = None,
) -> TunedNetwork:
    """Returns the outcome of fine-tuning the subnet of `arch`.

    Args:
        data: at the full resolution; the subnet gets images of its own.
        metric: the name of that which the gate is asked with.
        teacher: the network whose logits are learned, where the recipe distills; it gets the same images.
        gate: called after every epoch; the training stops where it returns False.
        checkpoint: as for `train_network`, for a training that may be interrupted.

    Raises:
        InvalidInput: a loss that is not finite, or settings that do not fit the network.
    """
    started = time.perf_counter()
    data = resized(data, arch)
    net = weights.network(arch, settings.start, settings.initializer if settings.start != INHERIT else None, seed)
    recipe = settings.recipe

    def ask_gate(event: Event, state: TrainState) -> None:
        if event is Event.STEP and state.at_epoch_end and gate is not None and state.epoch < settings.epochs:
            if not gate(state.epoch, float(state.history[-1]["scores"][NETWORK][metric])):
                state.stop()

    pruner = pruner_of(recipe, data, seed, settings.epochs, rounds_before=settings.rounds_before)
    distillation = None
    if recipe.distill:
        if teacher is None:
            raise InvalidInput(f"distill={recipe.distill!r} learns from a teacher: give teacher=, a trained network")
        distillation = Distillation(teacher, recipe.distill, recipe.temperature)
    task = settings.task
    training = train_network(
        net,
        data,
        replace(settings.training, seed=seed, scoring=recipe.scoring),
        task=task,
        prune=pruner,
        distillation=distillation,
        checkpoint=checkpoint,
        callbacks=[*([] if progress is None else [showing(progress)]), ask_gate],
    )
    history = history_of(training.history).rows
    if history[-1].epoch < settings.epochs:
        reached = training.history[-1]["scores"][NETWORK]
        known = {name: Score(value, len(data.validation)) for name, value in reached.items()}
        return TunedNetwork(None, {}, known, 0, 1.0, history, time.perf_counter() - started)
    assert training.pruner is not None
    outcome = finished(training.pruner, replace(recipe, slim=False), training.history)
    counted = [outcome.masks[name] for name in outcome.weights]
    live, all_weights = (sum(int(count) for count in counts) for counts in zip(*map(_kept_of, counted), strict=True))
    judged, size = outcome.model.to("cpu").eval(), outcome.facts.predicted_bytes
    if settings.training.precision == INT8:
        layers = settings.training.int8_layers
        judged = simulated(outcome.model, data.calibration(RANGE_EXAMPLES), layers)
        for name, (left, count) in zip(outcome.weights, map(_kept_of, counted), strict=True):
            if layers is None or layers.holds(name.rpartition(".")[0]):
                each = outcome.model.get_parameter(name).element_size()
                size += predicted_bytes(count, left, 1) - predicted_bytes(count, left, each)
    return TunedNetwork(
        model=outcome.model,
        masks={name: mask.to("cpu") for name, mask in outcome.masks.items()},
        scores=scores(judged, data.validation.in_order(), task),
        bytes=size,
        density=live / all_weights,
        history=history,
        seconds=time.perf_counter() - started,
    )


def _kept_of(mask: Tensor) -> tuple[int, int]:
    return int(mask.sum()), mask.numel()
