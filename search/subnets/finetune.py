"""Fine-tuning of one subnet to the end, alone: with the task, a teacher, an average of its weights, and pruning."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor, nn

from ofa._calibrate import calibrate
from ofa._cost import cost
from ofa.arch import Arch
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.loggers import Logger
from ofa.resolution import resized
from ofa.train import Distillation, OptimizerBuilder, Schedule, Teacher, TrainSettings, logged, train_network
from search.config.rules import CalibrationExamples
from search.config.training import Finetuning
from search.config.tuning import Pruning
from search.objects import make_partial
from search.pruning.job import with_rate
from search.pruning.recipe import Recipe, pruner_of, read_recipe
from search.pruning.retraining import finished, retrain
from search.run.progress import say
from search.run.scores import Gain, Scores
from search.run.training_cards import Epoch, TrainingStep, history_of
from search.training.judging import gain_of, judged, scores_of
from search.training.settings import UNKNOWN_TRAINING, supernet_settings, try_optimizer
from search.training.teachers import check_distillation
from search.training.trained import Trained, showing

# The keys of a fine-tuning that take the place of the supernet's, where they are set.
_OTHERWISE = ("batch_size", "gradient_clip", "accumulation", "precision")
_OWN = (
    "epochs",
    "minutes",
    "compile",
    "ema",
    "layer_decay",
    "patience",
    "validate_every",
    "checkpoint_seconds",
    "device",
)


# Makes the teacher of a subnet, from the subnet before its first step and its data.
MakeTeacher: TypeAlias = Callable[[nn.Module, Dataset], nn.Module | Teacher]


@dataclass(frozen=True)
class FinetuneSettings:
    """How subnets are fine-tuned, made from a configuration.

    Attributes:
        training: of each subnet.
        distill: share of the loss against the teacher's outputs.
        temperature: of the distillation; None: the task's.
        calibration_images: training images that norm statistics come from at the start.
        recipe: of pruning; None: nothing is removed.
        rounds_before: pruning events before the first step.
    """

    training: TrainSettings
    distill: float
    temperature: float | None
    calibration_images: CalibrationExamples
    recipe: Recipe | None
    rounds_before: int = 0


@dataclass(frozen=True)
class Finetuned:
    """The outcome of a fine-tuning.

    Attributes:
        model: plain, on the CPU in eval mode; removed weights are zero.
        masks: bool, True is kept, by name of the parameter; None where nothing was pruned.
        density: share of the weights that is kept.
        bytes: predicted size on disk, zeros left out.
        scores, raw: on validation and test, after it and before.
        gain: what it changed of the objective, on the same examples.
        history: one row per epoch.
    """

    model: nn.Module
    masks: Mapping[str, Tensor] | None
    density: float
    bytes: int
    scores: Scores
    raw: Scores
    gain: Gain
    history: tuple[Epoch, ...]
    seconds: float


def finetune_settings(request: Finetuning, prune: Pruning | None, trained: Trained, seed: int) -> FinetuneSettings:
    """Returns how the subnets of a trained supernet are fine-tuned.

    Raises:
        InvalidInput: arguments that a `_target_` does not take, a rate that cannot be scaled, a task that knows no
            distillation, or a method of pruning that is more than one training.
    """
    check_distillation(trained.task, request.distill, "finetune.distill")
    training = adapted(supernet_settings(trained.supernet.model, trained.config, seed), request)
    if trained.config["train"] is None and request.optimizer is None:
        say(
            "fine-tuning: how the supernet was trained is not known, so AdamW is taken, with the keys of "
            f"train={UNKNOWN_TRAINING}; finetune.optimizer is another one"
        )
    if prune is None:
        return FinetuneSettings(training, request.distill, request.temperature, request.calibration_images, None)
    method = make_partial("prune.method", prune.method)
    if method.func is not retrain or method.keywords.get("sensitivity_drop") is not None:
        raise InvalidInput("ofa finetune prunes by prune/method=retrain, without a sensitivity scan")
    if training.patience is not None:
        raise InvalidInput(
            f"finetune.patience={training.patience}: the best weights of a network that is being pruned are not its "
            "last, sparse ones; leave it out, or prune"
        )
    rounds = int(method.keywords.get("rounds_before", 0))
    recipe = read_recipe(prune)
    return FinetuneSettings(
        replace(training, scoring=recipe.scoring),
        request.distill,
        request.temperature,
        request.calibration_images,
        recipe,
        rounds,
    )


def adapted(training: TrainSettings, request: Finetuning) -> TrainSettings:
    """Returns the settings of an earlier training with what a fine-tuning changes of them.

    Raises:
        InvalidInput: arguments that a `_target_` does not take, or a rate that cannot be scaled.
    """
    optimizer, schedule = own_parts(request)
    changes: dict[str, Any] = {name: getattr(request, name) for name in _OWN}
    changes |= {name: value for name in _OTHERWISE if (value := getattr(request, name)) is not None}
    return replace(
        training,
        optimizer=with_rate(
            optimizer or training.optimizer, request.learning_rate, "finetune.learning_rate", "the optimizer's lr"
        ),
        schedule=schedule,
        **changes,
    )


def own_parts(request: Finetuning) -> tuple[OptimizerBuilder | None, Schedule]:
    """Returns the optimizer of a fine-tuning, None for that of the supernet, and its schedule.

    Raises:
        InvalidInput: arguments that they do not take.
    """
    schedule: Schedule = make_partial("finetune.schedule", request.schedule)
    if request.optimizer is None:
        return None, schedule
    optimizer = make_partial("finetune.optimizer", request.optimizer)
    try_optimizer(optimizer, "finetune.optimizer")
    return optimizer, schedule


def finetune(
    arch: Arch,
    trained: Trained,
    settings: FinetuneSettings,
    teacher: MakeTeacher | None,
    checkpoint: Path,
    progress: Callable[[TrainingStep], None] | None = None,
    loggers: Sequence[Logger] = (),
) -> Finetuned:
    """Returns the subnet of `arch` after training it on from the supernet's weights.

    Args:
        teacher: makes the network whose outputs are learned; it gets images of the subnet's resolution. None: there is
            none.
        checkpoint: a file that is resumed from, if there is one, with the same bits as if it had never stopped.

    Raises:
        InvalidInput: settings that do not fit the network, or a loss that is not finite.
    """
    started = time.perf_counter()
    data = resized(trained.data, arch)
    images = trained.calibration(settings.calibration_images)
    net = calibrate(trained.supernet.extract(arch), resized(images, arch))
    before = judged(net, data, trained.task)
    recipe, training = settings.recipe, settings.training
    pruner = None
    if recipe is not None:
        rounds = settings.rounds_before
        pruner = pruner_of(recipe, data, training.seed, training.epochs, rounds_before=rounds)
    taught = teacher(net, data) if teacher is not None and settings.distill > 0 else None
    outcome = train_network(
        net,
        data,
        training,
        task=trained.task,
        prune=pruner,
        distillation=None if taught is None else Distillation(taught, settings.distill, settings.temperature),
        checkpoint=checkpoint,
        callbacks=[*([] if progress is None else [showing(progress)]), logged(loggers)],
    )
    model, masks, density = net, None, 1.0
    size = int(cost(trained.supernet, [arch])["bytes"][0])
    if recipe is not None:
        assert outcome.pruner is not None
        pruned = finished(outcome.pruner, replace(recipe, slim=False), outcome.history)
        model, masks = pruned.model, {name: mask.to("cpu") for name, mask in pruned.masks.items()}
        counted = [masks[name] for name in pruned.weights]
        density = sum(int(mask.sum()) for mask in counted) / sum(mask.numel() for mask in counted)
        size = pruned.facts.predicted_bytes
    model = model.to("cpu").eval()
    after = judged(model, data, trained.task)
    return Finetuned(
        model=model,
        masks=masks,
        density=density,
        bytes=size,
        scores=scores_of(after),
        raw=scores_of(before),
        gain=gain_of(after, before),
        history=history_of(outcome.history).rows,
        seconds=time.perf_counter() - started,
    )
