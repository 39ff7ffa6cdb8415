"""Successive halving over a study's own trials, for one objective or several.

Source: asynchronous successive halving (Li et al. 2018, 1810.05934), where "better" is the rank by non-domination and
then by room (Deb et al. 2002), so that it serves a front as well as one number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from optuna.study import Study
from optuna.trial import Trial

from search.objectives import ACCURACY
from search.pareto import best_first
from search.trials import figures_of

RUNG = "accuracy_at_epoch_"


def is_promoted(
    study: Study, trial: Trial, epoch: int, accuracy: float, objectives: Sequence[str], *, keep: float, least: int
) -> bool:
    """Returns whether a trial is among the best `keep` (a fraction) of those that came to a rung, itself included.

    The first `least` of a rung all go on. Its accuracy at the rung is written down, for those that come after.

    Args:
        objectives: accuracy, and the figures beside it, as the study has them.
    """
    trial.set_user_attr(f"{RUNG}{epoch}", accuracy)
    points = []
    for other in study.get_trials(deepcopy=False):
        there = other.user_attrs.get(f"{RUNG}{epoch}")
        if there is not None and other.number != trial.number:
            points.append(_point(float(there), figures_of(other), objectives))
    if len(points) < least:
        return True
    own = {name: float(trial.user_attrs[name]) for name in objectives if name != ACCURACY}
    points.append(_point(accuracy, own, objectives))
    order = best_first(np.array(points))
    return order.index(len(points) - 1) < max(1, round(keep * len(points)))


def _point(accuracy: float, figures: Mapping[str, float], objectives: Sequence[str]) -> list[float]:
    """All to be minimised."""
    return [-accuracy if name == ACCURACY else figures[name] for name in objectives]
