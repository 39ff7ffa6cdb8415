"""Trains the digits supernet and, for comparison, some of its subnets alone, each for the same number of epochs.

    python benchmarks/supernet_against_alone.py [--seeds 3] [--archs 5] [--threads 2]
        [--output benchmarks/results/supernet_against_alone.json] [OVERRIDE ...]

For every seed: one supernet by the recipe of `ofa run` (overrides as for `ofa train`), then the largest, the smallest
and random Archs (the same for all seeds), each from the supernet with norm statistics measured anew, and each trained
alone from fresh weights with the same optimizer, schedule, augmentation and epochs. Accuracies are on the test split,
which training does not see. Prints a Markdown table: mean over seeds and the range.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from msgspec import structs

import ofa
from ofa.data import Dataset
from ofa.models.sizes import initialize_
from search.config.read import read_request
from search.config.request import plain
from search.config.tuning import SupernetRecipe, TrainRequest
from search.objects import build_data, build_supernet
from search.run.paths import conf_dir
from search.training.trained import run_training

DIGITS = ("data=digits", "model=digits_net", "train.epochs=60")


def read_recipe(overrides: list[str], seed: int) -> SupernetRecipe:
    """Returns what `ofa train` trains a supernet from, for one seed."""
    with initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
        return read_request(compose("train", [*DIGITS, *overrides, f"seed={seed}"]), TrainRequest).recipe


def train_alone(supernet: ofa.Supernet, arch: ofa.Arch, data: Dataset, recipe: SupernetRecipe) -> float:
    """Returns the test accuracy, in [0, 1], of one Arch trained from fresh weights of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = supernet.extract(arch)
        initialize_(net)
    alone = ofa.Supernet(net, supernet.example_input, ofa.SpaceRules(multiple_of=1))
    strategy = {"_target_": "ofa.train.strategies.single", "_partial_": True}
    run_training(alone, data, structs.replace(recipe, train=structs.replace(recipe.train, strategy=strategy)), None)
    return test_accuracy(alone, alone.space.largest, data)


def test_accuracy(supernet: ofa.Supernet, arch: ofa.Arch, data: Dataset) -> float:
    """Returns the test accuracy, in [0, 1], of one calibrated subnet."""
    view = ofa.calibrate(supernet.subnet(arch), data.calibration(1024))
    return ofa.evaluate(view, data.test.images, data.test.labels)


def main() -> None:
    """Prints the table and writes the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--archs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shared: list[list[float]] = [[] for _ in range(options.archs)]
    alone: list[list[float]] = [[] for _ in range(options.archs)]
    archs: list[ofa.Arch] = []
    seconds = []
    for seed in range(options.seeds):
        recipe = read_recipe([f"threads={options.threads}", *options.overrides], seed)
        data = build_data(plain(recipe.data))
        supernet = build_supernet(recipe.model, recipe.space, data, seed)
        space, rng = supernet.space, np.random.default_rng(0)
        archs = [space.largest, space.smallest, *(space.sample(rng) for _ in range(options.archs - 2))]
        fresh = build_supernet(recipe.model, recipe.space, data, seed)
        start = time.process_time()
        run_training(supernet, data, recipe, None)
        seconds.append(time.process_time() - start)
        for i, arch in enumerate(archs):
            shared[i].append(test_accuracy(supernet, arch, data))
            alone[i].append(train_alone(fresh, arch, data, recipe))
            print(f"seed {seed} arch {i}: supernet {shared[i][-1]:.4f} alone {alone[i][-1]:.4f}", flush=True)
    macs = ofa.cost(fresh, archs)["macs"]
    names = ["largest", "smallest", *(f"random {i}" for i in range(1, options.archs - 1))]
    print("\n| Arch | MACs | from the supernet, % | trained alone, % | difference, points |\n|---|---|---|---|---|")
    for name, count, ours, theirs in zip(names, macs, shared, alone, strict=True):
        difference = 100 * (statistics.mean(ours) - statistics.mean(theirs))
        print(f"| {name} | {count:,} | {_spread(ours)} | {_spread(theirs)} | {difference:+.2f} |")
    mean = 100 * float(np.mean(shared) - np.mean(alone))
    print(f"| mean | | | | {mean:+.2f} |")
    print(f"\nsupernet training: {statistics.mean(seconds):.0f} s of processor time")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        result = {
            "archs": [arch.to_dict() for arch in archs],
            "macs": [int(count) for count in macs],
            "supernet": shared,
            "alone": alone,
            "supernet_process_seconds": seconds,
            "torch": torch.__version__,
        }
        options.output.write_text(json.dumps(result, indent=2) + "\n")


def _spread(values: list[float]) -> str:
    percent = [100 * value for value in values]
    return f"{statistics.mean(percent):.2f} ({min(percent):.2f} to {max(percent):.2f})"


if __name__ == "__main__":
    main()
