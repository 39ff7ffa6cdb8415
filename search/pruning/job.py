"""The input of a pruning method (Job) and its result (Outcome)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor, nn

from ofa._calibrate import calibrate
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.task import Batch, as_batch, scores
from ofa.train import (
    Distillation,
    MakePruner,
    NetworkTraining,
    OptimizerBuilder,
    Teacher,
    TrainSettings,
    logged,
    train_network,
)
from ofa.train.callbacks import NETWORK
from ofa.train.rate_test import is_auto
from search.config.rules import Target
from search.pruning.dense import Network
from search.pruning.recipe import Recipe
from search.run.progress import Update
from search.run.pruned_cards import LevelRow, OutcomeFacts
from search.run.training_cards import TrainingStep
from search.training.baseline import early_warnings
from search.training.loggers import MakeLoggers, no_loggers
from search.training.teachers import build_teacher
from search.training.trained import say_warnings, showing

STARTS = ("dense", "initial")


@dataclass(frozen=True)
class Job:
    """One network to prune.

    Attributes:
        network: the network of the configuration: data, initial weights, seed.
        dense: loads the trained dense network; None if none was trained.
        training: settings of the training of the pruned network.
        recipe: the parts of the pruner.
        folder: for a method's intermediate files; checkpoints in it are removed at the end.
        update: shows the progress of the method.
        loggers: makes those of a training, from what follows the job's name, such as "/level_1".
        teacher: the group `teacher`, of recipes that distill; None for the dense network.
    """

    network: Network
    dense: Callable[[], nn.Module] | None
    training: TrainSettings
    recipe: Recipe
    folder: Path
    update: Update
    loggers: MakeLoggers = no_loggers
    teacher: Target | None = None

    @property
    def data(self) -> Dataset:
        """The data set."""
        return self.network.data

    @property
    def seed(self) -> int:
        """The seed of everything random."""
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

    def _taught_by(self, model: nn.Module) -> nn.Module | Teacher:
        """The teacher of a training of `model`: the dense network, or that of the group.

        Raises:
            InvalidInput: the dense network is to teach, and none was trained.
        """
        if (teacher := build_teacher(self.teacher, model, self.data)) is not None:
            return teacher
        if self.dense is None:
            raise InvalidInput("prune.retraining.distill learns from the dense network: add baseline=true")
        return self.dense()

    def train(
        self,
        model: nn.Module,
        prune: MakePruner | None,
        checkpoint: Path,
        label: str = "",
        *,
        start_step: int = 0,
        stop_step: int | None = None,
    ) -> NetworkTraining:
        """Returns the outcome of a training of `model` in place, which resumes from `checkpoint` if that exists."""
        distillation = None
        if self.recipe.distill:
            distillation = Distillation(self._taught_by(model), self.recipe.distill, self.recipe.temperature)

        def show(step: TrainingStep) -> None:
            density = "" if step.density is None else f", density {step.density:.4f}"
            loss = "" if step.loss is None else f"loss {step.loss:.3f}"
            self.update(step.step, step.total_steps, f"{label}{loss}{density}")
            say_warnings("prune", early_warnings(step, {NETWORK: "the network"}, self.network.task, self.data))

        return train_network(
            model,
            self.data,
            replace(
                self.training,
                seed=self.seed,
                scoring=self.recipe.scoring,
                start_step=start_step,
                stop_step=stop_step,
            ),
            task=self.network.task,
            prune=prune,
            distillation=distillation,
            checkpoint=checkpoint,
            callbacks=[showing(show), logged(self.loggers(_part(checkpoint)))],
        )


@dataclass(frozen=True)
class Outcome:
    """The result of a method.

    Attributes:
        model: plain and full-size, its removed weights at zero.
        masks: bool, True where a weight is kept, by parameter name.
        weights: names of the parameters that density counts; all masks where empty.
        history: one row per epoch of the training that ended in `model`.
        facts: further fields of the card.
        slim: the same network without its zero channels, if the recipe asks for it.
        levels: intermediate networks.
        warnings: lines about problems.
    """

    model: nn.Module
    masks: Mapping[str, Tensor]
    weights: tuple[str, ...]
    history: list[dict[str, Any]]
    facts: OutcomeFacts
    slim: nn.Module | None = None
    levels: tuple[LevelRow, ...] = ()
    warnings: tuple[str, ...] = ()


Method: TypeAlias = Callable[[Job], Outcome]


def _part(checkpoint: Path) -> str:
    """What a training of several is called in logs, from the name of its checkpoint."""
    return "" if checkpoint.stem == "checkpoint" else f"/{checkpoint.stem}"


def with_rate(
    builder: OptimizerBuilder,
    factor: float,
    name: str = "prune.retraining.learning_rate",
    scaled: str = "dense.optimizer.lr",
) -> OptimizerBuilder:
    """Returns an optimizer builder whose learning rates are `factor` times those of `builder`.

    `name` and `scaled` are the keys of the factor and of the rate, for messages.

    Raises:
        InvalidInput: a factor that is not above 0, or a builder without a learning rate to scale.
    """
    if not factor > 0:
        raise InvalidInput(f"{name}={factor!r} must be more than 0")
    if factor == 1:
        return builder
    if not isinstance(builder, partial) or "lr" not in builder.keywords:
        raise InvalidInput(f"{name} scales {scaled}, which must be set")
    if is_auto(builder):
        raise InvalidInput(
            f"{name} scales {scaled}, which was found (auto): give finetune.optimizer with a number as lr"
        )
    return partial(builder.func, *builder.args, **builder.keywords | {"lr": builder.keywords["lr"] * factor})


def with_recipe(job: Job, **changes: Any) -> Job:
    """Returns the job with some fields of its recipe changed."""
    return replace(job, recipe=replace(job.recipe, **changes))


BATCH = 512


def judge_of(job: Job, examples: int) -> Callable[[nn.Module], float]:
    """Returns a function of the task's metric on the first validation examples, norm statistics measured anew."""
    measured_on = job.data.calibration(examples)
    return lambda net: judged(calibrate(net, measured_on), job, examples)


def judged(net: nn.Module, job: Job, examples: int) -> float:
    """Returns the task's metric of a network on the first validation examples."""
    task, name = job.network.task, job.network.task.objective.name
    by_name = scores(net, _first(job.data, examples), task, standard_errors=False, names=[name])
    return by_name[name].value


def _first(data: Dataset, examples: int) -> Iterator[Batch]:
    """The first examples of the validation split, batch by batch."""
    for value in data.validation.in_order(BATCH):
        batch = as_batch(value)
        yield batch.rows(0, examples)
        examples -= batch.examples
        if examples <= 0:
            return
