"""Adapts pretrained networks, and compares their subnets with the same ones distilled alone for as many steps.

    python -m benchmarks.adapt [--cifar10 FOLDER] [--problems resnet vit gpt] [--seeds 3]
        [--images 8000] [--size 16] [--dense-epochs 40] [--adapt-epochs 4]
        [--output benchmarks/results/adapt.json]

For every seed: the network is trained dense; then its units and blocks are sorted and it is trained as a supernet by
the sandwich rule, as `train=adapt` does, at a problem's own rates. Five subnets of it (the largest, the smallest, three
drawn, alike for every seed) are fine-tuned, each alone. The same five are cut from the sorted, pretrained network and
distilled from it, each for the epochs of both with the same optimizer, schedule and losses. Accuracies are on the test
split. Prints a Markdown table: differences are paired, by seed and Arch, and their standard errors are over seeds.
Times are of the processor, of one thread.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.adapting.play import Play, play
from benchmarks.adapting.problems import Problem, cifar, small_gpt, small_resnet, small_vit

SMALL = {"resnet": small_resnet, "vit": small_vit, "gpt": small_gpt}
COLUMNS = (
    *("network", "seeds", "dense, %", "before, %", "adapted, %", "fine-tuned, %", "alone, %"),
    *("adapted less alone, points", "fine-tuned less alone, points", "adapting, s", "dense, s", "share"),
)


def row(problem: Problem, plays: Sequence[Play]) -> list[str]:
    """Returns the cells of a problem's line."""
    seconds = [float(np.mean([getattr(each, name) for each in plays])) for name in ("adapt_seconds", "dense_seconds")]
    names = ("dense", "before", "adapted", "finetuned", "alone")
    percent = [100 * np.mean([getattr(each, name) for each in plays]) for name in names]
    return [
        problem.name,
        str(len(plays)),
        *(f"{value:.1f}" for value in percent),
        *(difference([getattr(each, name) for each in plays], plays) for name in ("adapted", "finetuned")),
        *(f"{value:.0f}" for value in seconds),
        f"{100 * seconds[0] / seconds[1]:.0f} %",
    ]


def difference(scores: Sequence[Sequence[float]], plays: Sequence[Play]) -> str:
    """Returns the mean difference of scores by seed and those alone in points, with its standard error over seeds."""
    mean, error = paired(scores, [each.alone for each in plays])
    return f"{mean:+.2f}" if error is None else f"{mean:+.2f} ± {error:.2f}"


def paired(scores: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> tuple[float, float | None]:
    """Returns the mean difference in points, and its standard error over seeds; None for one."""
    by_seed = [100 * float(np.mean(np.subtract(*pair))) for pair in zip(scores, others, strict=True)]
    error = None if len(by_seed) < 2 else float(np.std(by_seed, ddof=1) / np.sqrt(len(by_seed)))
    return float(np.mean(by_seed)), error


def table(results: Sequence[tuple[Problem, Sequence[Play]]]) -> str:
    """Returns the results as Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(row(problem, plays) for problem, plays in results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table and writes the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cifar10", type=Path, help="a folder with the data set's parquet files")
    parser.add_argument("--problems", nargs="*", default=list(SMALL), choices=list(SMALL))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--dense-epochs", type=int, default=40)
    parser.add_argument("--adapt-epochs", type=int, default=4)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    problems = [SMALL[name]() for name in options.problems]
    if options.cifar10 is not None:
        sizes = {"images": options.images, "size": options.size}
        epochs = {"epochs": options.dense_epochs, "adapt_epochs": options.adapt_epochs}
        problems.append(cifar(options.cifar10, **sizes, **epochs))
    results: list[tuple[Problem, list[Play]]] = []
    for problem in problems:
        results.append((problem, []))
        for seed in range(options.seeds):
            results[-1][1].append(play(problem, seed, lambda line: print(line, flush=True)))
            if options.output is not None:
                write(options.output, results)
    print(f"\n{table(results)}")


def write(path: Path, results: Sequence[tuple[Problem, Sequence[Play]]]) -> None:
    """Writes the results so far."""
    content: dict[str, Any] = {"torch": torch.__version__, "problems": []}
    for problem, plays in results:
        epochs = {"dense": problem.dense.epochs, "adapt": problem.adapt.epochs, "finetune": problem.finetune.epochs}
        about = {"name": problem.name, "epochs": epochs, **problem.facts, "test": len(problem.data.test)}
        content["problems"].append(about | {"seeds": [asdict(each) for each in plays]})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
