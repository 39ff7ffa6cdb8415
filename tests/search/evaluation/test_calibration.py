"""The number of examples that norm statistics take: on the supernet's card, and what `auto` asks for."""

from __future__ import annotations

from dataclasses import replace

import torch
from msgspec import structs

from ofa.calibration_size import calibration_size
from search.evaluation.supernet import held_out_scores, supernet_card
from search.training.trained import Trained


def test_the_card_says_how_many_and_auto_takes_as_many(trained: Trained) -> None:
    supernet, data, task = trained.supernet, trained.data, trained.task
    size, known = calibration_size(supernet, data), trained.card.calibration
    assert known is not None and (known.examples, known.difference) == (size.examples, size.difference)
    assert str(known.examples) in known.text and ("agree" in known.text) == size.is_stable
    asked = trained.calibration("auto")
    assert len(asked) == size.examples and torch.equal(asked, data.calibration(size.examples))
    assert len(trained.calibration(32)) == 32
    card = supernet_card(supernet, data, task, "auto", "ab", 0.0)
    assert card.scores.smallest == held_out_scores(supernet, supernet.space.smallest, data, task, asked)


def test_of_a_card_without_it_auto_measures_now(trained: Trained) -> None:
    older = replace(trained, card=structs.replace(trained.card, calibration=None))
    assert torch.equal(older.calibration("auto"), trained.calibration("auto"))
