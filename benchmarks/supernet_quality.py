"""Subnets of one supernet against the same networks trained alone: which recipe is best, and what it costs.

    python -m benchmarks.supernet_quality --problems digits cifar-resnet --cifar10 FOLDER --recipes former default
        [--seeds 3] [--archs 5] [--ranked 20] [--finetune] [--output benchmarks/results/supernet_quality.json]

For every problem (data, model, space) and seed: one supernet for each recipe, judged by its largest, its smallest and
other Archs spread over MACs, norm statistics measured anew; and each of these Archs alone, from fresh weights, for the
same epochs, at several learning rates. Scores are on the test split, which training does not see. Each run is a row of
the output file and is skipped when it is there, so a benchmark that was stopped goes on, and a recipe can be added:
in `benchmarks/quality/recipes.py`, or in a JSON file (`--recipe-file`) of overrides by name. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from benchmarks.pruning.cells import Cells
from benchmarks.quality.problems import PROBLEMS, chosen
from benchmarks.quality.recipes import RECIPES, Recipe, as_overrides
from benchmarks.quality.runs import Setting, fresh_supernet, spread_archs, train_alone, train_supernet


def main() -> None:
    """Makes the runs that are asked for and prints the tables."""
    options = _options()
    torch.set_num_threads(1)
    recipes = RECIPES | (json.loads(options.recipe_file.read_text()) if options.recipe_file else {})
    for problem in chosen(options.problems):
        setting = Setting(problem, (("cifar10", options.cifar10), ("mnist", options.mnist)))
        _make_runs(setting, recipes, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", nargs="+", default=["digits"], choices=list(PROBLEMS))
    parser.add_argument("--recipes", nargs="*", default=["former", "default"])
    parser.add_argument("--recipe-file", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--archs", type=int, default=5)
    parser.add_argument("--rates", nargs="*", type=float)
    parser.add_argument("--alone", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--cifar10", default="")
    parser.add_argument("--mnist", default="")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/supernet_quality.json"))
    return parser.parse_args()


def _make_runs(setting: Setting, recipes: Mapping[str, Recipe], options: argparse.Namespace) -> None:
    """Trains what is missing of one problem: every recipe's supernet and every network alone, seed by seed."""
    cells, problem = Cells(options.output), setting.problem
    archs = spread_archs(fresh_supernet(setting, 0), options.archs)
    for seed in options.seeds:
        for name in options.recipes:
            file = options.weights and options.weights / f"{problem.name}-{name}-{seed}.safetensors"
            train = partial(train_supernet, setting, as_overrides(recipes[name]), seed, archs, file)
            cells.run(train, problem=problem.name, net="supernet", recipe=name, seed=seed)
        for index, arch in enumerate(archs if options.alone else ()):
            for rate in options.rates or problem.rates:
                alone = partial(train_alone, setting, arch, rate, seed)
                cells.run(alone, problem=problem.name, net="alone", arch=index, rate=rate, seed=seed)


if __name__ == "__main__":
    main()
