"""Methods that learn what to remove: widths (AMC) or filters (try and learn), before one training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from ofa.calibrate import calibrate
from ofa.checkpoint import load_checkpoint, save_checkpoint
from ofa.data import Dataset
from ofa.evaluate import evaluate
from ofa.prune.granularity import channel
from ofa.prune.granularity.channel import every_width
from ofa.prune.learned import Found, amc, try_and_learn
from search.pruning.job import Job, Outcome, with_recipe
from search.pruning.recipe import example_of
from search.pruning.retraining import check_no_schedule, train_pruned

FOUND = "found.safetensors"


def learn_widths(
    job: Job, *, budget: float = 0.5, episodes: int = 200, multiple_of: int = 4, images: int = 1000, **options: Any
) -> Outcome:
    """Returns the network after a training with the widths that AMC chose for a budget of multiply-accumulates.

    `options` are further ones of `ofa.prune.learned.amc`.
    """

    def search(net: nn.Module, progress: Callable[[Mapping[str, Any]], None]) -> Found:
        supernet = every_width(net, example_of(net, job.data.input_shape), multiple_of)
        judge = _judge(job.data, images)
        return amc(supernet, judge, budget=budget, episodes=episodes, seed=job.seed, progress=progress, **options)

    return _learned(job, "prune=amc", search, episodes)


def learn_filters(
    job: Job, *, bound: float = 0.02, updates: int = 100, samples: int = 8, images: int = 1000, **options: Any
) -> Outcome:
    """Returns the network after a training without the filters that an agent found useless.

    `options` are further ones of `ofa.prune.learned.try_and_learn`.
    """

    def search(net: nn.Module, progress: Callable[[Mapping[str, Any]], None]) -> Found:
        supernet = every_width(net, example_of(net, job.data.input_shape))
        judge = _judge(job.data, images)
        return try_and_learn(
            supernet, judge, bound=bound, updates=updates, samples=samples, seed=job.seed, progress=progress, **options
        )

    return _learned(job, "prune=filter_policy", search, None)


def _judge(data: Dataset, images: int) -> Callable[[nn.Module], float]:
    """The accuracy on the first images of the validation split, once norm statistics fit the network."""
    chosen, labels = data.validation.take(torch.arange(min(images, len(data.validation))))
    measured_on = data.calibration(images)
    return lambda net: evaluate(calibrate(net, measured_on), chosen, labels)


def _learned(
    job: Job,
    method: str,
    search: Callable[[nn.Module, Callable[[Mapping[str, Any]], None]], Found],
    total: int | None,
) -> Outcome:
    """Searches for masks (or reads those that a run which was cut off has found), then trains under them."""
    check_no_schedule(job.recipe, method)
    net = job.start()
    kept = job.folder / FOUND
    if kept.exists():
        masks, meta = load_checkpoint(kept)
    else:
        done = 0

        def show(row: Mapping[str, Any]) -> None:
            nonlocal done
            done += 1
            accuracy = f"accuracy {row['accuracy']:.3f}" if "accuracy" in row else ""
            job.update(done, total or done, accuracy)

        found = search(net, show)
        masks = dict(found.masks)
        meta = {
            "accuracy": found.accuracy,
            "cost": found.cost / found.full_cost,
            "history": [dict(row) for row in found.history],
        }
        save_checkpoint(kept, masks, meta)
    free = with_recipe(job, granularity=partial(channel, multiple_of=1))  # whatever widths were found
    outcome = train_pruned(free, net, masks=masks)
    facts = {"found_accuracy": meta["accuracy"], "found_cost": meta["cost"], "search": meta["history"]}
    return Outcome(
        outcome.model, outcome.masks, outcome.weights, outcome.history, outcome.slim, facts={**outcome.facts, **facts}
    )
