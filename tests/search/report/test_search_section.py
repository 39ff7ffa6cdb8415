"""A search's section: limits of every kind, and what was measured on every device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ofa.task import Score
from search.report.data import Chosen, DeviceResult
from search.report.page import render
from search.report.pareto_section import pareto_figure
from search.report.search_section import search_sections
from search.run.scores import MINUS
from tests.search.report.example import example
from tests.search.report.rendered import rendered

DATA = example()
DEVICE = DATA.devices[0]
LIMITS = {"latency_ms@phone": 0.12, "latency_ms@slow": 3.0, "peak_activation_bytes": 2e5}
assert DEVICE.largest is not None
LARGEST = DEVICE.largest


def joint() -> DeviceResult:
    """One subnet for two devices."""
    one = replace(DEVICE.chosen[-1], limits=LIMITS, times={"latency_ms@phone": 0.11, "latency_ms@slow": 2.5})
    one = replace(one, measured_ms=0.11, peak_activation_bytes=123_000)
    largest = replace(LARGEST, times={"latency_ms@phone": 0.22, "latency_ms@slow": 10.0})
    return replace(DEVICE, device="phone", others=("slow",), chosen=(one,), largest=replace(largest, measured_ms=0.22))


def section(device: DeviceResult) -> str:
    return rendered(*search_sections(DATA.choices, device, "s0", titled=True))[0]


def parameters_alone(subnet: Chosen) -> DeviceResult:
    return replace(DEVICE, chosen=(replace(subnet, limit_ms=None, limits={"params": 5e4}),))


def test_every_device_of_a_joint_search_is_shown() -> None:
    html = section(joint()).replace("\N{NO-BREAK SPACE}", " ")
    assert '<span class="pill">≤ 0.120 ms on phone, 3.00 ms on slow, 200 kB of activations</span>' in html
    assert "<dt>measured on phone</dt><dd>0.110 ms</dd><dt>measured on slow</dt><dd>2.50 ms</dd>" in html
    assert "<dd>50 %, 25 %</dd>" in html  # of the largest's time
    assert "<dt>activations</dt><dd>123 kB</dd>" in html
    assert "<th>limits</th><th>measured on phone</th><th>measured on slow</th><th>predicted on phone</th>" in html
    assert '<tr class="reference"><td>largest</td><td>0.220 ms</td><td>10.0 ms</td>' in html
    assert "on phone, the first device" in html
    page = render(replace(DATA, devices=(joint(),)))
    assert "one fitted subnet for phone and slow" in page


def test_the_front_is_over_the_first_device() -> None:
    figure: dict[str, Any] = pareto_figure(joint())
    assert figure["layout"]["xaxis"]["title"]["text"] == "latency on phone, ms (batch 1)"
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [0.12]
    texts = {trace.get("name"): trace["text"] for trace in figure["data"] if "text" in trace}
    assert texts["chosen (measured)"][0].startswith("<b>limit 0.120 ms on phone, 3.00 ms on slow, 200 kB")
    assert texts["largest (measured)"][0].startswith("<b>largest</b>")


def test_without_a_latency_limit_the_others_are_named() -> None:
    device = parameters_alone(DEVICE.chosen[0])
    html = section(device)
    assert '<span class="pill">≤ 50.0 k params</span>' in html
    assert html.count("<td>largest</td>") == 1
    figure: dict[str, Any] = pareto_figure(device)
    assert figure["layout"]["shapes"] == []
    free = section(replace(device, chosen=(replace(device.chosen[0], limits={}),)))
    assert '<span class="pill">no limit</span>' in free


def test_one_device_is_shown_as_ever() -> None:
    html = section(DEVICE)
    assert '<span class="pill">≤ 0.0600 ms</span>' in html
    assert "<th>limit</th><th>measured</th><th>predicted</th>" in html
    assert pareto_figure(DEVICE)["layout"]["xaxis"]["title"]["text"] == "latency, ms (batch 1)"


def test_the_largest_is_not_said_to_differ_from_itself() -> None:
    first, *others = DEVICE.chosen
    itself = replace(DEVICE, chosen=(replace(first, arch=LARGEST.arch), *others))
    assert section(itself).count("vs. largest</dt><dd>the same network</dd>") == 1
    assert "the same network" not in section(DEVICE)


def test_how_far_it_is_from_the_largest_is_of_the_same_examples_where_that_is_known() -> None:
    first, *others = DEVICE.chosen
    known = replace(DEVICE, chosen=(replace(first, from_largest=Score(-0.0123, 360, 0.0051)), *others))
    assert f"accuracy vs. largest</dt><dd>{MINUS}1.23 ± 0.51 points</dd>" in section(known)
    assert "0.51 points" not in section(DEVICE)
