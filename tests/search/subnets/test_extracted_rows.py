"""Rows of extracted subnets: what the card says, found again by their limits, beside the largest."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ofa.errors import InvalidInput
from ofa.records import content_of, convert
from ofa.task import classification
from search.run.cards import SubnetCard
from search.run.scores import difference, metrics_of
from search.subnets.chosen import row_for
from search.subnets.extracted_rows import judged_by, judged_subnet, row_of
from search.training.judging import gain_of
from search.training.judging import scores_of as found_scores
from search.training.trained import Trained
from tests.search.networks.test_folder_names import CARD
from tests.search.scored import scores_of
from tests.search.subnets.subnet_rows import subnet_row

SCORES = content_of(scores_of(0.9, 0.8))


def test_a_row_says_what_the_card_does() -> None:
    content = {**CARD, "device": "laptop", "limits": {"params": 9.0}, "macs": 5, "scores": SCORES}
    row = row_of(convert(content, SubnetCard, "a card"), Path("subnets/laptop"))
    assert row.limits == {"params": 9.0}
    assert row.macs == 5
    assert row.scores.test["accuracy"].value == 0.8
    assert row.peak_activation_bytes is None
    assert row.folder == "subnets/laptop"
    assert not row.largest  # though latency has no limit


def test_a_card_without_scores_makes_no_row() -> None:
    card = convert({**CARD, "device": "laptop"}, SubnetCard, "a card")
    with pytest.raises(InvalidInput, match="the card of subnets/laptop names no scores"):
        row_of(card, Path("subnets/laptop"))


def test_limits_find_their_row() -> None:
    limited = subnet_row(limit_ms=4.0, limits={"latency_ms": 4.0, "params": 9.0})
    rows = [subnet_row(largest=True, limits=None), limited]
    assert row_for(rows, {"params": 9.0, "latency_ms": 4.0}) is limited
    assert row_for(rows, {"latency_ms": 4.0}) is None
    assert row_for([subnet_row(largest=True, limits={})], {}) is None


def test_a_subnet_is_compared_with_another_on_the_same_examples(trained: Trained) -> None:
    metrics, supernet = metrics_of(trained.task), copy.deepcopy(trained.supernet)
    space = supernet.space
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in supernet.parameters():  # so that it is wrong now and then
            parameter.add_(torch.randn_like(parameter), alpha=float(parameter.abs().mean()))
    noisy, images = replace(trained, supernet=supernet), trained.calibration(64)
    one, other = (judged_subnet(noisy, arch, images, metrics) for arch in (space.smallest, space.largest))
    apart = gain_of(one, other).test
    plain = difference(found_scores(one).test[metrics[0].name], found_scores(other).test[metrics[0].name])
    assert apart.value == pytest.approx(plain.value) and apart.standard_error != plain.standard_error
    assert gain_of(one, one).test.standard_error == 0


def test_networks_are_judged_by_the_metric_of_their_search(trained: Trained) -> None:
    task = classification(trained.data, metrics=("accuracy", "macro_f1"))
    first, second = metrics_of(task)
    assert judged_by(task, (second, first)).objective.name == "macro_f1"
    assert judged_by(task, (first, second)) == task
