"""What is optimized, as users give it."""

from __future__ import annotations

from typing import Any

import pytest

from ofa.errors import InvalidInput
from search.candidates.figures import directions

TWO = ("latency_ms@a", "latency_ms@b")


@pytest.mark.parametrize(
    ("objective", "latencies", "names"),
    [
        ("pareto", ("latency_ms",), ["accuracy", "latency_ms"]),
        ("pareto", TWO, ["accuracy", *TWO]),
        ("accuracy", TWO, ["accuracy"]),
        (["accuracy"], TWO, ["accuracy"]),
        (["params", "accuracy"], ("latency_ms",), ["params", "accuracy"]),
        (["accuracy", "latency_ms", "bytes"], TWO, ["accuracy", *TWO, "bytes"]),
        (["accuracy", "latency_ms@b"], TWO, ["accuracy", "latency_ms@b"]),
        (["accuracy", "macs", "peak_activation_bytes"], TWO, ["accuracy", "macs", "peak_activation_bytes"]),
    ],
)
def test_accuracy_goes_up_and_figures_down(objective: Any, latencies: tuple[str, ...], names: list[str]) -> None:
    found = directions(objective, latencies)
    assert list(found) == names
    assert {name for name, way in found.items() if way == "maximize"} == {"accuracy"}


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("paretto", "'paretto' is unknown; did you mean pareto"),
        ("params", "'params' alone has no accuracy; add it: [accuracy,params]"),
        (4, "objective 4 must be pareto, accuracy or a list"),
        (None, "objective None must be"),
        ([], "objective [] has no accuracy; add it, such as [accuracy]"),
        (["params", "macs"], "objective [params,macs] has no accuracy; add it, such as [accuracy,params,macs]"),
        (["accuracy", "parms"], "'parms' is unknown; did you mean params"),
        (["accuracy", "peak_activation"], "did you mean peak_activation_bytes"),
        (["accuracy", "latency_ms@c"], "did you mean latency_ms@b, latency_ms@a"),
        (["accuracy", 4], "4 is unknown"),
        (["accuracy", "macs", "macs"], "'macs' is given twice; once is enough: [accuracy,macs]"),
        (["accuracy", "latency_ms", "latency_ms@a"], "'latency_ms@a' is given twice"),
    ],
)
def test_other_objectives_are_refused_in_one_line(objective: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        directions(objective, TWO)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
