"""Metric: how outputs are judged, from what each example adds; Score: its value with a standard error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from ofa.task.batch import Batch


@dataclass(frozen=True)
class Score:
    """The value of a metric.

    Attributes:
        value: in the metric's unit; a metric that is shown in percent has a fraction here.
        examples: how many it was measured on.
        standard_error: of the value, for another sample of as many examples; None: not known.
    """

    value: float
    examples: int
    standard_error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One way to judge a network's outputs.

    Attributes:
        name: as in configurations, limits and files, such as "balanced_accuracy".
        statistics: (outputs, batch) -> what each example adds. Of an additive metric a tensor (N, K) whose sum over all
            examples is all that `value` needs; otherwise what is kept, on the CPU: a list of N entries of any kind, or
            a tuple of tensors of N rows.
        value: of an additive metric, sums (K,) float64 -> a number, better (..., K) -> values (...), which makes
            standard errors quick; otherwise all of the list, or the tuple with all rows -> a number.
        maximize: whether more is better.
        unit: what follows a number, such as "bits per byte"; "%" shows fractions in percent; "" for a plain number.
        label: for people, such as "balanced accuracy"; empty for the name with spaces.
        additive: see `statistics`.
        drawn: of a metric that is not additive, (all that is kept, times (R, N)) -> values (R,) float64 on the CPU:
            of R draws in which examples occur so many times, NaN where it has no value. It makes standard errors quick.
            None: `value` is called for each draw.
        standard_error: "binomial" of a fraction of examples, "bootstrap" over examples otherwise.
    """

    name: str
    statistics: Callable[[Any, Batch], Any]
    value: Callable[[Any], Any]
    maximize: bool = True
    unit: str = ""
    label: str = ""
    additive: bool = True
    drawn: Callable[[Any, Tensor], Tensor] | None = None
    standard_error: Literal["binomial", "bootstrap"] = "bootstrap"

    @property
    def title(self) -> str:
        """The metric's name for people."""
        return self.label or self.name.replace("_", " ")

    @property
    def has_quick_error(self) -> bool:
        """Whether its standard error takes no call of `value` for each draw."""
        return self.additive or self.drawn is not None

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """As Optuna names it."""
        return "maximize" if self.maximize else "minimize"

    def quality(self, value: float) -> float:
        """Returns the value with a sign, so that more is better."""
        return value if self.maximize else -value

    def text(self, score: Score | float) -> str:
        """Returns a score for people: "93.06 ± 1.30 %", "1.84 ± 0.02 bits per byte"."""
        value, error = (score.value, score.standard_error) if isinstance(score, Score) else (score, None)
        if self.unit == "%":
            value, error = 100 * value, None if error is None else 100 * error
        return text_with_error(value, error, self.unit)


def text_with_error(value: float, error: float | None, unit: str, *, percent: bool | None = None) -> str:
    """Returns a value with its standard error and unit, in as many digits as the error allows; percent in two."""
    after = f" {unit}" if unit else ""
    if percent if percent is not None else unit == "%":
        return f"{value:.2f}{'' if error is None else f' ± {error:.2f}'}{after}"
    if error is None or not error > 0:
        return f"{value:{'.0f' if 1e4 <= abs(value) < 1e9 else '.4g'}}{after}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}{after}"
