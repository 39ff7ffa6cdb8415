"""What `make run` shows: how far the subnets of neighboring limits are apart, over seeds.

    python -m benchmarks.demo --folder FOLDER [--seeds 5]

Each seed is a whole `ofa run`, kept in FOLDER and not made again: another training, search and choice. For each limit,
a fraction of the largest subnet's time, the test score is the mean over seeds with its standard error, and so is the
difference from the limit before it, seed by seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev

from ofa.errors import InvalidInput
from ofa.paths import write_json
from ofa.records import read_record
from search.app.main import main as ofa
from search.candidates.search_files import SubnetList
from search.run.paths import RunFolder

RESULTS = Path(__file__).parent / "results" / "demo.json"
SEARCH = "onnxruntime"


def subnets_of(folder: Path, seed: int) -> list[dict[str, float]]:
    """Returns ms, multiply-accumulates and test score in percent of each subnet of one seed's run, the largest last."""
    name = f"seed{seed}"
    if ofa(["run", f"seed={seed}", f"run={name}", f"outputs={folder}"]) != 0:
        raise InvalidInput(f"seed {seed}: the run in {folder} failed")
    path = RunFolder(folder / name).subnet_list(f"{SEARCH}-seed{seed}" if seed else SEARCH)
    return [
        {"ms": row.measured["latency_ms"], "macs": row.macs, "score": 100 * row.scores.test["accuracy"].value}
        for row in read_record(path, SubnetList).rows
        if row.measured is not None
    ]


def with_error(values: list[float]) -> str:
    """Returns the mean of values with its standard error."""
    return f"{mean(values):.2f} ± {stdev(values) / len(values) ** 0.5:.2f}"


def main() -> None:
    """Prints the table and writes its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the runs")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    rows = [subnets_of(arguments.folder, seed) for seed in range(arguments.seeds)]
    write_json(RESULTS, [{"seed": seed, "subnets": subnets} for seed, subnets in enumerate(rows)])
    print("| subnet | measured, of the largest, % | MACs | test accuracy, % | from the one before, points |")
    print("|---|---|---|---|---|")
    columns = list(zip(*rows, strict=True))
    for index, column in enumerate(columns):
        title = "largest" if index == len(columns) - 1 else f"limit {index + 1}"
        share = with_error([100 * row["ms"] / subnets[-1]["ms"] for row, subnets in zip(column, rows, strict=True)])
        macs = f"{mean(row['macs'] for row in column) / 1e6:.2f} M"
        before = columns[index - 1] if index else ()
        gained = [row["score"] - other["score"] for row, other in zip(column, before, strict=False)]
        gain = with_error(gained) if gained else ""
        print(f"| {title} | {share} | {macs} | {with_error([row['score'] for row in column])} | {gain} |")


if __name__ == "__main__":
    main()
