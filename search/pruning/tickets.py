"""Lottery tickets as a method: levels of training, removing and rewinding, with controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ofa.prune import Pruner
from ofa.prune.lottery import CONTROLS, lottery
from ofa.prune.lottery_folder import LotteryFolder
from ofa.prune.weights import prunable_weights
from search.pruning.dense import held_out
from search.pruning.job import Job, Outcome, with_recipe
from search.pruning.recipe import pruner_of
from search.pruning.results import report_facts
from search.pruning.retraining import CHECKPOINT, check_no_schedule

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

    Options are those of `ofa.prune.lottery.lottery`; `rates` of None prunes the last layer at half the pace
    where layers are ranked by themselves.
    """
    check_no_schedule(job.recipe, "prune=lottery")
    weights = list(prunable_weights(job.network.initial()))
    usual = {} if scope == "global" else {weights[-1]: 0.5}
    paces = usual if rates is None else dict(rates)
    paces |= dict.fromkeys(job.recipe.keep, 0.0)  # last, so that they win
    free = with_recipe(job, keep=())  # what is kept has full masks

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

        pruner = pruner_of(free.recipe, job.data.input_shape, seed, int(job.training["epochs"]), prepare=prepare)
        # Of the one training that is under way: the next begins when this is gone.
        checkpoint = job.folder / CHECKPOINT
        kept = sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
        training = free.train(
            model, pruner, checkpoint, f"density {kept:.3f}: ", start_step=from_step, stop_step=until_step
        )
        assert training.pruner is not None
        training.pruner.finalize()
        found = {"accuracy": held_out(model, job.data), "history": training.history}
        checkpoint.unlink(missing_ok=True)
        return found

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
        seed=job.seed,
    )
    files = LotteryFolder(folder)
    last = next(row for row in reversed(rows) if row["kind"] == "ticket")
    model = job.network.initial()
    with torch.no_grad():
        model.load_state_dict(files.trained(last["level"]))
    masks = files.masks(last["level"])
    levels = tuple({key: value for key, value in row.items() if key != "history"} for row in rows)
    facts = report_facts(model, masks, job.data)
    return Outcome(model, masks, tuple(masks), last["history"], levels=levels, facts=facts)
