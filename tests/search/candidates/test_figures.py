"""Names of figures."""

from __future__ import annotations

from typing import Any

import pytest

from ofa.errors import InvalidInput
from search.candidates.figures import (
    FIGURES,
    check_figure,
    device_of,
    figure_text,
    is_figure,
    is_latency,
    latency_of,
    unit,
)


def test_a_latency_names_its_device_where_there_are_several() -> None:
    assert latency_of("my-phone.2") == "latency_ms@my-phone.2"
    assert device_of(latency_of("my-phone.2")) == "my-phone.2"
    assert device_of("latency_ms") == ""
    assert is_latency("latency_ms") and is_latency("latency_ms@x")
    assert not is_latency("macs") and not is_latency("accuracy")


@pytest.mark.parametrize("name", [*FIGURES, "latency_ms@x"])
def test_every_figure_has_a_unit(name: str) -> None:
    assert check_figure(name) == name
    assert unit(name)


@pytest.mark.parametrize("name", ["latency", "latency_ms@", "macs@x", "accuracy", 4, None])
def test_other_names_are_refused(name: Any) -> None:
    assert not is_figure(str(name))
    with pytest.raises(InvalidInput, match="is not a figure to limit"):
        check_figure(name)


def test_figures_are_written_as_they_can_be_given_again() -> None:
    assert figure_text("latency_ms@a", 12345.6) == "latency_ms@a=1.235e+04 ms"
    assert figure_text("macs", 1234567.0) == "macs=1234567 MACs"
    assert figure_text("params", 1e6) == "params=1000000"
