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

import ofa
from benchmarks.pruning.cells import Cells
from benchmarks.quality.page import tables
from benchmarks.quality.problems import PROBLEMS, chosen
from benchmarks.quality.recipes import RECIPES, Recipe, as_overrides
from benchmarks.quality.runs import (
    Setting,
    finetune,
    fresh_supernet,
    judge_file,
    spread_archs,
    train_alone,
    train_supernet,
)


def main() -> None:
    """Makes the runs that are asked for and prints the tables."""
    options = _options()
    torch.set_num_threads(1)
    recipes = RECIPES | (json.loads(options.recipe_file.read_text()) if options.recipe_file else {})
    cells = Cells(options.output)
    for problem in chosen(options.problems):
        setting = Setting(problem, (("cifar10", options.cifar10), ("mnist", options.mnist)))
        for seed in options.seeds:
            _supernets(setting, seed, cells, recipes, options)
            if options.alone:
                _alone(setting, seed, cells, options)
            if options.ranked:
                _ranks(setting, seed, cells, options)
            if options.finetune:
                _finetuned(setting, seed, cells, options)
    print("\n" + tables(cells.rows()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", nargs="*", default=["digits"], choices=list(PROBLEMS))
    parser.add_argument("--recipes", nargs="*", default=["former", "default"])
    parser.add_argument("--recipe-file", type=Path, help="JSON: overrides of ofa train by name of a recipe")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--archs", type=int, default=5)
    parser.add_argument("--rates", nargs="*", type=float, help="of networks alone; the problem's if not given")
    parser.add_argument("--alone", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--ranked", type=int, default=0, help="Archs whose ranks are compared; needs --weights")
    parser.add_argument(
        "--finetune", type=float, help="rate of a fine-tuning of a tenth of the epochs; needs --weights"
    )
    parser.add_argument("--cifar10", default="", help="folder of the data set's parquet files")
    parser.add_argument("--mnist", default="", help="folder of the data set's parquet files")
    parser.add_argument("--weights", type=Path, help="folder where trained supernets are kept")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/supernet_quality.json"))
    options = parser.parse_args()
    if (options.ranked or options.finetune) and options.weights is None:
        parser.error("--ranked and --finetune read trained supernets: give --weights")
    return options


def _archs(setting: Setting, count: int) -> list[ofa.Arch]:
    return spread_archs(fresh_supernet(setting, 0), count)


def _file(setting: Setting, recipe: str, seed: int, options: argparse.Namespace) -> Path | None:
    return options.weights and Path(options.weights) / f"{setting.problem.name}-{recipe}-{seed}.safetensors"


def _supernets(
    setting: Setting, seed: int, cells: Cells, recipes: Mapping[str, Recipe], options: argparse.Namespace
) -> None:
    """Trains the supernet of each recipe."""
    archs = _archs(setting, options.archs)
    for name in options.recipes:
        file = _file(setting, name, seed, options)
        run = partial(train_supernet, setting, as_overrides(recipes[name]), seed, archs, file)
        cells.run(run, problem=setting.problem.name, net="supernet", recipe=name, seed=seed)


def _alone(setting: Setting, seed: int, cells: Cells, options: argparse.Namespace) -> None:
    """Trains each Arch alone, at each rate."""
    for index, arch in enumerate(_archs(setting, options.archs)):
        for rate in options.rates or setting.problem.rates:
            run = partial(train_alone, setting, arch, rate, seed)
            cells.run(run, problem=setting.problem.name, net="alone", arch=index, rate=rate, seed=seed)


def _ranks(setting: Setting, seed: int, cells: Cells, options: argparse.Namespace) -> None:
    """Judges many Archs in each supernet, and trains each alone at the first rate."""
    archs, problem = _archs(setting, options.ranked), setting.problem.name
    for name in options.recipes:
        run = partial(judge_file, setting, _file(setting, name, seed, options), archs)
        cells.run(run, problem=problem, net="ranked", recipe=name, seed=seed)
    rate = (options.rates or setting.problem.rates)[0]
    for index, arch in enumerate(archs):
        alone = partial(train_alone, setting, arch, rate, seed)
        cells.run(alone, problem=problem, net="ranked alone", arch=index, rate=rate, seed=seed)


def _finetuned(setting: Setting, seed: int, cells: Cells, options: argparse.Namespace) -> None:
    """Trains each Arch of each supernet on alone, for a tenth of the epochs."""
    epochs = max(1, round(setting.problem.epochs / 10))
    for name in options.recipes:
        for index, arch in enumerate(_archs(setting, options.archs)):
            file = _file(setting, name, seed, options)
            run = partial(finetune, setting, file, arch, options.finetune, epochs, seed)
            keys = {"recipe": name, "arch": index, "rate": options.finetune, "seed": seed}
            cells.run(run, problem=setting.problem.name, net="finetuned", **keys)


if __name__ == "__main__":
    main()
