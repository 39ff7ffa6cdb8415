"""Measures bytes of files against test error: networks pruned, shared, tuned, reordered, coded, and decoded from disk.

    python -m benchmarks.compression run files --mnist PATH [--setting lenet300] [--seeds 5] [--first-seed 10]
    python -m benchmarks.compression run files --cifar10 PATH --setting resnet20 [--seeds 1]
    python -m benchmarks.compression tables

`run` trains: every row of benchmarks/results/compression.json is measured once, so a run that was cut off goes on;
`files` writes and reads the files, `tables` writes docs/compression_results.md. PATH is a folder with the data set as
parquet, or a name on the hub.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.compressing.files import write_files
from benchmarks.compressing.networks import DATA
from benchmarks.compressing.page import write_page
from benchmarks.compressing.recipe import SETTINGS
from benchmarks.compressing.rows import measure
from benchmarks.pruning.cells import Cells

RESULTS = Path(__file__).parent / "results" / "compression.json"


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="+", choices=["run", "files", "tables"])
    parser.add_argument("--setting", choices=list(SETTINGS), default="lenet300")
    parser.add_argument("--mnist", default="ylecun/mnist")
    parser.add_argument("--cifar10", default="uoft-cs/cifar10")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=10)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--nets", type=Path, default=Path("outputs/compression"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells(arguments.results)
    name = SETTINGS[arguments.setting].data
    data = DATA[name](getattr(arguments, name)) if set(arguments.what) - {"tables"} else None
    if data is not None and "run" in arguments.what:
        seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
        measure(arguments.setting, data, seeds, cells, arguments.nets)
    if data is not None and "files" in arguments.what:
        write_files(arguments.setting, data, cells, arguments.nets)
    if "tables" in arguments.what:
        write_page(cells)


if __name__ == "__main__":
    main()
