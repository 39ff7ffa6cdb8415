"""The note of a trial in the dashboard: what it is, what it does, and the command that extracts it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import textwrap
from collections.abc import Mapping

from optuna.trial import Trial

from ofa.arch import Arch
from search.candidate import Candidate
from search.evaluation import Evaluation
from search.figures import is_figure, number_text, unit
from search.plan import SearchPlan
from search.trial_files import write_trial_files

LINE = 76  # characters


def show_in_dashboard(
    plan: SearchPlan, trial: Trial, candidate: Candidate, figures: Mapping[str, float], evaluation: Evaluation
) -> None:
    """Writes files and note of an evaluated trial that is not told yet; no note without the dashboard."""
    picture = ""
    if plan.artifacts is not None:
        picture = write_trial_files(plan.artifacts, trial, plan.space.archs, candidate, evaluation)
    command = plan.command(trial.number) if plan.command else ""
    write_note(trial, note_text(candidate, {**figures, "accuracy": evaluation.accuracy}, command, picture))


def write_note(trial: Trial, text: str) -> None:
    """Writes the note of a trial that is not told yet; nothing where the dashboard is not installed."""
    if importlib.util.find_spec("optuna_dashboard") is not None:
        importlib.import_module("optuna_dashboard").save_note(trial, text)


def note_text(candidate: Candidate, figures: Mapping[str, float], command: str = "", picture: str = "") -> str:
    """Returns the note as Markdown; `picture` is the address of one."""
    items = [f"- {name}: {_with_unit(name, value)}" for name, value in figures.items()]
    items += [f"- {name}: {value}" for name, value in candidate.settings]
    lines = ["\n".join(items)]
    if command:
        lines.append(f"Extract it:\n```sh\n{command}\n```")
    if picture:
        lines.append(f"![the layers of this subnet beside the supernet's]({picture})")
    lines.append(f"```json\n{_in_lines(candidate.arch)}\n```")
    return "\n\n".join(lines)


def _in_lines(arch: Arch) -> str:
    """The Arch as JSON with line breaks between its values: one long line could only be read sideways."""
    return textwrap.fill(json.dumps(arch.to_dict()), LINE, break_long_words=False, break_on_hyphens=False)


def _with_unit(name: str, value: float) -> str:
    return f"{number_text(name, value)} {unit(name)}" if is_figure(name) else f"{value:.4g}"
