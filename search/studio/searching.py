"""A search that begins from a setting: its command, run in a process of its own, and what it chose."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ofa.errors import InvalidInput
from ofa.records import read_record, write_record
from ofa.task import Score
from search.candidates.figures import COUNTS, device_of, is_latency
from search.candidates.limits import check_target
from search.candidates.search_files import Finalists, TrialRow, Trials
from search.config.request import Device, run_text
from search.config.rules import check_plain_name
from search.run.paths import SearchFolder
from search.run.progress import PLAIN_VARIABLE
from search.run.scores import metrics_of
from search.studio.opened import Opened
from search.studio.pacing import Tell
from search.studio.shaping import Shaped


def search_arguments(
    opened: Opened, shaped: Shaped, score: Score, figures: Mapping[str, float], ask: Mapping[str, Any]
) -> list[str]:
    """Returns the arguments of the `ofa search` that begins from a setting's shape, whose trials file is written first.

    Args:
        score: of the shape by itself, on validation.
        figures: of the shape, by name.
        ask: "name" of the study, "evaluations", and "limits" by figure, a latency by "latency_ms@<device>".

    Raises:
        InvalidInput: no supernet to search in, a limit or a name that cannot be.
    """
    if opened.supernet is None:
        raise InvalidInput(f"{opened.title} has one shape; open the supernet of a run to search in it")
    name = check_plain_name("name", str(ask.get("name", "")), "name=from-here")
    limits = check_target({key: value for key, value in dict(ask.get("limits") or {}).items() if value is not None})
    evaluations = ask.get("evaluations", 60)
    if not isinstance(evaluations, int) or not 1 <= evaluations <= 100_000:
        raise InvalidInput(f"evaluations={evaluations!r} must be a whole number from 1 to 100000")
    start = opened.run.root / "studio" / "starts" / name / "trials.json"
    row = TrialRow(
        number=0,
        state="evaluated",
        arch=shaped.arch,
        figures=dict(figures),
        scores={opened.task.objective.name: score},
        seconds=0.0,
        cached=False,
        reason="set by hand in the studio",
    )
    start.parent.mkdir(parents=True, exist_ok=True)
    write_record(start, Trials(metrics=metrics_of(opened.task)[:1], rows=(row,)))
    words = shlex.split(run_text(opened.run))
    if packages := opened.request.packages:
        words.append(f"trust=[{','.join(packages)}]")
    words += _latency_words(limits)
    words += [f"search.limits.{key}={limits[key]:.0f}" for key in COUNTS if key in limits]
    return [*words, f"study={name}", f"search.warm_start=[{start}]", f"search.evaluations={evaluations}"]


def _latency_words(limits: Mapping[str, float]) -> list[str]:
    """The limits of devices; of a search under other limits alone, that there is none; else those by default."""
    by_device = {device_of(key): f"{value:g}" for key, value in limits.items() if is_latency(key)}
    if not by_device:
        return ["search.latency_fractions=null"] if limits else []
    if list(by_device) == [Device().name]:
        return [f"latency_ms={by_device[Device().name]}"]
    return ["latency_ms={" + ",".join(f"{name}:{value}" for name, value in by_device.items()) + "}"]


def command_text(arguments: Sequence[str]) -> str:
    """Returns the command line of a search."""
    return shlex.join(["ofa", "search", *arguments])


def run_search(opened: Opened, arguments: Sequence[str], tell: Tell) -> dict[str, Any]:
    """Returns the subnets that a search chose, after running it as the command line does, in a process of its own.

    Raises:
        InvalidInput: the search could not run; its last line says why.
    """
    environment = {**os.environ, PLAIN_VARIABLE: "1"}
    job = subprocess.Popen(
        [sys.executable, "-m", "search.app.main", "search", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    assert job.stdout is not None
    last = ""
    try:
        for line in job.stdout:
            last = line.strip() or last
            tell({"text": last})
        code = job.wait()
    finally:
        if job.poll() is None:
            job.send_signal(signal.SIGINT)  # it keeps what it found, and the same command goes on from there
            job.wait()
    if code:
        raise InvalidInput(last or f"the search ended with code {code}")
    return chosen(opened, next(word.partition("=")[2] for word in arguments if word.startswith("study=")))


def chosen(opened: Opened, name: str) -> dict[str, Any]:
    """Returns what a search chose for each target: its score, its times and the values of its choices."""
    finalists = read_record(SearchFolder(opened.run.search(name)).finalists, Finalists)
    metric = finalists.metrics[0]
    return {
        "search": name,
        "rows": [
            {
                "limits": dict(finalist.target),
                "score": metric.text(finalist.chosen.score),
                "measured": dict(finalist.chosen.measured),
                "arch": dict(finalist.chosen.arch.values),
            }
            for finalist in finalists.finalists
        ],
    }
