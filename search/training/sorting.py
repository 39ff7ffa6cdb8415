"""What `train.sort` asks for before a training: units and blocks in the order of their importance on training data."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import ofa
from ofa.block_importance import leaving_orders
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.sorting import sort_units_
from ofa.task import Task
from ofa.train.teacher_batches import scoring_batches
from search.config.tuning import SupernetRecipe, SupernetTraining
from search.objects import make, make_partial
from search.run.progress import say


def sort_supernet_(supernet: ofa.Supernet, data: Dataset, task: Task, training: SupernetTraining, seed: int) -> None:
    """Sorts the units of a supernet in place, the most important first, as `training.sort` says; if it says so.

    A function of the weights, the data and the seed: a training that resumes sorts the same again, before the weights
    of its checkpoint take their place.

    Raises:
        InvalidInput: the measure takes other arguments, or gives no scores for the units.
    """
    if training.sort is None:
        return
    measure = make_partial("train.sort.by", training.sort.by)
    arguments = (supernet, _batches(data, training, seed), task)
    try:
        inspect.signature(measure).bind(*arguments)
    except TypeError as error:
        raise InvalidInput(
            f"train.sort.by={training.sort.by['_target_']} is called with (supernet, batches, task): {error}; choose "
            "ofa.importance.taylor, .activation or .weight, or one of your own that takes these"
        ) from None
    sort_units_(supernet, measure(*arguments))


def ordered_blocks(
    supernet: ofa.Supernet, data: Dataset, task: Task, recipe: SupernetRecipe
) -> tuple[ofa.Supernet, dict[str, Any]]:
    """Returns the supernet whose blocks leave in the order of importance, if `train.sort.blocks`, and its `space`.

    The configuration of the space then names the order of each stage, so that the supernet can be made again of it;
    orders that it names already stay.

    Args:
        supernet: with the weights that it starts from, which the other one shares.
    """
    space = dict(recipe.space)
    if recipe.train.sort is None or not recipe.train.sort.blocks:
        return supernet, space
    named = dict(space.get("depth_order_for") or {})
    orders = leaving_orders(supernet, _batches(data, recipe.train, recipe.seed), task)
    measured = {
        name: list(order) for name, order in orders.items() if not any(fnmatchcase(name, each) for each in named)
    }
    if not measured:
        return supernet, space
    for name, order in measured.items():
        say(f"train: blocks of {name} leave in the order {order}, the least important first")
    space = {**space, "depth_order_for": {**named, **measured}}
    return ofa.Supernet(supernet.model, supernet.inputs, make(space), supernet.recipes), space


def _batches(data: Dataset, training: SupernetTraining, seed: int) -> Iterable[Any]:
    """The training batches that importance is measured on, not augmented: the same for the same seed."""
    assert training.sort is not None
    return scoring_batches(data.train, training.batch_size, training.sort.batches, seed)()
