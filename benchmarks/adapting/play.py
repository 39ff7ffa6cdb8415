"""One seed of a problem: pretrained, adapted, fine-tuned, and each subnet distilled alone for as many steps."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import nn

import ofa
from benchmarks.adapting.problems import RANDOM_SUBNETS, Problem
from ofa.block_importance import leaving_orders
from ofa.importance import taylor
from ofa.sorting import sort_units_
from ofa.task import classification, scores
from ofa.train import Distillation, TrainSettings, sandwich, single, train, train_network
from ofa.train.by_use import scaled_by_use
from ofa.train.teacher_batches import scoring_batches

ARCHS = 5
SORTED_BY = 8  # batches


@dataclass(frozen=True)
class Play:
    """What one seed came to; scores are of the test split, of the largest, the smallest and other Archs.

    Attributes:
        dense: score of the pretrained network.
        before: of the sorted subnets with the pretrained weights, norm statistics measured.
        adapted: of the subnets of the adapted supernet.
        finetuned: of these subnets, each trained on from the supernet's weights.
        alone: of the same subnets, trained alone for the epochs of both.
        dense_seconds, adapt_seconds: of the processor.
        finetune_seconds, alone_seconds: of all subnets together.
    """

    seed: int
    macs: tuple[int, ...]
    dense: float
    before: tuple[float, ...]
    adapted: tuple[float, ...]
    finetuned: tuple[float, ...]
    alone: tuple[float, ...]
    dense_seconds: float
    adapt_seconds: float
    finetune_seconds: float
    alone_seconds: float


def play(problem: Problem, seed: int, say: Callable[[str], None]) -> Play:
    """Returns what one seed of a problem comes to."""
    data, task = problem.data, classification(problem.data)
    images = data.calibration(1024)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = problem.model()
    example = images[:2]
    whole = ofa.Supernet(model, example, problem.rules)
    started = time.process_time()
    train(whole, data, single, replace(problem.dense, seed=seed), task=task)
    dense_seconds = time.process_time() - started
    start = ofa.calibrate(copy.deepcopy(model), images)
    dense = score(start, problem)
    say(f"{problem.name}, seed {seed}: dense {dense:.4f} in {dense_seconds:.0f} s")

    started = time.process_time()
    supernet = sorted_supernet(ofa.calibrate(model, images), example, problem, seed)
    space, rng = supernet.space, np.random.default_rng(0)
    archs = [space.largest, space.smallest, *(space.sample(rng) for _ in range(ARCHS - 2))]
    preparing = time.process_time() - started
    before = [score(ofa.calibrate(supernet.subnet(arch), images), problem) for arch in archs]
    pretrained = copy.deepcopy(supernet)
    started = time.process_time()
    strategy = partial(sandwich, random_subnets=RANDOM_SUBNETS, label_weight=problem.label_weight)
    by_use = partial(scaled_by_use, strategy=strategy)
    teacher = start if problem.label_weight < 1 else None
    train(supernet, data, by_use, replace(problem.adapt, seed=seed), task=task, teacher=teacher)
    adapt_seconds = preparing + time.process_time() - started
    adapted = [score(ofa.calibrate(supernet.subnet(arch), images), problem) for arch in archs]
    say(f"  adapted {np.mean(adapted):.4f} in {adapt_seconds:.0f} s, before {np.mean(before):.4f}")

    distilled = partial(each_alone, archs=archs, start=start, problem=problem, images=images)
    finetuned, finetune_seconds = distilled(supernet, settings=replace(problem.finetune, seed=seed))
    epochs = problem.adapt.epochs + problem.finetune.epochs
    settings = replace(problem.finetune, optimizer=problem.alone, epochs=epochs, seed=seed)
    alone, alone_seconds = distilled(pretrained, settings=settings)
    say(f"  fine-tuned {np.mean(finetuned):.4f} in {finetune_seconds:.0f} s, alone {np.mean(alone):.4f}")
    macs = tuple(int(count) for count in ofa.cost(supernet, archs)["macs"])
    scored = (tuple(each) for each in (before, adapted, finetuned, alone))
    return Play(seed, macs, dense, *scored, dense_seconds, adapt_seconds, finetune_seconds, alone_seconds)


def each_alone(
    supernet: ofa.Supernet,
    *,
    archs: Sequence[ofa.Arch],
    start: nn.Module,
    problem: Problem,
    images: torch.Tensor,
    settings: TrainSettings,
) -> tuple[list[float], float]:
    """Returns the scores of the supernet's subnets, each distilled from `start` by itself, and the seconds of all."""
    started = time.process_time()
    reached = []
    for arch in archs:
        net = ofa.calibrate(supernet.extract(arch), images)
        distillation = Distillation(start, 1 - problem.tuned_label_weight)
        train_network(net, problem.data, settings, task=classification(problem.data), distillation=distillation)
        reached.append(score(net, problem))
    return reached, time.process_time() - started


def sorted_supernet(model: nn.Module, example: torch.Tensor, problem: Problem, seed: int) -> ofa.Supernet:
    """Returns the supernet of a pretrained model, its units and blocks sorted as `train=adapt` does."""
    batches = list(scoring_batches(problem.data.train, problem.adapt.batch_size, SORTED_BY, seed)())
    task = classification(problem.data)
    supernet = ofa.Supernet(model, example, problem.rules)
    orders = leaving_orders(supernet, batches, task)
    if orders:
        supernet = ofa.Supernet(model, example, replace(problem.rules, depth_order_for=orders))
    sort_units_(supernet, taylor(supernet, batches, task, examples=16))
    return supernet


def score(net: nn.Module, problem: Problem) -> float:
    """Returns the objective's value on the test split."""
    task = classification(problem.data)
    return scores(net, problem.data.test.in_order(), task)[task.objective.name].value
