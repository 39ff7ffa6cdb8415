"""The step of a training as its keys say it: the parts in their order, refused where they cannot be, and trained."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.models import LeNet5
from ofa.train import Strategy, TrainSettings, sandwich
from ofa.train.average_teacher import taught_by_average
from ofa.train.by_use import scaled_by_use
from ofa.train.gradients import combined, without_conflicts
from ofa.train.sampling import sampled, uniform_macs
from ofa.train.warm_start import warm_start
from search.config.read import read_request
from search.config.tuning import TrainRequest
from search.config.verbs import FinetuneRequest, PruneRequest
from search.run.trust import TOOLKIT_ALONE, check_stored
from search.training import settings
from search.training.settings import build_strategy, check_computing, step_batches, supernet_settings, with_rate_of
from tests.composed import composed, plain
from tests.test_configs_trained import on_synthetic, two_steps

PARTS = [
    *("teacher=average", "train.ema=0.9", "train.warm_start=0.4"),
    "train.gradients={_target_: ofa.train.gradients.without_conflicts, _partial_: true}",
    "train.sampling={_target_: ofa.train.sampling.uniform_macs, _partial_: true, candidates: 4}",
    "train.strategy.label_weight={_target_: ofa.train.label_weights.by_skill, _partial_: true, end: 0.2}",
]


def step_of(*overrides: str) -> Strategy:
    recipe = read_request(composed("train", *overrides), TrainRequest).recipe
    return build_strategy(recipe.train, recipe.teacher)


def test_half_precision_of_gpus_is_warned_of_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    for precision in ("float32", "float16"):
        request = read_request(composed("train", f"train.precision={precision}"), TrainRequest)
        check_computing("train", "train", request.train)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: warning: train.precision=float16 is for GPUs") and line.endswith("give float32")
    with pytest.raises(InvalidInput, match=r"finetune\.device=gpu cannot be used here"):
        check_computing(
            "finetune",
            "finetune",
            read_request(composed("finetune", "finetune.device=gpu"), FinetuneRequest).finetune,
        )


@pytest.mark.parametrize(("known", "warned"), [(True, False), (None, False), (False, True)])
def test_bfloat16_is_warned_of_where_the_processor_has_no_instructions_for_it(
    known: bool | None, warned: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "computes_in_bfloat16", lambda: known)
    request = read_request(composed("prune", "dense.precision=bfloat16"), PruneRequest)
    check_computing("dense", "dense", request.dense)
    said = capsys.readouterr().err
    assert said.startswith("dense: warning: dense.precision=bfloat16 is for processors with") if warned else not said


def test_the_parts_of_a_step_are_put_around_its_strategy_in_their_order() -> None:
    step, found = step_of(*PARTS), []
    while isinstance(step, partial) and "strategy" in step.keywords:
        found.append(step.func)
        step = step.keywords["strategy"]
    assert found == [combined, sampled, warm_start, taught_by_average]
    assert isinstance(step, partial) and step.func is sandwich
    plain_step = step_of("train.gradients=null")
    assert isinstance(plain_step, partial) and plain_step.func is sandwich
    usual = step_of()
    assert isinstance(usual, partial) and usual.func is scaled_by_use


def test_their_arguments_are_those_of_the_keys() -> None:
    step = step_of(*PARTS)
    assert step.keywords["combine"].func is without_conflicts
    draw = step.keywords["strategy"].keywords["draw"]
    assert (draw.func, draw.keywords) == (uniform_macs, {"candidates": 4})
    assert step.keywords["strategy"].keywords["strategy"].keywords["fraction"] == 0.4


def test_parts_that_cannot_be_are_refused_by_their_key() -> None:
    with pytest.raises(InvalidInput, match=r"teacher=start teaches nothing with train\.strategy\.label_weight=1"):
        step_of("teacher=start", "train.strategy.label_weight=1")
    with pytest.raises(InvalidInput, match=r"teacher=average .*train\.ema=null"):
        step_of("teacher=average")
    wrong = "train.gradients={_target_: ofa.train.gradients.capped, _partial_: true, most: 2}"
    with pytest.raises(InvalidInput, match=r"train\.gradients .*most"):
        step_of(wrong)


@pytest.mark.parametrize(
    ("overrides", "batches"),
    [
        ([], 4),
        (["train.strategy.random_subnets=1"], 3),
        (["train.strategy.label_weight=1"], 4),
        (["train.strategy.label_weight=0.5"], 1),  # of the largest, which must see the same
        (PARTS[-1:], 1),
        (["train.strategy.label_weight=0.5", "teacher=start"], 4),
        (["teacher=average", "train.ema=0.9"], 4),
        (["+train.strategy.features=0.5"], 1),
        (["train=progressive"], 1),
        (["train=progressive", "train.batches_per_step=auto"], 1),
        (["train.batches_per_step=2"], 2),
    ],
)
def test_networks_have_examples_of_their_own_where_the_largest_teaches_nothing(
    overrides: list[str], batches: int
) -> None:
    recipe = read_request(composed("train", *overrides), TrainRequest).recipe
    assert step_batches(recipe.train, recipe.teacher) == batches


def test_a_network_without_norms_has_a_lower_rate() -> None:
    given = TrainSettings(optimizer=partial(torch.optim.SGD, lr=0.3, momentum=0.9), epochs=1, batch_size=8)
    plain_net, with_norms = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    assert with_rate_of(with_norms, given, 0.5) is given
    assert with_rate_of(plain_net, given, 1.0) is given
    lower = with_rate_of(plain_net, given, 0.5)
    (group,) = lower.optimizer([{"params": list(plain_net.parameters())}]).param_groups
    assert (group["lr"], group["momentum"]) == (0.15, 0.9)
    found = replace(given, optimizer=partial(torch.optim.SGD, lr="auto"))
    assert with_rate_of(plain_net, found, 0.5) is found


def test_a_lower_rate_is_said_and_fine_tuning_departs_from_it(capsys: pytest.CaptureFixture[str]) -> None:
    line = "train: learning rate 0.33 times train.optimizer.lr, as LeNet5 has no normalization layers"
    for batch_norm, factor in (("true", 1.0), ("false", 0.33)):
        config = on_synthetic("model=lenet5", f"model.batch_norm={batch_norm}", "train.optimizer.lr=0.1")
        two_steps(config)
        assert (line in capsys.readouterr().err) == (factor < 1)
        net = LeNet5((1, 8, 8), 4, batch_norm=batch_norm == "true")
        build = supernet_settings(net, plain(config, "train", "data"), 0).optimizer
        assert build([{"params": list(net.parameters())}]).param_groups[0]["lr"] == pytest.approx(0.1 * factor)


def test_a_supernet_trains_with_all_parts_and_its_run_is_trusted(capsys: pytest.CaptureFixture[str]) -> None:
    config = on_synthetic("model=lenet5", *PARTS, "train.optimizer.lr=auto")
    assert two_steps(config) > 0
    assert re.search(r"train: learning rate \S+, found by a range test", "".join(capsys.readouterr()))
    check_stored(plain(config, "train"), TOOLKIT_ALONE, "config.yaml")
