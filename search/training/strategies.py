"""The step of a supernet's training: its strategy, and what the keys of the group `train` put around it."""

from __future__ import annotations

from functools import partial

from ofa.train import Strategy
from ofa.train.average_teacher import taught_by_average
from ofa.train.gradients import combined
from ofa.train.sampling import sampled
from ofa.train.warm_start import warm_start
from search.config.rules import Target
from search.config.teaching import is_average
from search.config.training import SupernetTraining
from search.objects import make_partial


def build_strategy(training: SupernetTraining, teacher: Target | None = None) -> Strategy:
    """Returns the strategy of a training with its teacher, warm start, sampling and gradients.

    Raises:
        InvalidInput: a part that does not take its arguments.
    """
    strategy: Strategy = make_partial("train.strategy", training.strategy)
    if is_average(teacher):
        strategy = partial(taught_by_average, strategy=strategy)
    if training.warm_start is not None:
        strategy = partial(warm_start, strategy=strategy, fraction=training.warm_start)
    if training.sampling is not None:
        strategy = partial(sampled, strategy=strategy, draw=make_partial("train.sampling", training.sampling))
    if training.gradients is not None:
        combine = make_partial("train.gradients", training.gradients)
        strategy = partial(combined, strategy=strategy, combine=combine)
    return strategy
