"""tune: one candidate fine-tuned and pruned as its settings say."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.evaluate import evaluate
from ofa.prune.initializers import Initializer
from ofa.train import train_network
from search.app.build import make_partial, plain, positive
from search.pruning.dense import HOW_TO_RUN, training_settings
from search.pruning.job import with_rate
from search.pruning.recipe import Recipe, pruner_of, read_recipe
from search.pruning.retraining import finished, retrain
from search.tuning.start_weights import INHERIT, StartWeights, check_start

# Says after an epoch, with the accuracy on validation then (a fraction), whether it is worth going on.
Gate = Callable[[int, float], bool]


@dataclass(frozen=True)
class TuningSettings:
    """How a candidate is fine-tuned: what its configuration comes to.

    Attributes:
        start: the weights to begin with, see `search.tuning.start_weights`.
        initializer: of fresh weights; None as the model draws them.
        recipe: of pruning; its `start` does not count.
        rounds_before: events of pruning before the first step.
        training: keyword arguments of `train_network`.
        decides: all of it as plain values, which name the outcome.
    """

    start: str
    initializer: Initializer | None
    recipe: Recipe
    rounds_before: int
    training: Mapping[str, Any]
    decides: Mapping[str, Any]

    @property
    def epochs(self) -> int:
        """How long it takes."""
        return int(self.training["epochs"])


@dataclass(frozen=True)
class Tuned:
    """What came out.

    Attributes:
        model: plain and full-size, its removed weights at zero; None where a gate ended it before the last epoch.
        masks: bool, True is kept, by name of the parameter.
        accuracy: on validation after the last epoch that was made, a fraction.
        bytes: predicted size on disk, zeros left out.
        density: fraction of the weights that are kept.
        history: one row an epoch, with its accuracy on validation.
    """

    model: nn.Module | None
    masks: Mapping[str, Tensor]
    accuracy: float
    bytes: int
    density: float
    history: tuple[Mapping[str, Any], ...]
    seconds: float


def tuning_settings(config: DictConfig, data: Mapping[str, Any]) -> TuningSettings:
    """Returns the settings of a candidate's configuration (see `search.tuning.searched_keys.with_settings`).

    Args:
        data: the `data` group that the supernet was trained with.

    Raises:
        InvalidInput: a setting out of range, or a method of pruning that is more than one training.
    """
    values = plain(config, "initializer", "dense", "prune", "seed")
    tuning = plain(config, "search")["search"]["tuning"]
    method = make_partial("prune.method", values["prune"]["method"])
    if method.func is not retrain or method.keywords.get("sensitivity_drop") is not None:
        raise InvalidInput("a search fine-tunes by prune/method=retrain, without a sensitivity scan")
    retraining, augment = values["prune"]["retraining"], tuning.get("augment") or data.get("augment")
    training = training_settings(values["dense"], augment)
    training["epochs"] = positive("search.tuning.epochs", tuning["epochs"])
    training["optimizer"] = with_rate(training["optimizer"], retraining["learning_rate"])
    for key in HOW_TO_RUN:
        training.pop(key, None)
        values["dense"].pop(key, None)
    start = check_start(tuning["start"])
    initializer = values.get("initializer")
    decides = {**values, "start": start, "augment": augment, "epochs": training["epochs"]}
    if start == "rewind":
        decides["rewind"] = tuning["rewind"]
    return TuningSettings(
        start=start,
        initializer=make_partial("initializer", initializer) if initializer else None,
        recipe=read_recipe(values["prune"]),
        rounds_before=int(method.keywords.get("rounds_before", 0)),
        training=training,
        decides=decides,
    )


def longer(settings: TuningSettings, epochs: int) -> TuningSettings:
    """Returns the settings with another number of epochs."""
    decides = {**settings.decides, "epochs": epochs}
    return replace(settings, training={**settings.training, "epochs": epochs}, decides=decides)


class _GivenUp(Exception):
    """Ends a training from within its progress."""


def tune(
    arch: Arch,
    settings: TuningSettings,
    weights: StartWeights,
    data: Dataset,
    *,
    seed: int,
    teacher: nn.Module | None = None,
    gate: Gate | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[Mapping[str, Any]], None] | None = None,
) -> Tuned:
    """Returns the outcome of fine-tuning the subnet of `arch`.

    Args:
        teacher: what logits are learned from, where the recipe distills.
        gate: asked after every epoch; where it says no, the training ends there.
        checkpoint: as for `train_network`, for a training that can be cut off.

    Raises:
        InvalidInput: a loss that is not finite, or settings that do not fit the network.
    """
    started = time.perf_counter()
    net = weights.network(arch, settings.start, settings.initializer if settings.start != INHERIT else None, seed)
    recipe, rows = settings.recipe, list[Mapping[str, Any]]()

    def follow(row: dict[str, Any]) -> None:
        if progress is not None:
            progress(row)
        if "accuracy" not in row or (rows and row["epoch"] <= rows[-1]["epoch"]):
            return
        rows.append(row)
        if gate is not None and row["epoch"] < settings.epochs and not gate(int(row["epoch"]), float(row["accuracy"])):
            raise _GivenUp

    pruner = pruner_of(recipe, data.input_shape, seed, settings.epochs, rounds_before=settings.rounds_before)
    try:
        training = train_network(
            net,
            data,
            **settings.training,
            seed=seed,
            prune=pruner,
            scoring=recipe.scoring,
            teacher=teacher if recipe.distill else None,
            distill=recipe.distill,
            temperature=recipe.temperature,
            validate_every=1,
            checkpoint=checkpoint,
            progress=follow,
        )
    except _GivenUp:
        return Tuned(None, {}, float(rows[-1]["accuracy"]), 0, 1.0, tuple(rows), time.perf_counter() - started)
    assert training.pruner is not None
    outcome = finished(training.pruner, replace(recipe, slim=False), training.history)
    counted = [outcome.masks[name] for name in outcome.weights]
    kept, all_weights = (sum(int(one) for one in counts) for counts in zip(*map(_kept_of, counted), strict=True))
    return Tuned(
        model=outcome.model.to("cpu").eval(),
        masks={name: mask.to("cpu") for name, mask in outcome.masks.items()},
        accuracy=evaluate(outcome.model, data.validation.in_order()),
        bytes=int(outcome.facts["predicted_bytes"]),
        density=kept / all_weights,
        history=tuple(training.history),
        seconds=time.perf_counter() - started,
    )


def _kept_of(mask: Tensor) -> tuple[int, int]:
    return int(mask.sum()), mask.numel()
