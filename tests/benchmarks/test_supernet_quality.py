"""The benchmark of the supernet's quality: its figures, and its smallest case run twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ofa
from benchmarks.quality.figures import best_rate, compare, rank_correlation
from benchmarks.quality.page import tables
from benchmarks.quality.problems import PROBLEMS
from benchmarks.quality.recipes import RECIPES, as_overrides
from benchmarks.quality.runs import Setting, fresh_network, fresh_supernet, spread_archs
from ofa.data import synthetic
from ofa.models import ResNet

ROOT = Path(__file__).parents[2]


def supernet_row(seed: int, test: list[float], recipe: str = "former") -> dict[str, Any]:
    keys = {"problem": "digits", "net": "supernet", "recipe": recipe, "seed": seed}
    return {**keys, "test": test, "validation": test, "training_cpu_seconds": 30.0}


def alone_row(seed: int, arch: int, rate: float, test: float) -> dict[str, Any]:
    keys = {"problem": "digits", "net": "alone", "arch": arch, "rate": rate, "seed": seed}
    return {**keys, "test": test, "validation": test, "training_cpu_seconds": 10.0}


ROWS = [
    supernet_row(0, [0.9, 0.7]),
    supernet_row(1, [0.8, 0.6]),
    *(alone_row(0, arch, 0.05, score) for arch, score in enumerate((0.5, 0.5))),
    *(alone_row(0, arch, 0.1, score) for arch, score in enumerate((0.92, 0.7))),
    *(alone_row(1, arch, 0.1, score) for arch, score in enumerate((0.8, 0.66))),
]


def test_differences_are_paired_by_arch_and_seed_at_the_best_rate_alone() -> None:
    assert best_rate(ROWS, "digits", 100) == 0.1
    assert best_rate(ROWS, "digits", -1) == 0.05  # where less is better
    found = compare(ROWS, "digits", "former", 100)
    assert found is not None and found.seeds == (0, 1)
    assert found.by_arch == pytest.approx((-1, -3)) and found.mean == pytest.approx(-2)
    assert found.error == pytest.approx(1)  # of seed means -1 and -3
    assert found.pays_from == pytest.approx(3)


def test_a_recipe_that_has_no_partner_is_not_compared_but_shown() -> None:
    rows = [*ROWS, supernet_row(2, [0.5, 0.5], "labels")]
    assert compare(rows, "digits", "labels", 100) is None
    text = tables(rows)
    assert "| former | 0, 1 | 75.00 | 85.00 | 65.00 | -2.00 ± 1.00 | -3.00 | 30 |" in text
    assert "| labels | 2 | 50.00 | 50.00 | 50.00 | - | - | 30 |" in text
    assert "| each alone, rate 0.1 | 0, 1 |" in text and "| 3.0 | 0.33 |" in text


def test_ranks() -> None:
    assert rank_correlation([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)


def test_archs_cover_the_range_of_macs_and_differ() -> None:
    data = synthetic(image_size=8, samples=160)
    supernet = ofa.Supernet(ResNet((1, 8, 8), 4, depth=8, widths=(8, 16, 32)), data.example(2))
    archs = spread_archs(supernet, 6)
    assert len(set(archs)) == 6 and archs[:2] == [supernet.space.largest, supernet.space.smallest]
    macs = ofa.cost(supernet, archs)["macs"]
    assert list(macs[1:]) == sorted(macs[1:]) and macs[-1] < macs[0]
    assert spread_archs(supernet, 6) == archs


@pytest.mark.slow
def test_every_problem_and_recipe_is_a_training() -> None:
    for problem in PROBLEMS.values():
        setting = Setting(problem, tuple((name, "folder") for name in ("cifar10", "mnist")))
        for recipe in RECIPES.values():
            training = setting.recipe(1, as_overrides(recipe)).train
            assert training.epochs == recipe.get("train.epochs", problem.epochs) and training.validate_every == 0
    assert len({problem.title for problem in PROBLEMS.values()}) == len(PROBLEMS)


def test_networks_alone_have_weights_of_their_own_that_a_seed_decides() -> None:
    setting = Setting(PROBLEMS["digits"])
    supernet = fresh_supernet(setting, 0)
    first, again, other = (
        next(fresh_network(setting, supernet.space.smallest, seed).parameters()) for seed in (0, 0, 1)
    )
    assert first.equal(again) and not first.equal(other)
    assert not first.equal(next(supernet.subnet(supernet.space.smallest).parameters()))


@pytest.mark.slow
def test_the_smallest_case_is_run_once_and_not_again(tmp_path: Path) -> None:
    output, recipes = tmp_path / "cells.json", tmp_path / "recipes.json"
    short = {"train.epochs": 1, "data.dataset.test": 0.1}
    recipes.write_text(json.dumps({"short": short}))
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.supernet_quality", "--problems", "digits"]
    command += ["--recipes", "short", "--recipe-file", str(recipes), "--archs", "3", "--no-alone"]
    command += ["--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(output.read_text())
    assert row["recipe"] == "short" and len(row["test"]) == 3 and all(0 <= score <= 1 for score in row["test"])
    assert row["training_cpu_seconds"] > 0
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0 and json.loads(output.read_text()) == [row]
    assert again.stdout.count("short") == 1  # the table's line alone
