"""Checks of a journal's records before Optuna replays them: Optuna does not validate them itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from ofa.records import Object

Check = Callable[[Any], bool]
LARGEST_NUMBER = 2**63 - 1


def check_record(record: Object) -> None:
    """Checks one record of a journal.

    Raises:
        ValueError: it is not a record, or a value of it is impossible.
    """
    code = record.get("op_code")
    fields = _FIELDS.get(code) if type(code) is int else None
    if fields is None:
        raise ValueError(f"op_code = {code!r:.40} is not an operation of a study")
    for name, check in _COMMON | fields:
        if name not in record:
            raise ValueError(f"it has no {name}")
        _check(name, record[name], check)
    for name, check in _OPTIONAL.items():
        if name in record and (name, check) not in fields:
            _check(name, record[name], check)
    if code == 5 and not _contains(record["distribution"], record["param_value_internal"]):
        raise ValueError(f"{record['param_name']} = {record['param_value_internal']!r:.40} is not of its distribution")
    if code == 6 and TrialState(record["state"]).is_finished() and "datetime_complete" not in record:
        raise ValueError("a finished trial has no time")


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number."""
    if type(value) is int:
        return abs(value) <= LARGEST_NUMBER
    return type(value) is float and math.isfinite(value)


def _check(name: str, value: Any, check: Check) -> None:
    if not check(value):
        raise ValueError(f"{name} = {value!r:.60} is impossible")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_NUMBER


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_attribute(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1


def _is_directions(value: Any) -> bool:
    directions = {int(direction) for direction in StudyDirection}
    return isinstance(value, list) and bool(value) and all(type(item) is int and item in directions for item in value)


def _is_state(value: Any) -> bool:
    return type(value) is int and value in {int(state) for state in TrialState}


def _is_values(value: Any) -> bool:
    return value is None or (isinstance(value, list) and bool(value) and all(map(is_number, value)))


def _is_value(value: Any) -> bool:
    return value is None or is_number(value)


def _is_time(value: Any) -> bool:
    if value is None:
        return True
    try:
        return datetime.fromisoformat(value).year > 1970
    except (ValueError, TypeError):
        return False


def _is_step_value(value: Any) -> bool:
    """An intermediate value may be NaN, which Optuna's pruners handle."""
    return is_number(value) or (type(value) is float)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_distribution(value: Any) -> bool:
    return isinstance(value, str) and _distribution(value) is not None


@lru_cache(maxsize=1 << 10)
def _distribution(text: str) -> BaseDistribution | None:
    try:
        return json_to_distribution(text)
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError, OverflowError):
        return None


def _contains(distribution: str, value: float) -> bool:
    parsed = _distribution(distribution)
    return parsed is not None and bool(parsed._contains(value))


_STUDY, _TRIAL = ("study_id", _is_count), ("trial_id", _is_count)
_COMMON: frozenset[tuple[str, Check]] = frozenset({("worker_id", _is_text)})
_FIELDS: dict[int, frozenset[tuple[str, Check]]] = {
    0: frozenset({("study_name", _is_text), ("directions", _is_directions)}),
    1: frozenset({_STUDY}),
    2: frozenset({_STUDY, ("user_attr", _is_attribute)}),
    3: frozenset({_STUDY, ("system_attr", _is_attribute)}),
    4: frozenset({_STUDY, ("datetime_start", _is_time)}),
    5: frozenset(
        {_TRIAL, ("param_name", _is_text), ("param_value_internal", is_number), ("distribution", _is_distribution)}
    ),
    6: frozenset({_TRIAL, ("state", _is_state), ("values", _is_values)}),
    7: frozenset({_TRIAL, ("step", _is_count), ("intermediate_value", _is_step_value)}),
    8: frozenset({_TRIAL, ("user_attr", _is_attribute)}),
    9: frozenset({_TRIAL, ("system_attr", _is_attribute)}),
}
# Fields of a trial that was written as a whole, and of the end of a trial.
_OPTIONAL: dict[str, Check] = {
    "state": _is_state,
    "value": _is_value,
    "values": _is_values,
    "datetime_start": _is_time,
    "datetime_complete": _is_time,
    "params": _is_mapping,
    "distributions": _is_mapping,
    "user_attrs": _is_mapping,
    "system_attrs": _is_mapping,
    "intermediate_values": _is_mapping,
}
