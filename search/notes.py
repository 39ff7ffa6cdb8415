"""The note of a trial in the dashboard: what it is, what it does, and the command that extracts it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping

from optuna.trial import Trial

from search.candidate import Candidate
from search.figures import is_figure, number_text, unit

UNSHOWN = ("seconds", "cached")


def write_note(
    trial: Trial, candidate: Candidate, figures: Mapping[str, float], command: Callable[[int], str] | None = None
) -> None:
    """Writes the note of a trial that is not told yet; nothing where the dashboard is not installed."""
    if importlib.util.find_spec("optuna_dashboard") is not None:
        text = note_text(candidate, figures, command(trial.number) if command else "")
        importlib.import_module("optuna_dashboard").save_note(trial, text)


def note_text(candidate: Candidate, figures: Mapping[str, float], command: str = "") -> str:
    """Returns the note as Markdown."""
    shown = [f"- {name}: {_with_unit(name, value)}" for name, value in figures.items() if name not in UNSHOWN]
    lines = ["\n".join(shown), f"```json\n{candidate.arch.to_json()}\n```"]
    if candidate.settings:
        lines.append("\n".join(f"- {name}: {value}" for name, value in candidate.settings))
    if command:
        lines.append(f"Extract it:\n```sh\n{command}\n```")
    return "\n\n".join(lines)


def _with_unit(name: str, value: float) -> str:
    return f"{number_text(name, value)} {unit(name)}" if is_figure(name) else f"{value:.4g}"
