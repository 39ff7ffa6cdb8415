"""Limits on metrics, such as a recall of at least 0.9: known after an evaluation, so they refuse none before."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ofa.errors import InvalidInput, is_number, nearest
from search.run.scores import MetricFacts, Values

_FORM = re.compile(r"\s*(>=|<=)\s*([-+.0-9eE]+)\s*")


def read_limit(name: str, limit: Any) -> tuple[str, float]:
    """Returns the sign (">=", "<=", or "" where none is given) and the number of a limit such as ">= 0.9" or 0.9.

    Raises:
        InvalidInput: another form.
    """
    if is_number(limit) and math.isfinite(limit):
        return "", float(limit)
    match = _FORM.fullmatch(limit) if isinstance(limit, str) else None
    try:
        value = float(match[2]) if match else math.nan
    except ValueError:
        value = math.nan
    if match is None or not math.isfinite(value):
        raise InvalidInput(
            f"search.metric_limits.{name}={limit!r:.40} must be >= or <= and a number, such as '>= 0.9', or the number "
            f"alone"
        )
    return match[1], value


def metric_limits(limits: Mapping[str, Any] | None, metrics: Sequence[MetricFacts]) -> dict[str, float]:
    """Returns the worst value that is allowed of each limited metric, by its name.

    Args:
        limits: by name of the metric, as `read_limit` takes them; a number alone is the least where more is better, and
            the most otherwise.
        metrics: of the task.

    Raises:
        InvalidInput: a metric that the task does not have, or a limit against the direction of its metric.
    """
    known, worst = {metric.name: metric for metric in metrics}, {}
    for name, limit in (limits or {}).items():
        if limit is None:
            continue
        if name not in known:
            raise InvalidInput(f"search.metric_limits has {name!r}, no metric of the task; {nearest(str(name), known)}")
        sign, worst[name] = read_limit(name, limit)
        wanted = sign_of(known[name])
        if sign not in ("", wanted):
            raise InvalidInput(
                f"search.metric_limits.{name}={limit!r}: of {known[name].title} {known[name].better}; write "
                f"'{wanted} {worst[name]:g}'"
            )
    return worst


def sign_of(metric: MetricFacts) -> str:
    """Returns the sign of a limit on a metric."""
    return ">=" if metric.maximize else "<="


def metric_violations(scores: Values, limits: Mapping[str, float], metrics: Sequence[MetricFacts]) -> dict[str, float]:
    """Returns by how much each limited metric is worse than its limit, a fraction of it: above 0 where it is violated.

    Of a limit of 0 it is the difference itself.
    """
    known = {metric.name: metric for metric in metrics}
    return {
        name: known[name].quality(limit - scores[name].value) / (abs(limit) or 1.0) for name, limit in limits.items()
    }


def meets_metrics(scores: Values, limits: Mapping[str, float], metrics: Sequence[MetricFacts]) -> bool:
    """Whether scores keep all limits on metrics."""
    return all(excess <= 0 for excess in metric_violations(scores, limits, metrics).values())


def metric_limits_text(limits: Mapping[str, float], metrics: Sequence[MetricFacts]) -> str:
    """Returns limits on metrics for people, such as "recall ≥ 90.00 %"; empty without any."""
    known = {metric.name: metric for metric in metrics}
    return " and ".join(
        f"{known[name].title} {'≥' if known[name].maximize else '≤'} {known[name].text(limit)}"
        for name, limit in limits.items()
    )
