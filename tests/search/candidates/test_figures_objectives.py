"""What is optimized, as users give it."""

from __future__ import annotations

from typing import Any

import pytest

from ofa.errors import InvalidInput
from search.candidates.figures import directions, objective_names
from search.run.scores import MetricFacts
from tests.search.scored import ACCURACY, LOSS

TWO = ("latency_ms@a", "latency_ms@b")


@pytest.mark.parametrize(
    ("objective", "latencies", "names"),
    [
        ("pareto", ("latency_ms",), ["accuracy", "latency_ms"]),
        ("pareto", TWO, ["accuracy", *TWO]),
        ("metric", TWO, ["accuracy"]),
        ("accuracy", TWO, ["accuracy"]),
        ("loss", TWO, ["loss"]),
        (["accuracy"], TWO, ["accuracy"]),
        (["params", "accuracy"], ("latency_ms",), ["params", "accuracy"]),
        (["params", "metric"], ("latency_ms",), ["params", "accuracy"]),
        (["accuracy", "latency_ms", "bytes"], TWO, ["accuracy", *TWO, "bytes"]),
        (["loss", "latency_ms@b"], TWO, ["loss", "latency_ms@b"]),
        (["accuracy", "macs", "peak_activation_bytes"], TWO, ["accuracy", "macs", "peak_activation_bytes"]),
    ],
)
def test_an_accuracy_goes_up_a_loss_and_figures_down(
    objective: Any, latencies: tuple[str, ...], names: list[str]
) -> None:
    found = directions(objective, latencies, (ACCURACY, LOSS))
    assert list(found) == names
    assert {name for name, way in found.items() if way == "maximize"} == {"accuracy"} & set(names)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("paretto", "'paretto' is unknown; did you mean pareto"),
        ("params", "'params' alone has no metric; add it: [metric,params]"),
        (4, "objective 4 must be pareto, metric or a list"),
        (None, "objective None must be"),
        ([], "objective [] has no metric; add it, such as [metric]"),
        (["params", "macs"], "objective [params,macs] has no metric; add it, such as [metric,params,macs]"),
        (["accuracy", "parms"], "names accuracy and parms, of which at most one is a metric"),
        (["accuracy", "latency_ms@c"], "did you mean latency_ms@b, latency_ms@a"),
        (["accuracy", 4], "must be pareto, metric or a list"),
        (["accuracy", "macs", "macs"], "'macs' is given twice; once is enough: [accuracy,macs]"),
        (["accuracy", "latency_ms", "latency_ms@a"], "'latency_ms@a' is given twice"),
        (["accuracy", "loss"], "names accuracy and loss, of which at most one is a metric to optimize"),
        (["mean_iou", "latency_ms"], "objective 'mean_iou' is unknown; choices: pareto, metric, accuracy"),
        (["acuracy", "latency_ms"], "objective 'acuracy' is unknown; did you mean accuracy"),
    ],
)
def test_other_objectives_are_refused_in_one_line(objective: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        directions(objective, TWO, (ACCURACY, LOSS))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_names_are_known_before_the_task_is() -> None:
    assert objective_names(["recall", "latency_ms"], TWO) == ("recall", *TWO)


def test_a_metric_is_not_called_as_a_cost() -> None:
    with pytest.raises(InvalidInput, match=r"'macs', which is the name of a cost; give it another name"):
        directions("pareto", TWO, (MetricFacts(name="macs", title="macs"),))
