"""Sentences of an analysis: they come from the numbers, with their uncertainty."""

from __future__ import annotations

import numpy as np

from search.analysis.columns import Column
from search.analysis.effects import Difference, Effect
from search.analysis.interaction import Interaction
from search.analysis.together import Together
from search.report.analysis_words import effect_text, interaction_texts, points_text

COLUMN = Column("start", ("fresh", "inherit", "rewind", "odd"), np.repeat([0, 1, 2, 3], [18, 20, 23, 2]))
SEEN = Difference(2, 0, 0.012, 0.004, 0.02)
UNSEEN = Difference(2, 1, 0.0004, -0.006, 0.0068)
EFFECT = Effect(COLUMN, (0, 1, 2), (0.9, 0.911, 0.912), (), (), (UNSEEN, SEEN))
TOGETHER = Together("start", "", "plan", "", (), (Interaction("starting weights", "plan", 80, 0.0004),), ())


def test_what_was_seen_comes_with_its_interval_and_counts() -> None:
    text = effect_text(EFFECT)
    assert text == (
        "rewind is 1.2 points above fresh (95 % interval 0.40 to 2.0; 23 and 18 candidates). No difference was seen "
        "between rewind and inherit. Tried too seldom to be compared: odd (2)."
    )


def test_where_nothing_was_seen_that_is_said() -> None:
    text = effect_text(Effect(COLUMN, (1, 2), (0.911, 0.912), (), (), (UNSEEN,)))
    assert text.startswith(
        "No difference was seen: rewind is 0.04 points above inherit (95 % interval \N{MINUS SIGN}0.60 to 0.68; "
    )
    assert text.endswith("Tried too seldom to be compared: fresh (18) and odd (2).")
    assert effect_text(Effect(COLUMN, (), untold="too few")) == "Not compared: too few."


def test_interactions_are_seen_or_not_and_too_few_say_nothing() -> None:
    (seen,) = interaction_texts(TOGETHER, 80)
    assert seen == "What plan does depends on starting weights (p < 0.001, 80 candidates)."
    other = Together("start", "", "plan", "", (), (Interaction("plan", "sparsity", 80, 0.02),), (("plan", "start"),))
    unseen, untold = interaction_texts(other, 80)
    assert unseen.startswith("It was not seen that what sparsity does depends on plan (p = 0.020")
    assert untold.startswith("Whether what start does depends on plan cannot be told")
    (few,) = interaction_texts(TOGETHER, 10)
    assert few.startswith("10 candidates are too few")


def test_points_have_two_digits_or_so() -> None:
    assert [points_text(value) for value in (0.0123, 0.0028, -0.0051, -1e-6)] == [
        "1.2", "0.28", "\N{MINUS SIGN}0.51", "0.00",
    ]  # fmt: skip
