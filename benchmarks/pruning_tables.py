"""Runs the pruning experiments on MNIST and digits, and writes their tables.

    python -m benchmarks.pruning_tables EXPERIMENT ... --mnist PATH [--seeds 5] [--first-seed 0]
    python -m benchmarks.pruning_tables tables

EXPERIMENT: han300, han5, lottery, sparse_training, at_init, group_lasso, initialization, one_shot, structured or
connections. Each run is a row of benchmarks/results/pruning/EXPERIMENT.json and is not repeated, so a run that was cut
off goes on. `tables` writes docs/pruning_results.md from those files. PATH is a folder with MNIST as parquet, or a name
on the hub.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.pruning import connections, dynamic, group_lasso, han, initialization, lottery, one_shot, structured
from benchmarks.pruning.cells import Cells
from benchmarks.pruning.page import write_page
from benchmarks.pruning.setting import mnist

RESULTS = Path(__file__).parent / "results" / "pruning"
EXPERIMENTS = (
    "han300",
    "han5",
    "lottery",
    "sparse_training",
    "at_init",
    "group_lasso",
    "initialization",
    "one_shot",
    "structured",
    "connections",
)


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("experiments", nargs="+", choices=[*EXPERIMENTS, "tables"])
    parser.add_argument("--mnist", default="ylecun/mnist")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--nets", type=Path, default=Path("outputs/pruning_tables"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    data = mnist(arguments.mnist) if set(arguments.experiments) - {"tables", "structured", "connections"} else None
    for name in arguments.experiments:
        cells = Cells(RESULTS / f"{name}.json")
        if name == "tables":
            write_page(RESULTS, arguments.nets)
        elif name == "structured":
            structured.run(seeds, cells, arguments.nets)
        elif name == "connections":
            connections.run(seeds, cells)
        elif data is not None:
            match name:
                case "han300":
                    han.run("lenet300", data, seeds, cells, arguments.nets)
                case "han5":
                    han.run("lenet5", data, seeds, cells, arguments.nets)
                case "lottery":
                    lottery.run(data, seeds, cells, arguments.nets)
                case "sparse_training":
                    dynamic.run_sparse_training(data, seeds, cells)
                case "at_init":
                    dynamic.run_at_init(data, seeds, cells)
                case "group_lasso":
                    group_lasso.run(data, seeds, cells)
                case "initialization":
                    initialization.run(data, seeds, cells)
                case "one_shot":
                    one_shot.run(data, seeds, cells, arguments.nets)


if __name__ == "__main__":
    main()
