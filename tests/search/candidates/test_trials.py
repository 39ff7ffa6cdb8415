"""Trials as rows, also where a study holds what no search writes."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from ofa.errors import InvalidInput
from search.candidates.trials import trial_rows


@pytest.mark.parametrize("attributes", [{"macs": [1]}, {"arch": 1.5}, {"arch": "{"}, {"history": 3}, {"macs": "many"}])
def test_a_trial_that_carries_something_else_is_named(attributes: dict[str, Any]) -> None:
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs=attributes))
    with pytest.raises(InvalidInput, match="trial 0 of the study is damaged or was edited"):
        trial_rows(study)
