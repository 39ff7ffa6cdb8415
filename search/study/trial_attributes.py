"""The attributes of trials: notes and pictures for the dashboard, and checks of those from an untrusted source."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import pickle
import re
import textwrap
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import Count, NotNegative
from ofa.task import Score
from search.candidates.figures import is_figure
from search.candidates.optuna_internals import DASHBOARD_CONSTRAINTS
from search.candidates.space import Candidate, Evaluation, TuningEpoch
from search.candidates.trials import ARCH
from search.run.cards import Setting
from search.study.artifacts import write_trial_files
from search.study.fidelities import RUNG
from search.study.journal_records import is_number
from search.study.plan import SearchPlan
from search.text import cost_text

THIS_RUN = "run=THIS"  # a placeholder in notes, which the dashboard replaces by the arguments that name the run

LINE = 76  # characters


def show_in_dashboard(
    plan: SearchPlan, trial: Trial, candidate: Candidate, figures: Mapping[str, float], evaluation: Evaluation
) -> None:
    """Writes the files and note of an evaluated trial before it ends; no note without the dashboard."""
    picture = ""
    if plan.artifacts is not None and plan.trial_files is not None:
        title = f"trial {trial.number}: {plan.metric.named_text(evaluation.score)}"
        files = plan.trial_files(plan.space.archs, candidate, evaluation, title)
        picture = write_trial_files(plan.artifacts, trial, files)
    command = plan.command(trial.number) if plan.command else ""
    write_note(trial, note_text(candidate, figures, _score_texts(plan, evaluation), command, picture))


def write_note(trial: Trial, text: str) -> None:
    """Writes the note of a trial before it ends; does nothing if the dashboard is not installed."""
    if importlib.util.find_spec("optuna_dashboard") is not None:
        importlib.import_module("optuna_dashboard").save_note(trial, text)


def _score_texts(plan: SearchPlan, evaluation: Evaluation) -> dict[str, str]:
    """Every score with its unit and standard error, by the metric's title."""
    known = {metric.name: metric for metric in plan.metrics}
    return {known[name].title: known[name].text(score) for name, score in evaluation.scores.items()}


def note_text(
    candidate: Candidate, figures: Mapping[str, float], scores: Mapping[str, str], command: str = "", picture: str = ""
) -> str:
    """Returns the note as Markdown; `scores` are texts by metric, `picture` is an address."""
    items = [f"- {name}: {_with_unit(name, value)}" for name, value in figures.items()]
    items += [f"- {title}: {text}" for title, text in scores.items()]
    items += [f"- {name}: {value}" for name, value in candidate.settings]
    lines = ["\n".join(items)]
    if command:
        lines.append(f"Extract it:\n```sh\n{command}\n```")
    if picture:
        lines.append(f"![the layers of this subnet beside the supernet's]({picture})")
    lines.append(f"```json\n{_in_lines(candidate.arch)}\n```")
    return "\n\n".join(lines)


def _in_lines(arch: Arch) -> str:
    """The Arch as JSON with line breaks between its values: a single line would be too long to read."""
    return textwrap.fill(json.dumps(arch.to_dict()), LINE, break_long_words=False, break_on_hyphens=False)


def _with_unit(name: str, value: float) -> str:
    return cost_text(name, value) if is_figure(name) else f"{value:.4g}"


CONSTRAINT = "constraints:"  # Optuna's own names

FIXED = "fixed_params"

STATE = re.compile(r"(.*optimizer):\d+")  # the name of a system attribute that holds a part of the hexadecimal text

# The functions that CMA-ES needs; none does more than construct an object.
HARMLESS = {
    "numpy": ("ndarray", "dtype"),
    **dict.fromkeys(("numpy._core.multiarray", "numpy.core.multiarray"), ("_reconstruct", "scalar")),
    **dict.fromkeys(("numpy._core.numeric", "numpy.core.numeric"), ("_frombuffer",)),
    "numpy.random._pickle": ("__randomstate_ctor", "__bit_generator_ctor"),
    "numpy.random._mt19937": ("MT19937",),
    "cmaes._cma": ("CMA",),
    "cmaes._sepcma": ("SepCMA",),
    "cmaes._cmawm": ("CMAwM",),
}


class Attributes(msgspec.Struct):
    """The attributes of a trial with fixed names (see `search.candidates.trials`)."""

    arch: str | None = None
    settings: dict[str, Setting] | None = None
    history: list[TuningEpoch] | None = None
    stopped_at: Count | None = None
    reason: str | None = None
    ended: Count | None = None
    resumed: datetime | None = None
    scores: dict[str, Score] | None = None
    seconds: NotNegative | None = None
    cached: bool | None = None


def check_attributes(study: Study) -> None:
    """Checks the attributes of all trials of a study once, for all readers.

    Raises:
        InvalidInput: names the first impossible trial and attribute.
    """
    for trial in study.get_trials(deepcopy=False):
        try:
            _check_trial(trial)
        except (ValueError, TypeError, RecursionError, OverflowError) as error:  # InvalidInput too, of an Arch
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InvalidInput(
                f"study {study.study_name!r}: trial {trial.number} is damaged or was edited ({reason}); restore it, "
                f"or search under another name"
            ) from None


def _check_trial(trial: FrozenTrial) -> None:
    attributes = msgspec.convert(trial.user_attrs, Attributes)
    if attributes.arch is not None:
        Arch.from_json(attributes.arch)
    numbers = [value for value in (attributes.settings or {}).values() if isinstance(value, float)]
    numbers += [value for name, value in trial.user_attrs.items() if is_figure(name) or name.startswith(RUNG)]
    numbers += [attributes.seconds or 0.0]
    for score in (attributes.scores or {}).values():
        numbers += [score.value, score.standard_error or 0.0]
    for value in numbers:
        if not is_number(value):
            raise ValueError(f"{value!r:.60} is not a finite number")
    for name, value in trial.user_attrs.items():
        if is_figure(name) and value < 0:
            raise ValueError(f"{name} = {value!r:.60} is below 0")
    for name, value in trial.system_attrs.items():
        if name == DASHBOARD_CONSTRAINTS and not (isinstance(value, list) and all(map(is_number, value))):
            raise ValueError(f"{name} = {value!r:.60} must be a list of numbers")
        if name == FIXED and not isinstance(value, dict):
            raise ValueError(f"{name} = {value!r:.60} must be an object")
        if name.startswith(CONSTRAINT) and not is_number(value):
            raise ValueError(f"{name} = {value!r:.60} must be a number")
    if trial.state == TrialState.COMPLETE and (ARCH not in trial.user_attrs or not attributes.scores):
        raise ValueError("it was evaluated, and has no arch or no scores")


class _SafeUnpickler(pickle.Unpickler):
    """Unpickles only harmless objects."""

    def find_class(self, module: str, name: str) -> Any:
        if name not in HARMLESS.get(module, ()):
            raise pickle.UnpicklingError(f"it calls {module}.{name}")
        return super().find_class(module, name)


def check_states(study: Study) -> None:
    """Checks the pickled states in the trials of a study.

    Raises:
        InvalidInput: a state would call a function that is not in `HARMLESS`.
    """
    for trial in study.get_trials(deepcopy=False):
        names = {match.group(1) for key in trial.system_attrs if (match := STATE.fullmatch(key))}
        for name in names:
            parts: list[str] = []
            while (part := trial.system_attrs.get(f"{name}:{len(parts)}")) is not None:
                parts.append(str(part))
            try:
                _SafeUnpickler(io.BytesIO(bytes.fromhex("".join(parts)))).load()
            except Exception as error:  # a damaged pickle can raise anything
                raise InvalidInput(
                    f"study {study.study_name!r}, trial {trial.number}: the state {name} of a sampler is not loaded "
                    f"({str(error) or type(error).__name__}); search under another name"
                ) from None
