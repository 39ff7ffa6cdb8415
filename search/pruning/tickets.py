"""Lottery tickets as a method: levels of training, pruning and rewinding, with controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ofa.prune import Pruner
from ofa.prune.lottery import CONTROLS, lottery
from ofa.prune.lottery_folder import LotteryFolder
from ofa.prune.rewinding import snapshot
from ofa.prune.weights import prunable_weights
from ofa.records import content_of, convert
from search.pruning.job import Job, Outcome, with_recipe
from search.pruning.recipe import example_of, pruner_of
from search.pruning.results import report_facts
from search.pruning.retraining import CHECKPOINT, check_no_schedule, unused_sparsity
from search.run.pruned_cards import LevelRow
from search.run.stored_inputs import settings_digest
from search.training.judging import held_out

LEVELS = "levels"


def tickets(
    job: Job,
    *,
    rounds: int = 12,
    rate: float = 0.2,
    rates: Mapping[str, float] | None = None,
    scope: str = "layer",
    rewind_step: int = 0,
    controls: Sequence[str] = CONTROLS,
) -> Outcome:
    """Returns the ticket of the last level, and all levels with their controls as rows.

    Options are those of `ofa.prune.lottery.lottery`; `rates` of None prunes the last layer at half the rate
    if layers are ranked separately.
    """
    check_no_schedule(job.recipe, "prune=lottery")
    network = job.network.initial()
    prunable = partial(prunable_weights, include=job.recipe.include, example_input=example_of(network, job.data))
    weights = list(prunable(network))
    default = {} if scope == "global" else {weights[-1]: 0.5}
    paces = default if rates is None else dict(rates)
    paces |= dict.fromkeys(job.recipe.keep, 0.0)  # last, so that they take precedence
    free = with_recipe(job, keep=())  # kept weights have full masks

    def train(
        model: nn.Module,
        masks: Mapping[str, Tensor],
        seed: int,
        *,
        until_step: int | None = None,
        from_step: int = 0,
    ) -> dict[str, Any]:
        def prepare(pruner: Pruner) -> None:
            pruner.set_masks(masks)

        pruner = pruner_of(free.recipe, job.data, seed, job.training.epochs, prepare=prepare)
        # It stays until the next training begins: the results of this one are written first.
        checkpoint = _checkpoint(job.folder, model, masks, seed, from_step, until_step)
        density = sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
        training = free.train(
            model, pruner, checkpoint, f"density {density:.3f}: ", start_step=from_step, stop_step=until_step
        )
        assert training.pruner is not None
        training.pruner.finalize()
        return {"scores": content_of(held_out(model, job.data, job.network.task)), "history": training.history}

    folder = job.folder / LEVELS
    rows = lottery(
        job.network.build,
        train,
        folder=folder,
        rounds=rounds,
        rate=rate,
        rates=paces,
        scope=scope,
        controls=controls,
        rewind_step=rewind_step,
        initializer=job.network.initializer,
        images=None if job.network.initializer is None else job.network.initial_images,
        begin=job.network.begin,
        prunable=prunable,
        seed=job.seed,
    )
    files = LotteryFolder(folder)
    last = next(row for row in reversed(rows) if row["kind"] == "ticket")
    model = job.network.initial()
    with torch.no_grad():
        model.load_state_dict(files.trained(last["level"]))
    masks = files.masks(last["level"])
    levels = convert(rows, tuple[LevelRow, ...], str(folder))
    facts = report_facts(model, masks, job.data)
    unused = unused_sparsity(job.recipe, "prune=lottery")
    return Outcome(model, masks, tuple(masks), last["history"], facts, levels=levels, warnings=unused)


def _checkpoint(folder: Path, model: nn.Module, masks: Mapping[str, Tensor], *decides: int | None) -> Path:
    """Returns the path of a training's state, named by its inputs; removes the states of earlier trainings.

    Weights are among them: a ticket and its mask on new initial weights have all else in common.
    """
    parts = [part for tensors in (snapshot(model), masks) for pair in sorted(tensors.items()) for part in pair]
    stem, _, suffix = CHECKPOINT.rpartition(".")
    checkpoint = folder / f"{stem}-{settings_digest(*parts, *decides)}.{suffix}"
    for path in folder.glob(f"{stem}*.{suffix}"):
        if path != checkpoint:
            path.unlink()
    return checkpoint
