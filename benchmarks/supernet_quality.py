"""Subnets of one supernet against the same networks trained alone: which recipe of the supernet is best, and what it costs.

    python -m benchmarks.supernet_quality --problems digits cifar-resnet --cifar10 FOLDER --recipes former default
        [--seeds 3] [--archs 5] [--ranked 20] [--finetune] [--output benchmarks/results/supernet_quality.json]

For every problem (data, model, space) and seed: one supernet for each recipe, judged by its largest, its smallest and
other Archs spread over MACs, norm statistics measured anew; and each of these Archs alone, from fresh weights, for the
same epochs, at several learning rates. Scores are on the test split, which training does not see. Each run is a row of
the output file and is skipped when it is there, so a benchmark that was stopped goes on, and a recipe can be added.
Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.pruning.cells import Cells
from benchmarks.quality.problems import PROBLEMS, chosen
from benchmarks.quality.recipes import RECIPES, overrides_of
from benchmarks.quality.runs import Setting, fresh_supernet, spread_archs, train_alone, train_supernet


def main() -> None:
    """Makes the runs that are asked for and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", nargs="+", default=["digits"], choices=list(PROBLEMS))
    parser.add_argument("--recipes", nargs="*", default=["former", "default"], choices=list(RECIPES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--archs", type=int, default=5)
    parser.add_argument("--rates", nargs="*", type=float, default=None)
    parser.add_argument("--alone", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--cifar10", default="")
    parser.add_argument("--mnist", default="")
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/supernet_quality.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells(options.output)
    for problem in chosen(options.problems):
        setting = Setting(problem, (("cifar10", options.cifar10), ("mnist", options.mnist)))
        archs = spread_archs(fresh_supernet(setting, 0), options.archs)
        for seed in options.seeds:
            for name in options.recipes:
                file = options.weights and options.weights / f"{problem.name}-{name}-{seed}.safetensors"
                cells.run(
                    lambda: train_supernet(setting, overrides_of(name), seed, archs, file),
                    **{"problem": problem.name, "net": "supernet", "recipe": name, "seed": seed},
                )
            for index, arch in enumerate(archs if options.alone else ()):
                for rate in options.rates or problem.rates:
                    cells.run(
                        lambda: train_alone(setting, arch, rate, seed),
                        **{"problem": problem.name, "net": "alone", "arch": index, "rate": rate, "seed": seed},
                    )


if __name__ == "__main__":
    main()
