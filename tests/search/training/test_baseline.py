"""Networks that are no better than a constant answer are said, and those that luck may have lifted above it."""

from __future__ import annotations

import pytest

from ofa.task import Score
from search.training.baseline import no_better
from tests.search.scored import ACCURACY


@pytest.mark.parametrize(
    ("reached", "said"),
    [
        (0.40, ["it is no better than the baseline: accuracy 40.00 % on 16 examples, a constant answer gets 43.75 %"]),
        (
            0.625,
            [
                "it is within two standard errors of the baseline: accuracy 62.50 % on 16 examples, "
                "a constant answer gets 43.75 %"
            ],
        ),
        (0.70, []),
    ],
)
def test_what_is_said(reached: float, said: list[str]) -> None:
    baseline = {"accuracy": Score(0.4375, 16, 0.124)}
    assert no_better("it", ACCURACY, {"accuracy": Score(reached, 16, 0.12)}, baseline) == said
