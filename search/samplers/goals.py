"""Goals: what one proposal of a sampler that learns accuracy alone may cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.study import Study, StudyDirection

from ofa.errors import InvalidInput
from search.candidate import Candidate
from search.limits import meets
from search.samplers.context import SamplerContext

Goal = Mapping[str, float]
LEVELS = (1.0, 0.75, 0.5, 0.25)  # of the way from the smallest candidate to a limit, where a front is searched


def accuracy_place(study: Study) -> int:
    """Returns the place of accuracy among the objectives: it is all that goes up."""
    return study.directions.index(StudyDirection.MAXIMIZE)


def objective_figures(study: Study) -> list[str]:
    """Returns the names of the objectives beside accuracy.

    Raises:
        InvalidInput: several objectives without names.
    """
    names = study.metric_names
    if names is None and len(study.directions) > 1:
        raise InvalidInput("a search of several objectives needs a study that names them: study.set_metric_names")
    return [name for place, name in enumerate(names or []) if place != accuracy_place(study)]


def goals_of(context: SamplerContext, objectives: Sequence[str]) -> list[Goal]:
    """Returns what proposals may cost, one goal after the other, in turns.

    With accuracy as the only objective these are the targets. For a front each target is split into `LEVELS`, from the
    smallest candidate's figures to its limits, and to the largest candidate's where an objective is not limited.
    """
    targets = [context.limits.allowed(target) for target in context.limits.targets]
    if not objectives:
        return list(targets)
    known = context.figures([context.space.smallest, context.space.largest])
    ends = {name: (float(known[name][0]), float(known[name][1])) for name in objectives}
    goals: list[Goal] = []
    for level in LEVELS:
        for target in targets:
            parts = {name: least + level * (target.get(name, most) - least) for name, (least, most) in ends.items()}
            goals.append({**target, **parts})
    return goals


def tightest(context: SamplerContext, goals: Sequence[Goal], candidates: Sequence[Candidate]) -> list[int]:
    """Returns for each candidate the place of the last goal that it meets, 0 where it meets none.

    Goals come from the loosest to the tightest level.
    """
    if not candidates:
        return []
    figures = context.figures(candidates)
    places = [0] * len(candidates)
    for place, goal in enumerate(goals):
        for number, good in enumerate(meets(figures, goal)):
            places[number] = place if good else places[number]
    return places
