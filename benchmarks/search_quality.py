"""What each sampler finds in 50, 200 and 1000 evaluations: hypervolume and best accuracy under limits, over seeds.

    python -m benchmarks.search_quality synthetic [--seeds 10] [--first-seed 0] [--samplers guided evolution ...]
    python -m benchmarks.search_quality digits --folder FOLDER
    python -m benchmarks.search_quality digits_default --folder FOLDER

`synthetic` has 45 choices and made-up accuracy. `digits` is a narrow supernet and `digits_default` that of `ofa run
data=digits`; each is trained in FOLDER first, and accuracies are kept there. Every study is one seed of one sampler; a
candidate over the limit by prediction, or known, costs no evaluation, as in `ofa search`. Every study is a row of
benchmarks/results/search_quality_PROBLEM.json and is not repeated, so a benchmark that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

from benchmarks.searching.digits import digits_problem
from benchmarks.searching.play import play
from benchmarks.searching.problem import Problem
from benchmarks.searching.quality import quality, spread_text
from benchmarks.searching.synthetic import made_up_problem
from ofa.paths import write_json
from search import samplers
from search.device.standalone.machine import describe_machine

RESULTS = Path(__file__).parent / "results"
BUDGETS = (50, 200, 1000)
SAMPLERS = ("random", "nsga2", "tpe", "evolution", "guided", "amc", "filter_policy")
CURVE = (20, 30, 40, 50, 75, 100, 125, 150, 200, 300, 500, 750, 1000)


def make_problem(name: str, instance: int, folder: Path) -> Problem:
    """Returns a problem by its name."""
    if name == "synthetic":
        return made_up_problem(instance)
    return digits_problem(folder, name, *([()] if name == "digits_default" else []))


def study_row(problem: Problem, sampler: str, seed: int, evaluations: int) -> dict[str, Any]:
    """Returns what one study came to."""
    played = play(problem, getattr(samplers, sampler), evaluations, seed)
    made = [count for count in CURVE if count <= evaluations]
    return {
        "sampler": sampler,
        "seed": seed,
        "evaluations": evaluations,
        "sampler_seconds": round(played.seconds, 2),
        "refused": played.refused,
        "quality": {str(count): quality(problem, played, count) for count in made},
        "curve": [round(quality(problem, played, count)["hypervolume"], 5) for count in range(5, evaluations + 1, 5)],
    }


def table(problem: Problem, rows: Sequence[dict[str, Any]]) -> str:
    """Returns the Markdown table: mean and standard deviation over the seeds."""
    measures = ["hypervolume", *(f"best under {limit:.4g}" for limit in problem.limits)]
    lines = [
        f"| sampler | evaluations | seeds | {' | '.join(_heading(problem, one) for one in measures)} | ms a trial |",
        "|---" * (4 + len(measures)) + "|",
    ]
    for budget in BUDGETS:
        for sampler in SAMPLERS:
            these = [row for row in rows if row["sampler"] == sampler and str(budget) in row["quality"]]
            if not these:
                continue
            values = [[row["quality"][str(budget)][one] for row in these] for one in measures]
            texts = [
                spread_text(each, 3) if n == 0 else spread_text([100 * v for v in each], 2)
                for n, each in enumerate(values)
            ]
            cost = np.mean([row["sampler_seconds"] / (row["evaluations"] + row["refused"]) for row in these])
            lines.append(f"| {sampler} | {budget} | {len(these)} | {' | '.join(texts)} | {1000 * cost:.0f} |")
    return "\n".join(lines)


def reached(rows: Sequence[dict[str, Any]], evaluations: int = 1000) -> str:
    """Returns after how many evaluations each seed of `guided` has the evolution's mean hypervolume at the end."""
    wanted = [row["quality"][str(evaluations)]["hypervolume"] for row in rows if _is(row, "evolution", evaluations)]
    if not wanted:
        return ""
    counts = []
    for row in (row for row in rows if row["sampler"] == "guided"):
        there = np.flatnonzero(np.array(row["curve"]) >= np.mean(wanted))
        counts.append(5 * int(there[0] + 1) if len(there) else None)
    return f"guided has the evolution's mean at {evaluations} after {counts} evaluations"


def _is(row: dict[str, Any], sampler: str, evaluations: int) -> bool:
    return bool(row["sampler"] == sampler and str(evaluations) in row["quality"])


def _heading(problem: Problem, measure: str) -> str:
    return measure if measure == "hypervolume" else f"{measure} {problem.figure}, %"


def main() -> None:
    """Plays what is missing, writes a row a study, prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("problem", choices=("synthetic", "digits", "digits_default"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--evaluations", type=int, default=max(BUDGETS))
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=SAMPLERS)
    parser.add_argument("--instance", type=int, default=0, help="of the synthetic problem")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "search_quality")
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    problem = make_problem(chosen.problem, chosen.instance, chosen.folder)
    path = chosen.output or RESULTS / f"search_quality_{chosen.problem}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["studies"] if path.exists() else []
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
        for sampler in chosen.samplers:
            if any((row["sampler"], row["seed"]) == (sampler, seed) for row in rows):
                continue
            rows.append(study_row(problem, sampler, seed, chosen.evaluations))
            print(f"{sampler} seed {seed}: {rows[-1]['curve'][-1]:.4f} in {rows[-1]['sampler_seconds']} s", flush=True)
            content = {
                "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
                "commit": commit,
                "hardware": describe_machine(),
                "problem": {
                    "name": problem.name,
                    "figure": problem.figure,
                    "limits": problem.limits,
                    "floor": problem.floor,
                    "ceiling": problem.ceiling,
                    "size": problem.space.size,
                    "choices": len(problem.space.archs.choices),
                    "instance": chosen.instance,
                },
                "studies": rows,
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, content)
    print(f"\n{problem.name}: {problem.space.size:.3g} candidates, limits {problem.limits} {problem.figure}\n")
    print(table(problem, rows))
    print(f"\n{reached(rows)}")


if __name__ == "__main__":
    main()
