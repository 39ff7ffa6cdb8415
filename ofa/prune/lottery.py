"""Lottery tickets: train, remove the smallest weights, rewind the rest, level after level, with controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, is_whole, nearest
from ofa.inputs import Example
from ofa.prune.initializers.layers import Initializer
from ofa.prune.lottery_folder import LotteryFolder
from ofa.prune.lottery_masks import largest_left
from ofa.prune.rewinding import random_masks, reinitialize_, rewind_, snapshot
from ofa.prune.weights import full_masks, prunable_weights

CONTROLS = ("reinit", "random")

# train(model, masks, seed) trains the model in place, what the masks remove staying 0, and returns what the row is to
# hold, such as {"accuracy": 0.98}. With rewinding it also gets until_step=k (train only the first k steps) or
# from_step=k (start at step k of the same schedule).
Train: TypeAlias = Callable[..., Mapping[str, Any]]


def lottery(
    make_model: Callable[[], nn.Module],
    train: Train,
    *,
    folder: Path | str,
    densities: Sequence[float] | None = None,
    rounds: int | None = None,
    rate: float = 0.2,
    rates: Mapping[str, float] | None = None,
    scope: str = "layer",
    controls: Sequence[str] = CONTROLS,
    rewind_step: int = 0,
    initializer: Initializer | None = None,
    images: Example | None = None,
    begin: Callable[[nn.Module], None] | None = None,
    prunable: Callable[[nn.Module], Mapping[str, Tensor]] = prunable_weights,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Returns the rows of all levels: "level", "kind", "seed", "asked" and "density", "kept" and "weights", and what
    train gave.

    "density" is the kept fraction of the weights that can be pruned, "asked" the one asked for (they differ by
    `rates` and rounding).

    Level 0 trains the whole network. Each further level keeps the largest of the weights that the level before
    trained, rewinds them to where they started and trains again. `kind` is "ticket", or of the controls that run at
    each level below density 1: "reinit" is the ticket's mask on new initial weights, "random" a mask with as many
    weights in each layer, at random places, on the ticket's initial weights.

    Every finished row is a file in `folder` and is not run again, so an interrupted run resumes where it was, and a
    longer one starts from a shorter one.

    Source: Frankle and Carbin 2019, 1803.03635, section 2 ("iterative pruning with resetting").

    Args:
        make_model: makes the network; called with torch's global generator seeded.
        train: see `Train`.
        folder: of this run alone (one seed).
        densities: kept fractions of the levels, falling; or
        rounds: how many levels after the dense one, each keeping 1 - rate of the one before.
        rate: fraction of what is left that a round removes.
        rates: pace of layers by pattern, such as {"classifier": 0.5}; see `largest_left`.
        scope: "layer" or "global"; see `largest_left`.
        controls: any of "reinit", "random".
        rewind_step: tickets go back to the weights after this many steps of the dense training, and train from there
            ("random" too; "reinit" has no such step and trains all of them). Source: Frankle et al. 2019, 1903.01611.
        initializer: initial weights of the tickets and of "reinit"; None: those that make_model draws.
        images: for an initializer that measures on data.
        begin: fills the network that the tickets begin with, such as with pretrained weights; "reinit" is drawn anew.
        prunable: the weights that may be masked, by name.
        seed: of initial weights, of the controls, and given to `train`.

    Raises:
        InvalidInput: densities that do not fall, an unknown control, a folder of another run, or a training that
            brought removed weights back.
    """
    wanted = _levels(densities, rounds, rate)
    for control in controls:
        if control not in CONTROLS:
            raise InvalidInput(f"control {control!r} is unknown; {nearest(control, CONTROLS)}")
    if not is_whole(rewind_step, 0):
        raise InvalidInput(f"rewind_step={rewind_step!r}: must be a whole number of steps, 0 or more")
    files = LotteryFolder(Path(folder))
    files.claim(
        {"seed": seed, "rewind_step": rewind_step, "scope": scope, "rates": rates or {}, "initializer": initializer}
    )

    def masked_network(masks: Mapping[str, Tensor], draw: int) -> nn.Module:
        """A masked network with new initial weights; draw 0 is the ticket's."""
        model = seeded(make_model, _mixed(seed, draw))
        if begin is not None and draw == 0:
            begin(model)
        if initializer is not None:
            reinitialize_(model, initializer, masks, torch.Generator().manual_seed(_mixed(seed, draw)), images)
        else:
            rewind_(model, snapshot(model), masks)
        return model

    def rewound(masks: Mapping[str, Tensor]) -> nn.Module:
        model = seeded(make_model, seed)
        rewind_(model, start, masks)
        return model

    start = _start(files, masked_network, train, rewind_step, seed, prunable)
    rewinding = {"from_step": rewind_step} if rewind_step else {}
    rows = []
    for level, density in enumerate(wanted):
        if level == 0 and files.row(level, "ticket", density) is None:
            files.write_masks(level, full_masks(prunable(rewound({}))))
        masks = _masks(files, level, density, rates, scope)
        for kind in ("ticket", *(controls if level else ())):
            row = files.row(level, kind, density)
            if row is None:
                used, resumed = masks, rewinding
                if kind == "ticket":
                    model = rewound(masks)
                elif kind == "reinit":
                    model, resumed = masked_network(masks, level), {}
                else:
                    used = random_masks(masks, torch.Generator().manual_seed(_mixed(seed, level)))
                    model = rewound(used)
                outcome = train(model, used, seed, **resumed)
                check_removed(model, used)
                if kind == "ticket":
                    files.write_trained(level, snapshot(model))
                row = files.write_row(level, kind, {**outcome, "asked": density, **_counts(masks), "seed": seed})
            rows.append(row)
    return rows


def seeded(make_model: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Returns what `make_model` makes with torch's global generator seeded; the generator is restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make_model()


def check_removed(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Checks that what the masks remove is 0.

    Raises:
        InvalidInput: naming the first weight in which something came back.
    """
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        back = int((parameters[name].detach()[~mask.to(parameters[name].device)] != 0).sum())
        if back:
            raise InvalidInput(f"train brought back {back} removed weights of {name!r}; it must keep the masks")


def _levels(densities: Sequence[float] | None, rounds: int | None, rate: float) -> list[float]:
    """The density of each level, the dense one first."""
    if (densities is None) == (rounds is None):
        raise InvalidInput(f"densities={densities!r} and rounds={rounds!r}: give one of them")
    if densities is None:
        if not 0 < rate < 1 or rounds is None or rounds < 0:
            raise InvalidInput(f"rounds={rounds!r} and rate={rate!r}: rounds must be 0 or more, rate between 0 and 1")
        return [(1 - rate) ** level for level in range(rounds + 1)]
    wanted = [1.0, *(float(density) for density in densities if density != 1)]
    if any(not 0 < after < before for before, after in pairwise(wanted)):
        raise InvalidInput(f"densities={list(densities)}: must fall, each above 0 and at most 1")
    return wanted


def _start(
    files: LotteryFolder,
    make_model: Callable[[Mapping[str, Tensor], int], nn.Module],
    train: Train,
    rewind_step: int,
    seed: int,
    prunable: Callable[[nn.Module], Mapping[str, Tensor]],
) -> dict[str, Tensor]:
    """The parameters and buffers that tickets are rewound to: initial ones, or those after some steps."""
    start = files.start()
    if start is None:
        model = make_model({}, 0)
        if rewind_step:
            train(model, full_masks(prunable(model)), seed, until_step=rewind_step)
        start = snapshot(model)
        files.write_start(start)
    return start


def _masks(
    files: LotteryFolder,
    level: int,
    density: float,
    rates: Mapping[str, float] | None,
    scope: str,
) -> dict[str, Tensor]:
    """The masks of a level: those in the folder once it has a row, else from the weights of the level before."""
    if level and files.row(level, "ticket", density) is None:
        masks = largest_left(files.trained(level - 1), files.masks(level - 1), density, rates, scope)
        files.write_masks(level, masks)
    return files.masks(level)


def _counts(masks: Mapping[str, Tensor]) -> dict[str, float]:
    alive, weights = (sum(int(count(mask)) for mask in masks.values()) for count in (torch.sum, torch.numel))
    return {"density": alive / weights, "kept": alive, "weights": weights}


def _mixed(seed: int, draw: int) -> int:
    """A seed for each draw of weights, the seed itself for draw 0."""
    return seed + draw * 1_000_003
