"""What `ofa search` finds that is quicker and more accurate than the best of 200 random subnets, at three limits.

    python -m benchmarks.search_against_random digits --folder FOLDER [--seeds 5] [OVERRIDE ...]

For every seed the best of 200 random subnets under each of three limits, by their accuracy in the supernet on
validation, are measured; `ofa search` with its defaults then gets what they took as its limits, so that it has to be
better at equal time. Both are measured again, side by side, and judged by the test images, with norm statistics from
the training images and no fine-tuning. The supernet is trained and the device profiled in FOLDER first; overrides go
to `ofa train`. Rows are kept in benchmarks/results/search_against_random_PROBLEM.json and not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ofa
from benchmarks.joint.setting import PROBLEMS, Setting, make_setting
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.paths import write_json
from ofa.records import read_record
from search.app.main import main as run_ofa
from search.candidates.limits import search_name
from search.candidates.search_files import Finalists
from search.device.measure_archs import measure_archs
from search.device.runtimes.portable import OnnxRuntime
from search.device.standalone.machine import describe_machine
from search.run.paths import SearchFolder

RESULTS = Path(__file__).parent / "results"
DRAWN = 200


def best_of_random(setting: Setting, seed: int) -> list[Arch]:
    """Returns the most accurate of random Archs under each limit by prediction."""
    space, rng = setting.trained.supernet.space, np.random.default_rng(seed)
    drawn = [space.sample(rng) for _ in range(DRAWN)]
    times = setting.figures(drawn)["latency_ms"]
    accuracies = np.array([setting.evaluator(arch).score.value for arch in drawn])
    return [drawn[int(np.argmax(np.where(times <= limit, accuracies, -1.0)))] for limit in setting.latencies]


def searched(setting: Setting, seed: int, limits: Sequence[float]) -> list[Arch]:
    """Returns what `ofa search` chooses for each of the limits, ms."""
    study = "beside-random"
    own = [f"outputs={setting.run.root.parent}", f"run={setting.run.name}", f"study={study}", f"seed={seed}"]
    if run_ofa(
        ["search", *own, f"latency_ms={json.dumps([float(limit) for limit in limits])}", "search.align=1", "force=true"]
    ):  # limits are measured: never the same
        raise InvalidInput(f"the search {study} failed")
    name = search_name(setting.profile.name, tuple(limits), study, seed)
    finalists = read_record(SearchFolder(setting.run.search(name)).finalists, Finalists).finalists
    chosen = {finalist.target["latency_ms"]: finalist.chosen.arch for finalist in finalists}
    return [chosen[float(limit)] for limit in limits]


def seed_rows(setting: Setting, seed: int) -> list[dict[str, Any]]:
    """Returns a row a limit: test accuracy and measured ms of both."""
    drawn = best_of_random(setting, seed)
    supernet, runtime = setting.trained.supernet, OnnxRuntime()
    first = measure_archs(supernet, drawn, runtime, profile=setting.profile)
    limits = [float(f"{one.ms:.4g}") for one in first]
    found = searched(setting, seed, limits)
    again = measure_archs(supernet, [*drawn, *found], runtime, profile=setting.profile)
    rows = []
    for limit, before, after, random_ms, search_ms in zip(limits, drawn, found, again[:3], again[3:], strict=True):
        rows.append(
            {
                "seed": seed,
                "limit_ms": limit,
                "random": {"test": test_accuracy(setting, before), "ms": random_ms.ms, "arch": before.to_dict()},
                "search": {"test": test_accuracy(setting, after), "ms": search_ms.ms, "arch": after.to_dict()},
                "verdict": search_ms.verdict,
            }
        )
    return rows


def test_accuracy(setting: Setting, arch: Arch) -> float:
    """Returns the accuracy of a subnet on the test images, a fraction."""
    data = setting.trained.data
    view = ofa.calibrate(setting.trained.supernet.subnet(arch), data.calibration(1024))
    return ofa.evaluate(view, data.test.images, data.test.labels)


def dominates(row: Mapping[str, Any]) -> bool:
    """Whether the search's subnet is as good in both and better in one."""
    gain, saved = row["search"]["test"] - row["random"]["test"], row["random"]["ms"] - row["search"]["ms"]
    return gain >= 0 and saved >= 0 and (gain > 0 or saved > 0)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the Markdown table, a line a limit of a seed, and how many are dominated."""
    lines = ["| seed | random: ms | test, % | search: ms | test, % | dominates |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = [f"{row[way]['ms']:.4f} | {100 * row[way]['test']:.2f}" for way in ("random", "search")]
        lines.append(f"| {row['seed']} | {' | '.join(cells)} | {'yes' if dominates(row) else 'no'} |")
    gains = [100 * (row["search"]["test"] - row["random"]["test"]) for row in rows]
    times = [row["search"]["ms"] / row["random"]["ms"] for row in rows]
    count = sum(map(dominates, rows))
    mean = f"{np.mean(gains):+.2f} points at {np.mean(times):.3f} of the time on average"
    return "\n".join([*lines, "", f"dominated: {count} of {len(rows)}; {mean}"])


def main() -> None:
    """Runs the seeds that have no rows yet, prints the table and writes the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    setting = make_setting(options.problem, options.folder, 0, 0, options.overrides)
    output = options.output or RESULTS / f"search_against_random_{options.problem}.json"
    rows: list[dict[str, Any]] = json.loads(output.read_text())["rows"] if output.exists() else []
    for seed in range(options.seeds):
        if seed in {row["seed"] for row in rows}:
            continue
        rows += seed_rows(setting, seed)
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        head = {"date": datetime.now(UTC).date().isoformat(), "commit": commit, "machine": describe_machine()}
        write_json(output, {**head, "supernet": setting.trained.digest, "rows": rows})
    print(table(rows))


if __name__ == "__main__":
    main()
