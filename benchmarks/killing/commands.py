"""Sequences of commands in forks of this process, without a kill and with some."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.killing.outcome import Outcome, finished_stages, finished_trials, known_twice, outcome_of
from benchmarks.killing.simulated_device import use_simulated_clock
from benchmarks.killing.strike import EVENTS, Counts, strike
from benchmarks.killing.verbs import Sequence, sequences
from search.app.main import VERBS, main

KILLS = 3  # of one command, at most
IMPORTED = (
    *(
        "optuna_dashboard",
        "optuna.importance",
        "optuna.artifacts",
        "onnx",
        "onnxruntime",
        "onnxscript",
        "sklearn.ensemble",
    ),
    *(
        "scipy.optimize",
        "scipy.stats",
        "hydra",
        "matplotlib",
        "torch.onnx",
        "torch._dynamo",
        "safetensors.numpy",
        "sklearn.ensemble",
    ),
)


@dataclass
class Reference:
    """What a sequence leaves without a kill, how often each event came in it, and how many steps a kill can cost.

    `steps` are those of trainings, `sampler_steps` those by which a sampler learns from finished trials.
    """

    folder: Path
    outcome: Outcome
    events: list[dict[str, int]]
    steps: int
    sampler_steps: int
    lost: int


@dataclass
class Result:
    """What came of one sequence."""

    name: str
    kills: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    steps_again: int = 0
    sampler_steps_again: int = 0


class Kills:
    """Sequences in folders under `root`, and their references, made when they are first needed."""

    def __init__(self, root: Path) -> None:
        self._root, self._counts = root, Counts()
        self._references: dict[str, Reference] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_root": self._root, "_references": self._references, "_counts": None}

    def reference(self, kind: Sequence) -> Reference:
        """Returns what a kind of sequence leaves without a kill."""
        if kind.name not in self._references:
            folder = self._begun(kind, f"reference {kind.name}")
            events, steps, sampler_steps, lost = [], 0, 0, 0
            for command in kind.commands:
                code = self._run(command, folder)
                if code != 0:
                    raise RuntimeError(f"{kind.name} fails without a kill: {_last_lines(folder)}")
                events.append({event: self._counts.of(event) for event in EVENTS})
                steps, lost = steps + self._counts.work, max(lost, self._counts.lost)
                sampler_steps += self._counts.sampler
            outcome = outcome_of(folder / "outputs")
            self._references[kind.name] = Reference(folder, outcome, events, steps, sampler_steps, lost)
        return self._references[kind.name]

    def killed(self, kind: Sequence, number: int, rng: np.random.Generator) -> Result:
        """Returns what came of a sequence that is killed at moments drawn by `rng`."""
        reference, result = self.reference(kind), Result(kind.name)
        folder, steps, sampler_steps = self._begun(kind, f"killed {number}"), 0, 0
        outputs = folder / "outputs"
        for place, command in enumerate(kind.commands):
            possible = [event for event in EVENTS if reference.events[place][event]]
            for _ in range(int(rng.integers(1, KILLS + 1))):
                event = str(rng.choice(possible))
                moment = int(rng.integers(1, reference.events[place][event] + 1))
                code = self._run(command, folder, event, moment)
                steps, sampler_steps = steps + self._counts.work, sampler_steps + self._counts.sampler
                if code != -signal.SIGKILL:
                    break
                result.kills.append(f"{event} {moment}")
                trials, stages = finished_trials(outputs), finished_stages(outputs)
            else:
                code = self._run(command, folder)
                steps, sampler_steps = steps + self._counts.work, sampler_steps + self._counts.sampler
            if code != 0:
                result.faults.append(f"{command[0]} ended with {code}: {_last_lines(folder)}")
                return result
            if result.kills:
                result.faults += _undone(trials, finished_trials(outputs), "trial")
                result.faults += _undone(stages, finished_stages(outputs), "stage")
        result.faults += _differences(reference.outcome, outcome_of(outputs))
        if again := known_twice(outputs):
            result.faults.append(f"{again} evaluations made again")
        result.steps_again = steps - reference.steps
        result.sampler_steps_again = sampler_steps - reference.sampler_steps
        if result.steps_again > len(result.kills) * reference.lost:
            result.faults.append(f"{result.steps_again} steps made again, at most {reference.lost} lie between writes")
        if not result.faults:
            shutil.rmtree(folder)
        return result

    def _begun(self, kind: Sequence, name: str) -> Path:
        folder = self._root / name.replace(" ", "_").replace(",", "")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if kind.before:
            shutil.copytree(self.reference(sequences()[kind.before]).folder / "outputs", folder / "outputs")
        (folder / "outputs").mkdir(exist_ok=True)
        return folder

    def _run(self, command: Many[str], folder: Path, event: str = "", moment: int = 0) -> int:
        """Returns the exit code of a command in a fork, the signal as a negative number."""
        self._counts = Counts()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _be_the_command(command, folder, self._counts, event, moment)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _be_the_command(command: Many[str], folder: Path, counts: Counts, event: str, moment: int) -> None:
    """Ends this process with the exit code of a command."""
    code = 1
    try:
        os.chdir(folder)
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(said, 1)
        os.dup2(said, 2)
        use_simulated_clock()
        strike(counts, event, moment)
        code = main(command)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _undone(before: dict[str, Any], now: dict[str, Any], what: str) -> list[str]:
    return [f"finished {what} {key} was made again" for key in before if now.get(key) != before[key]]


def _differences(wanted: Outcome, there: Outcome) -> list[str]:
    """What two outcomes differ in, by file and key."""
    names = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    return [f"{name} is another one at {_where(wanted.get(name), there.get(name))}" for name in names]


def _where(wanted: Any, there: Any) -> str:
    """Where two values differ first, with both."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        key = next(key for key in [*wanted, *there] if wanted.get(key) != there.get(key))
        return f"{key}.{_where(wanted.get(key), there.get(key))}"
    if isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        place = next(place for place, pair in enumerate(zip(wanted, there, strict=True)) if pair[0] != pair[1])
        return f"{place}.{_where(wanted[place], there[place])}"
    return f" {str(wanted)[:60]}, {str(there)[:60]} after kills"


def _last_lines(folder: Path) -> str:
    return " / ".join((folder / "said.txt").read_text(encoding="utf-8").strip().splitlines()[-3:])


def import_all() -> None:
    """Imports what commands need, once for all forks."""
    for name in (*(f"search.app.{verb}" for verb in VERBS), *IMPORTED):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    torch.set_num_threads(1)
    gc.freeze()
