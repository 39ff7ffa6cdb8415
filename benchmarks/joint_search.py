"""The joint search against architecture first and pruning after, and against pruning alone, at equal fine-tuning.

    python -m benchmarks.joint_search digits --folder FOLDER [--seeds 5] [--tunings 60] [--epochs 4]
    python -m benchmarks.joint_search mnist --folder FOLDER --tunings 40 --epochs 2 data.dataset.path=PATH

Each way makes the same number of fine-tunings of the same length, from one trained supernet, with the sampler and the
settings of `ofa search search=joint`; none is given up early. The supernet is trained and the device profiled in FOLDER
first; overrides go to `ofa train`. With --blind a joint study learns nothing of Archs in the supernet first; give it an
--output of its own. Latencies are predicted by the profile. Every search of a seed is a row of
benchmarks/results/joint_search_PROBLEM.json, with what none of its other candidates beats, and is not made again, so a
benchmark that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.joint.quality import best_under, front_of, mean_over_limits
from benchmarks.joint.setting import PROBLEMS, Setting, make_setting
from benchmarks.joint.ways import WAYS
from benchmarks.searching.quality import spread_text
from ofa.paths import write_json
from search.device.standalone.machine import describe_machine

RESULTS = Path(__file__).parent / "results"


def study_row(setting: Setting, way: str, seed: int) -> dict[str, Any]:
    """Returns what one search came to."""
    started = time.perf_counter()
    found = WAYS[way](setting, seed)
    return {
        "way": way,
        "seed": seed,
        "tunings": setting.tunings,
        "epochs": setting.epochs,
        "front": front_of(found),
        "seconds": round(time.perf_counter() - started, 1),
    }


def qualities(setting: Setting, found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns the measures of what a search found, each the fraction of images that are right."""
    chance = 1 / setting.trained.data.num_outputs
    ranges = {
        name: (values[0], values[-1]) for name, values in (("latency_ms", setting.latencies), ("bytes", setting.bytes))
    }
    both, size = mean_over_limits(found, ranges, chance), mean_over_limits(found, {"bytes": ranges["bytes"]}, chance)
    measures = {
        "both": both["accuracy"],
        "both, test": both["test"],
        "bytes": size["accuracy"],
        "bytes, test": size["test"],
    }
    for latency in setting.latencies:
        for limit in setting.bytes:
            best = best_under(found, {"latency_ms": latency, "bytes": limit})
            measures[f"{latency:.4g} ms, {limit:,.0f} bytes"] = chance if best is None else float(best["test"])
    return measures


def table(setting: Setting, rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the Markdown table: mean and standard deviation over the seeds, and over them the difference to joint."""
    found = {(row["way"], row["seed"]): qualities(setting, row["front"]) for row in rows}
    ways = [way for way in WAYS if any(way == other for other, _ in found)]
    seeds = sorted({seed for _, seed in found if all((way, seed) in found for way in ways)})
    others = [way for way in ways if way != "joint"]
    compares = bool(others) and "joint" in ways
    heads = ["accuracy, %", *(way.replace("_", " ") for way in ways), *(["joint less the better other"] * compares)]
    lines = [f"{len(seeds)} seeds", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for measure in next(iter(found.values()), {}) if seeds else ():
        values = {way: 100 * np.array([found[way, seed][measure] for seed in seeds]) for way in ways}
        cells = [spread_text(values[way].tolist(), 2) for way in ways]
        if compares:
            best = max(others, key=lambda way: float(values[way].mean()))
            cells.append(spread_text((values["joint"] - values[best]).tolist(), 2))
        lines.append(f"| {measure} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs what has no row yet, prints the table and writes the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tunings", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--blind", action="store_true", help="no evaluations in the supernet before a joint study")
    parser.add_argument("--output", type=Path)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    setting = make_setting(options.problem, options.folder, options.tunings, options.epochs, options.overrides)
    setting = replace(setting, learns_first=not options.blind)
    output = options.output or RESULTS / f"joint_search_{options.problem}.json"
    rows: list[dict[str, Any]] = json.loads(output.read_text())["rows"] if output.exists() else []
    known = {(row["way"], row["seed"], row["tunings"], row["epochs"]) for row in rows}
    for seed in range(options.seeds):
        for way in options.ways:
            if (way, seed, options.tunings, options.epochs) in known:
                continue
            rows.append(study_row(setting, way, seed))
            write_json(output, {**_head(setting), "rows": rows})
            print(f"seed {seed}, {way}: {rows[-1]['seconds']} s", flush=True)
    print(table(setting, [row for row in rows if (row["tunings"], row["epochs"]) == (options.tunings, options.epochs)]))


def _head(setting: Setting) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit,
        "machine": describe_machine(),
        "supernet": setting.trained.digest,
        "largest": setting.largest,
        "latencies": setting.latencies,
        "bytes": setting.bytes,
    }


if __name__ == "__main__":
    main()
