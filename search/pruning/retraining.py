"""The common method: one training under the recipe's pruner."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.evaluate import evaluate
from ofa.prune import Pruner
from ofa.prune.context import Criterion
from ofa.prune.criteria import qualities, sensitivity_scan, std_threshold
from ofa.prune.regularizers import Proximal
from ofa.prune.weights import prunable_weights
from search.pruning.job import Job, Outcome, with_recipe
from search.pruning.recipe import Recipe, pruner_of

CHECKPOINT = "checkpoint.safetensors"
SCAN_SPARSITIES = (0.0, *(round(0.05 * step, 2) for step in range(2, 20)), 0.98)
SCAN_IMAGES = 2000


def retrain(job: Job, *, rounds_before: int = 0, sensitivity_drop: float | None = None) -> Outcome:
    """Returns the network after a training in which the pruner removes what the recipe says.

    Args:
        job: see `Job`.
        rounds_before: events before the first step, instead of a schedule, as SynFlow wants.
        sensitivity_drop: accuracy (a fraction, on the validation split) that each layer alone may lose in a scan,
            which sets the qualities of the criterion `std_threshold`. Source: Han et al. 2015, 1506.02626.
    """
    model = job.start()
    if sensitivity_drop is not None:
        job = with_recipe(job, criterion=_scanned(job, model, sensitivity_drop))
    return train_pruned(job, model, rounds_before=rounds_before)


def _scanned(job: Job, model: nn.Module, drop: float) -> Criterion:
    """The recipe's `std_threshold` with the qualities that a sensitivity scan of the model gives.

    Raises:
        InvalidInput: another criterion, or a drop that is no fraction.
    """
    criterion = job.recipe.criterion
    if getattr(criterion, "func", None) is not std_threshold:
        raise InvalidInput("prune.method.sensitivity_drop sets qualities: add prune/criterion=std_threshold")
    if not 0 <= drop < 1:
        raise InvalidInput(f"prune.method.sensitivity_drop={drop!r} is an accuracy: at least 0 and less than 1")
    images, labels = job.data.validation.take(torch.arange(min(SCAN_IMAGES, len(job.data.validation))))
    weights = prunable_weights(model, job.recipe.keep)
    scan = sensitivity_scan(model, lambda net: evaluate(net, images, labels), SCAN_SPARSITIES, weights=weights)
    return partial(std_threshold, quality=qualities(scan, model, drop))


def train_pruned(
    job: Job, model: nn.Module, *, masks: Mapping[str, Tensor] | None = None, rounds_before: int = 0
) -> Outcome:
    """Returns `model` after a training under the recipe's pruner, with `masks` on it from the start if given."""

    def prepare(pruner: Pruner) -> None:
        if masks is not None:
            pruner.set_masks(masks)

    epochs = int(job.training["epochs"])
    make_pruner = pruner_of(
        job.recipe, job.data.input_shape, job.seed, epochs, rounds_before=rounds_before, prepare=prepare
    )
    training = job.train(model, make_pruner, job.folder / CHECKPOINT)
    assert training.pruner is not None
    return finished(training.pruner, job.recipe, training.history)


def finished(pruner: Pruner, recipe: Recipe, history: list[dict[str, object]]) -> Outcome:
    """Returns what a pruner leaves, its network plain again.

    Zeros that a proximal step made count as removed. With `recipe.slim` the slim network is made too.

    Raises:
        InvalidInput: channels that cannot be taken away without changing the outputs, by layer.
    """
    if any(isinstance(regularizer, Proximal) for regularizer in recipe.regularizers):
        parameters = dict(pruner.model.named_parameters())
        pruner.set_masks({name: mask & (parameters[name] != 0) for name, mask in pruner.masks.items()})
    masks = {name: mask.clone() for name, mask in pruner.masks.items()}
    report = pruner.report()
    facts = {"kept_macs": report.macs, "predicted_bytes": report.bytes}
    slim = pruner.slim()[0] if recipe.slim else None
    return Outcome(pruner.finalize(), masks, tuple(pruner.weights), history, slim, facts=facts)


def check_no_schedule(recipe: Recipe, method: str) -> None:
    """Checks that a method which decides itself what goes is not given a schedule too.

    Raises:
        InvalidInput: the recipe has one.
    """
    if recipe.schedule is not None or recipe.regrowth is not None:
        raise InvalidInput(f"{method} decides itself what goes: add prune/schedule=none prune/regrowth=none")
