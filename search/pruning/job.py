"""What a method of pruning is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor, nn

from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.train import NetworkTraining, OptimizerBuilder, train_network
from ofa.train.network import MakePruner
from search.progress import Update
from search.pruning.dense import Network
from search.pruning.recipe import Recipe

STARTS = ("dense", "initial")


@dataclass(frozen=True)
class Job:
    """One network to prune.

    Attributes:
        network: what the configuration says of the network: data, initial weights, seed.
        dense: makes the trained dense network; None where none was trained.
        training: keyword arguments of `train_network` for the pruned network.
        recipe: what the configuration says.
        folder: for what a method keeps on the way; checkpoints in it are removed at the end.
        update: shows how far the method is.
    """

    network: Network
    dense: Callable[[], nn.Module] | None
    training: Mapping[str, Any]
    recipe: Recipe
    folder: Path
    update: Update

    @property
    def data(self) -> Dataset:
        """The data set."""
        return self.network.data

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.network.seed

    def start(self) -> nn.Module:
        """Returns the network that the recipe starts from.

        Raises:
            InvalidInput: an unknown start.
        """
        if self.recipe.start == "dense" and self.dense is not None:
            return self.dense()
        if self.recipe.start == "initial":
            return self.network.initial()
        raise InvalidInput(f"prune.start={self.recipe.start!r} must be one of {', '.join(STARTS)}")

    def train(
        self, model: nn.Module, prune: MakePruner | None, checkpoint: Path, label: str = "", **changes: Any
    ) -> NetworkTraining:
        """Returns the outcome of a training of `model` in place, which goes on from `checkpoint` where that exists.

        `changes` are other arguments of `train_network` than the recipe's.
        """
        teacher = None
        if self.recipe.distill:
            if self.dense is None:
                raise InvalidInput("prune.retraining.distill learns from the dense network: add baseline=true")
            teacher = self.dense()

        def show(row: Mapping[str, Any]) -> None:
            density = f", density {row['density']:.4f}" if "density" in row else ""
            loss = "" if row["loss"] is None else f"loss {row['loss']:.3f}"
            self.update(int(row["step"]), int(row["total_steps"]), f"{label}{loss}{density}")

        settings = {
            **self.training,
            **{"seed": self.seed, "prune": prune, "scoring": self.recipe.scoring},
            **{"teacher": teacher, "distill": self.recipe.distill, "temperature": self.recipe.temperature},
        }
        return train_network(model, self.data, **settings | changes, checkpoint=checkpoint, progress=show)


@dataclass(frozen=True)
class Outcome:
    """What a method made.

    Attributes:
        model: plain and full-size, its removed weights at zero.
        masks: bool, True is kept, by name of the parameter.
        weights: names of the parameters that density counts; all masks where empty.
        history: one row an epoch of the training that ended in `model`.
        slim: the same network without what is zero, where the recipe asks for it.
        levels: rows of other networks made on the way, with density and accuracy.
        facts: whatever else the card should say, JSON-able.
    """

    model: nn.Module
    masks: Mapping[str, Tensor]
    weights: tuple[str, ...]
    history: list[dict[str, Any]]
    slim: nn.Module | None = None
    levels: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


Method: TypeAlias = Callable[[Job], Outcome]


def with_rate(builder: OptimizerBuilder, factor: float) -> OptimizerBuilder:
    """Returns an optimizer builder whose learning rates are `factor` times those of `builder`.

    Raises:
        InvalidInput: a factor that is not above 0, or a builder without a learning rate to scale.
    """
    if not factor > 0:
        raise InvalidInput(f"prune.retraining.learning_rate={factor!r} must be more than 0")
    if factor == 1:
        return builder
    if not isinstance(builder, partial) or "lr" not in builder.keywords:
        raise InvalidInput("prune.retraining.learning_rate scales dense.optimizer.lr, which has to be given")
    return partial(builder.func, *builder.args, **builder.keywords | {"lr": builder.keywords["lr"] * factor})


def with_recipe(job: Job, **changes: Any) -> Job:
    """Returns the job with some fields of its recipe changed."""
    return replace(job, recipe=replace(job.recipe, **changes))
