"""Pruning with data and no training as a method: weights go layer by layer, and the others make up for them."""

from __future__ import annotations

from ofa._calibrate import calibrate
from ofa.errors import InvalidInput
from ofa.inputs import as_inputs
from ofa.prune.reconstruction import Method, obs, one_shot
from ofa.prune.weights import prunable_weights
from search.pruning.job import Job, Outcome, with_recipe
from search.pruning.recipe import example_of
from search.pruning.results import report_facts
from search.pruning.retraining import check_no_schedule, train_pruned

BATCH = 128


def without_training(
    job: Job,
    *,
    method: Method = obs,
    pattern: tuple[int, int] | None = None,
    examples: int = 1000,
    retrain: bool = False,
) -> Outcome:
    """Returns the network whose weights went at once, layer by layer, by what they multiply on training examples.

    The recipe's allocation says how many each layer keeps, by magnitude; its criterion is not used. The statistics of
    batch norms are measured anew.

    Args:
        job: see `Job`.
        method: `ofa.prune.reconstruction.obs` or `wanda`, or one of your own.
        pattern: [n, m], n of every m consecutive inputs; sparsity is then 1 - n / m.
        examples: of the training split, without augmentation, to measure on.
        retrain: whether a training with the masks follows, by `prune.retraining`.

    Raises:
        InvalidInput: a recipe with a schedule or without a sparsity, or see `one_shot`.
    """
    check_no_schedule(job.recipe, "prune.method")
    if job.recipe.sparsity is None:
        raise InvalidInput("prune.sparsity, the fraction removed, must be set: this method has no other measure")
    model = job.start()
    measured_on = as_inputs(job.data.calibration(examples))
    batches = [measured_on.rows(start, start + BATCH) for start in range(0, measured_on.batch, BATCH)]
    masks = one_shot(
        model,
        batches,
        job.recipe.sparsity,
        method=method,
        allocation=job.recipe.allocation,
        pattern=None if pattern is None else (int(pattern[0]), int(pattern[1])),
        weights=prunable_weights(model, job.recipe.keep, job.recipe.include, example_of(model, job.data)),
        task=job.network.task,
    )
    if retrain:
        return train_pruned(with_recipe(job, sparsity=None), model, masks=masks)
    model = calibrate(model, measured_on)
    return Outcome(model, masks, tuple(masks), [], report_facts(model, masks, job.data))
