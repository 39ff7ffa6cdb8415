"""The common methods: one training under the recipe's pruner; before it, widths (AMC) or filters may be learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
from msgspec import structs
from torch import Tensor, nn

from ofa.checkpoint import load_checkpoint, save_checkpoint
from ofa.errors import InvalidInput
from ofa.prune import Pruner
from ofa.prune.context import Criterion
from ofa.prune.criteria import qualities, sensitivity_scan, std_threshold
from ofa.prune.granularity import channel
from ofa.prune.granularity._channel import every_width
from ofa.prune.growing import GrowUnits
from ofa.prune.learned import LearnedNetwork, amc, try_and_learn
from ofa.prune.regularizers import ControlledLasso, Proximal
from ofa.prune.shortfall import shortfall
from ofa.prune.weights import prunable_weights
from ofa.records import Fraction, NotNegative, convert
from ofa.task import Task
from search.pruning.job import Job, Outcome, judge_of, judged, with_recipe
from search.pruning.recipe import Recipe, example_of, pruner_of
from search.run.pruned_cards import OutcomeFacts
from search.run.scores import facts_of

CHECKPOINT = "checkpoint.safetensors"

SCAN_SPARSITIES = (0.0, *(round(0.05 * step, 2) for step in range(2, 20)), 0.98)

SCAN_EXAMPLES = 2000


def retrain(job: Job, *, rounds_before: int = 0, sensitivity_drop: float | None = None) -> Outcome:
    """Returns the network after a training in which the pruner removes what the recipe says.

    Args:
        job: see `Job`.
        rounds_before: events before the first step, instead of a schedule, as SynFlow needs.
        sensitivity_drop: how much of the task's metric (a fraction, on the validation split) each layer alone may lose
            in a scan, which sets the qualities of the criterion `std_threshold`. Source: Han et al. 2015, 1506.02626.
    """
    model = job.start()
    if sensitivity_drop is not None:
        job = with_recipe(job, criterion=_scanned(job, model, sensitivity_drop))
    return train_pruned(job, model, rounds_before=rounds_before)


def _scanned(job: Job, model: nn.Module, drop: float) -> Criterion:
    """The recipe's `std_threshold` with the qualities from a sensitivity scan of the model.

    Raises:
        InvalidInput: another criterion, or a drop that is not a fraction.
    """
    criterion = job.recipe.criterion
    if getattr(criterion, "func", None) is not std_threshold:
        raise InvalidInput("prune.method.sensitivity_drop sets qualities: add prune/criterion=std_threshold")
    if not 0 <= drop < 1:
        raise InvalidInput(f"prune.method.sensitivity_drop={drop!r} is a fraction: at least 0 and less than 1")
    weights = prunable_weights(model, job.recipe.keep, job.recipe.include, example_of(model, job.data))
    scan = sensitivity_scan(model, partial(judged, job=job, examples=SCAN_EXAMPLES), SCAN_SPARSITIES, weights=weights)
    return partial(std_threshold, quality=qualities(scan, model, drop))


def train_pruned(
    job: Job, model: nn.Module, *, masks: Mapping[str, Tensor] | None = None, rounds_before: int = 0
) -> Outcome:
    """Returns `model` after a training under the recipe's pruner, with `masks` on it from the start if given."""

    def prepare(pruner: Pruner) -> None:
        if masks is not None:
            pruner.set_masks(masks)

    make_pruner = pruner_of(
        job.recipe, job.data, job.seed, job.training.epochs, rounds_before=rounds_before, prepare=prepare
    )
    training = job.train(model, make_pruner, job.folder / CHECKPOINT)
    assert training.pruner is not None
    return finished(training.pruner, job.recipe, training.history, before=rounds_before > 0)


def finished(pruner: Pruner, recipe: Recipe, history: list[dict[str, object]], *, before: bool = False) -> Outcome:
    """Returns the outcome of a pruner, its network plain again.

    Zeros from a proximal step count as removed. With `recipe.slim` the slim network is made too. `before` is True if
    the recipe's sparsity was reached before the training, without a schedule.

    Raises:
        InvalidInput: channels that cannot be taken away without changing the outputs, by layer.
    """
    if any(isinstance(regularizer, Proximal) for regularizer in recipe.regularizers):
        parameters = dict(pruner.model.named_parameters())
        pruner.set_masks({name: mask & (parameters[name] != 0) for name, mask in pruner.masks.items()})
    masks = {name: mask.clone() for name, mask in pruner.masks.items()}
    report = pruner.report()
    facts = OutcomeFacts(kept_macs=report.macs, predicted_bytes=report.bytes, whole=report.whole)
    missed = _missed(pruner, recipe, before=before)
    slim = pruner.slim()[0] if recipe.slim else None
    return Outcome(pruner.finalize(), masks, tuple(pruner.weights), history, facts, slim, warnings=missed)


def _missed(pruner: Pruner, recipe: Recipe, *, before: bool) -> tuple[str, ...]:
    """A warning if less is removed than the recipe says, or if nothing in it uses its sparsity."""
    if isinstance(recipe.regrowth, GrowUnits):
        return ()  # it ends denser than its schedule begins
    if recipe.schedule is not None or before:
        return tuple(shortfall(pruner, recipe.sparsity if before else None))
    lassos = [each for each in recipe.regularizers if isinstance(each, ControlledLasso)]
    if lassos:
        return tuple(shortfall(pruner, max(lasso.schedule.final for lasso in lassos)))
    if recipe.sparsity is None:
        return ()
    return (f"prune.sparsity={recipe.sparsity:g} has no effect: the recipe has no schedule (set it to null)",)


def check_no_schedule(recipe: Recipe, method: str) -> None:
    """Checks that a method which decides itself what to remove has no schedule too.

    Raises:
        InvalidInput: the recipe has one.
    """
    if recipe.schedule is not None or recipe.regrowth is not None:
        raise InvalidInput(f"{method} decides itself what to remove: add prune/schedule=none prune/regrowth=none")


def unused_sparsity(recipe: Recipe, method: str) -> tuple[str, ...]:
    """Returns a warning if a recipe has a sparsity that its method does not use."""
    if recipe.sparsity is None:
        return ()
    return (f"prune.sparsity={recipe.sparsity:g} has no effect: {method} uses prune.method (set it to null)",)


LEARNED = "learned.safetensors"


def learn_widths(
    job: Job, *, budget: float = 0.5, episodes: int = 200, multiple_of: int = 4, images: int = 1000, **options: Any
) -> Outcome:
    """Returns the network after a training with the widths that AMC chose for a budget of multiply-accumulates.

    `options` are further ones of `ofa.prune.learned.amc`.
    """

    def search(net: nn.Module, progress: Callable[[Mapping[str, Any]], None]) -> LearnedNetwork:
        supernet = every_width(net, example_of(net, job.data), multiple_of)
        judge = judge_of(job, images)
        return amc(supernet, judge, budget=budget, episodes=episodes, seed=job.seed, progress=progress, **options)

    return _learned(job, "prune=amc", search, episodes)


def learn_filters(
    job: Job, *, bound: float = 0.02, updates: int = 100, samples: int = 8, images: int = 1000, **options: Any
) -> Outcome:
    """Returns the network after a training without the filters that an agent found useless.

    `options` are further ones of `ofa.prune.learned.try_and_learn`.
    """

    def search(net: nn.Module, progress: Callable[[Mapping[str, Any]], None]) -> LearnedNetwork:
        supernet = every_width(net, example_of(net, job.data))
        judge = judge_of(job, images)
        return try_and_learn(
            supernet, judge, bound=bound, updates=updates, samples=samples, seed=job.seed, progress=progress, **options
        )

    return _learned(job, "prune=filter_policy", search, None)


_JUDGES = ("learn_widths", "learn_filters", "learn_policy")


def check_judged(method: Callable[..., Outcome], task: Task) -> None:
    """Checks, before anything is trained, that a method which judges networks can go by the task's metric.

    Raises:
        InvalidInput: the method needs a score from 0 to 1 of which more is better, and the task has another.
    """
    bound = method if isinstance(method, partial) else partial(method)
    judges = getattr(bound.func, "__name__", "") in _JUDGES or bound.keywords.get("sensitivity_drop") is not None
    metric = facts_of(task.objective)
    if judges and not metric.is_fraction:
        raise InvalidInput(
            f"prune.method judges networks by a score from 0 to 1; {metric.title} of task {task.name} is not one: put "
            "one first in task.metrics, or take another recipe, such as prune=cubic"
        )


class _LearnedFacts(msgspec.Struct):
    """The metadata stored with the masks that a search found."""

    accuracy: Fraction
    cost: NotNegative
    history: list[dict[str, Any]]


def _learned(
    job: Job,
    method: str,
    search: Callable[[nn.Module, Callable[[Mapping[str, Any]], None]], LearnedNetwork],
    total: int | None,
) -> Outcome:
    """Searches for masks (or reads those of an interrupted run), then trains under them."""
    check_no_schedule(job.recipe, method)
    net = job.start()
    path = job.folder / LEARNED
    if path.exists():
        masks, meta = load_checkpoint(path)
        convert(meta, _LearnedFacts, f"{path} is damaged")
    else:
        updates = 0

        def show(row: Mapping[str, Any]) -> None:
            nonlocal updates
            updates += 1
            accuracy = f"accuracy {row['accuracy']:.3f}" if "accuracy" in row else ""
            job.update(updates, total or updates, accuracy)

        result = search(net, show)
        masks = dict(result.masks)
        meta = {
            "accuracy": result.accuracy,
            "cost": result.cost / result.full_cost,
            "history": [dict(row) for row in result.history],
        }
        save_checkpoint(path, masks, meta)
    free = with_recipe(job, granularity=partial(channel, multiple_of=1))  # any width that the search found
    outcome = train_pruned(free, net, masks=masks)
    facts = structs.replace(
        outcome.facts, found_quality=meta["accuracy"], found_cost=meta["cost"], search=tuple(meta["history"])
    )
    return replace(outcome, warnings=unused_sparsity(job.recipe, method), facts=facts)
