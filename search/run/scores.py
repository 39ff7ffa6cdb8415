"""MetricFacts: what is known of a metric beside its scores, and how they are written; Scores of a network by split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from ofa.records import Name, Part, Text
from ofa.task import Metric, Score, Task
from ofa.task.metric import text_with_error

NOISE = 2.0  # standard errors; a smaller difference is within noise
Values = Mapping[Name, Score]  # by metric, the objective first


class MetricFacts(Part, frozen=True, kw_only=True):
    """What files, searches and pages know of a metric (see `ofa.task.Metric`).

    Attributes:
        title: its name for people, such as "balanced accuracy".
        unit: what follows a number; "%" shows fractions in percent.
        maximize: whether more is better.
        share: whether a score is a share of the examples, from 0 to 1.
    """

    name: Name
    title: Text
    unit: Text = ""
    maximize: bool = True
    share: bool = False

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """As Optuna names it."""
        return "maximize" if self.maximize else "minimize"

    @property
    def is_fraction(self) -> bool:
        """Whether its quality is from 0 to 1, such as an accuracy."""
        return self.maximize and self.unit == "%"

    @property
    def better(self) -> str:
        """Which way is better, in words."""
        return "higher is better" if self.maximize else "lower is better"

    def quality(self, value: float) -> float:
        """Returns a value with a sign, so that more is better."""
        return value if self.maximize else -value

    def value(self, quality: float) -> float:
        """Returns the value that a quality stands for."""
        return quality if self.maximize else -quality

    def shown(self, value: float) -> float:
        """Returns a value as axes show it: fractions in percent."""
        return 100 * value if self.unit == "%" else value

    def with_unit(self, what: str = "") -> str:
        """Returns its name and unit, such as "validation RMSE, kg"; a unit that is the name is not said twice."""
        words = f"{what} {self.title}".strip()
        return words if self.unit in ("", self.title) else f"{words}, {self.unit}"

    def axis(self, what: str = "") -> str:
        """Returns the title of an axis, such as "validation RMSE, kg (lower is better)"."""
        words = self.with_unit(what)
        return words if self.maximize else f"{words} ({self.better})"

    def heading(self, what: str = "") -> str:
        """Returns the title of a column, such as "test accuracy" or "test RMSE (lower is better)"."""
        words = f"{what} {self.title}".strip()
        return words if self.maximize else f"{words} ({self.better})"

    def named_text(self, score: Score | float | None) -> str:
        """Returns a score with the metric's name: "RMSE 56.9 ± 4.2 kg", "1.84 ± 0.02 bits per byte"."""
        return self.text(score) if self.unit == self.title else f"{self.title} {self.text(score)}"

    def text(self, score: Score | float | None) -> str:
        """Returns a score for people: "93.06 ± 1.30 %", "1.84 ± 0.02 bits per byte"; a dash where there is none."""
        if score is None:
            return "-"
        value, error = (score.value, score.standard_error) if isinstance(score, Score) else (score, None)
        return text_with_error(self.shown(value), None if error is None else self.shown(error), self.unit)

    def difference_text(self, first: Score, second: Score) -> str:
        """Returns how far `first` is from `second`, with a sign: "-0.28 ± 0.90 points", "+0.120 ± 0.030 kg"."""
        return self.gain_text(difference(first, second))

    def gain_text(self, gain: Score) -> str:
        """Returns a difference that is known as such, with its own standard error, as `difference_text` writes it."""
        by, error = self.shown(gain.value), gain.standard_error
        unit = "points" if self.unit == "%" else self.unit
        text = text_with_error(abs(by), None if error is None else self.shown(error), unit, percent=self.unit == "%")
        is_zero = float(text.split()[0]) == 0
        return f"{'±' if is_zero and error is None else '' if is_zero else MINUS if by < 0 else '+'}{text}"

    def gain_or_difference_text(self, gain: Score | None, after: Score, before: Score) -> str:
        """Returns a gain that is known example by example; otherwise the difference of two scores."""
        return self.difference_text(after, before) if gain is None else self.gain_text(gain)

    def gain_in_words(self, gain: Score) -> str:
        """Returns a difference in words, such as "1.20 ± 0.80 points lower"."""
        return f"{self.gain_text(gain).lstrip(f'±{MINUS}+')} {'lower' if gain.value < 0 else 'higher'}"

    def is_better(self, first: Score, second: Score) -> bool:
        """Whether `first` is better than `second`, by how little soever."""
        return self.quality(first.value) > self.quality(second.value)


MINUS = "\N{MINUS SIGN}"


class Scores(Part, frozen=True, kw_only=True):
    """Scores by metric, the objective first, on the splits that nothing was trained on."""

    validation: Values
    test: Values

    def of(self, metric: MetricFacts) -> tuple[Score, Score]:
        """Returns the scores of a metric on validation and on test."""
        return self.validation[metric.name], self.test[metric.name]


class Gain(Part, frozen=True, kw_only=True):
    """How far the objective of a network is from an earlier one's, on the same examples: paired differences."""

    validation: Score
    test: Score


def check_scored(metrics: Sequence[MetricFacts], *scores: Scores | Values | None) -> None:
    """Checks what a file says of metrics, and that all of them have a score that can be.

    Raises:
        ValueError: no metric, two of the same name, or a score that is missing or cannot be.
    """
    names = [metric.name for metric in metrics]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"metrics are {names}: at least one is needed, each name once")
    for each in scores:
        if each is None:
            continue
        for values in (each.validation, each.test) if isinstance(each, Scores) else (each,):
            if missing := [name for name in names if name not in values]:
                raise ValueError(f"scores have no {missing[0]!r}, which is among the metrics")
            for metric in metrics:
                _check_score(values[metric.name], metric)


def _check_score(score: Score, metric: MetricFacts) -> None:
    error = score.standard_error
    possible = 0 <= score.value <= 1 if metric.share else math.isfinite(score.value)
    if not possible or score.examples < 1 or not (error is None or (error >= 0 and math.isfinite(error))):
        rule = "from 0 to 1" if metric.share else "finite"
        raise ValueError(f"{score} of {metric.name!r}: a value must be {rule}, examples at least 1, errors 0 or more")


def facts_of(metric: Metric) -> MetricFacts:
    """Returns what files hold of a metric."""
    return MetricFacts(
        name=metric.name,
        title=metric.title,
        unit=metric.unit,
        maximize=metric.maximize,
        share=metric.standard_error == "binomial",
    )


def metrics_of(task: Task) -> tuple[MetricFacts, ...]:
    """Returns the facts of the metrics of a task, the objective first."""
    return tuple(map(facts_of, task.metrics))


def first(scores: Values) -> Score:
    """Returns the score of the objective."""
    return next(iter(scores.values()))


def ordered(scores: Scores, metrics: Sequence[MetricFacts]) -> Scores:
    """Returns scores with the first of `metrics` first."""
    name = metrics[0].name
    return Scores(validation=with_first(scores.validation, name), test=with_first(scores.test, name))


def with_first(scores: Values, name: str) -> dict[str, Score]:
    """Returns scores with one metric's first."""
    return {name: scores[name], **scores}


def combined_error(first: Score, second: Score) -> float | None:
    """Returns the standard error of a difference of two scores as if of different examples; None: not known.

    Of the same examples it is an upper bound where both networks find the same ones hard.
    """
    errors = [score.standard_error for score in (first, second)]
    known = [error for error in errors if error is not None]
    return math.hypot(*known) if len(known) == len(errors) else None


def difference(first: Score, second: Score) -> Score:
    """Returns how far one score is from another as if of different examples, with its standard error."""
    return Score(first.value - second.value, first.examples, combined_error(first, second))


def is_noise(first: Score, second: Score) -> bool:
    """Whether a difference is below two combined standard errors; False where these are not known."""
    error = combined_error(first, second)
    return error is not None and abs(first.value - second.value) < NOISE * error


def examples_text(scores: Iterable[Score | None]) -> str:
    """Returns on how many examples scores were measured, such as "360 examples"; empty where there are none."""
    counts = sorted({score.examples for score in scores if score is not None})
    return " and ".join(f"{count:,}" for count in counts) + " examples" if counts else ""
