"""Converts every model of a collection, judges what comes out, and writes the table of docs/any_model.md.

    python -m benchmarks.any_model [NAME ...] [--packages FOLDER] [--seconds 120] [--workers 2] [--again]
        [--steps STEP ...]
    python -m benchmarks.any_model table

Models are written by hand or come from transformers, timm and torchvision, built with random weights; what cannot be
imported is left out and said so. FOLDER holds them and Torch-Pruning where they shall not go into the environment:

    pip install --no-deps --target FOLDER transformers tokenizers regex timm torchvision torch-pruning

NAME: a part of a model's name. Every model has a process of its own, ended after --seconds of CPU time, and a row of
benchmarks/results/any_model.json, which is measured again only with --again. STEP: counts, parity, cost, gradients,
trains, export, onnx or rival; a row that is there then keeps what other steps have found.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch

from benchmarks.collection import all_entries
from benchmarks.collection.libraries import make_importable
from benchmarks.judging.measure import measure
from benchmarks.judging.page import write_page
from ofa.paths import write_json

RESULTS = Path(__file__).parent / "results" / "any_model.json"
ARCHS = 20


def measured(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the row of a model, as far as it came before its time was over."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "row.json")
        # A forked process has the libraries already, which take longer to import than most models to measure.
        process = multiprocessing.get_context("fork").Process(
            target=_measure_here, args=(name, arguments.seconds, output, arguments.steps)
        )
        process.start()
        process.join(10 * arguments.seconds)
        if process.is_alive():
            process.kill()
            process.join()
        killed = process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL)
        problem = f"not finished after {arguments.seconds:.0f} CPU s" if killed else f"ended with {process.exitcode}"
        row = json.loads(output.read_text()) if output.exists() else {"model": name, "family": "other"}
        return row | ({} if row.get("done") else {"stopped": problem})


def _measure_here(name: str, seconds: float, output: Path, steps: Sequence[str]) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
    entry = next(entry for entry in all_entries() if entry.name == name)
    measure(entry, ARCHS, seconds / 4, lambda row: write_json(output, row), steps)


def run(names: Sequence[str], arguments: argparse.Namespace) -> None:
    """Measures every model of these names that has no row yet, several at a time, and keeps each row at once."""
    rows = {row["model"]: row for row in json.loads(RESULTS.read_text())["rows"]} if RESULTS.exists() else {}
    order = [entry.name for entry in all_entries()]
    wanted = [name for name in names if arguments.again or name not in rows]
    with ThreadPoolExecutor(arguments.workers) as pool:
        for done in as_completed([pool.submit(measured, name, arguments) for name in wanted]):
            row = done.result()
            rows[row["model"]] = _merged(rows.get(row["model"], {}), row, arguments.steps) if arguments.steps else row
            kept = [rows[name] for name in order if name in rows]
            write_json(RESULTS, {"left_out": arguments.missing, "rows": kept})
            told = ("seconds", "removable", "view_against_full", "cost_worst_ratio", "refused", "faults", "stopped")
            print(row["model"], {key: row[key] for key in told if row.get(key) not in (None, {})}, flush=True)


def _merged(known: dict[str, Any], row: dict[str, Any], steps: Sequence[str]) -> dict[str, Any]:
    """A row with what some steps have found now; its time, an end for want of it, and other steps' faults stay."""
    old = ("worst_arch", "rounding") if "view_against_full" in row else ()
    kept = {key: value for key, value in known.items() if key not in old}
    fresh = {key: value for key, value in row.items() if key not in ("seconds", "faults", "done")}
    faults = {step: why for step, why in known.get("faults", {}).items() if step not in steps}
    return kept | fresh | {"faults": faults | row.get("faults", {})}


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--packages", default="")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--steps", nargs="+", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.names != ["table"]:
        sys.path += [arguments.packages] if arguments.packages else []
        arguments.missing = make_importable()
        known = [entry.name for entry in all_entries() if entry.name.split(" ")[0] not in arguments.missing]
        parts = arguments.names or [""]
        run([name for name in known if any(part in name for part in parts)], arguments)
    write_page(RESULTS)


if __name__ == "__main__":
    main()
