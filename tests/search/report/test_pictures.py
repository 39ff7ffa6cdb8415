"""Pictures that are files of their own: well-formed SVG that says what was chosen."""

from __future__ import annotations

from xml.etree import ElementTree

from search.report.arch_picture import arch_picture
from search.report.curve_picture import curve_picture
from search.report.data import Choice
from tests.search.synthetic import block_space

CHOICES = [Choice(choice.kind, choice.name, choice.values) for choice in block_space(stages=1, blocks=3).choices]


def texts(picture: str) -> list[str]:
    root = ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_every_choice_is_named_with_its_value_or_as_left_out() -> None:
    arch = block_space(stages=1, blocks=3).smallest.values
    said = texts(arch_picture(CHOICES, arch, "a < b & c", {"schedule": "<cubic>"}))
    assert said[0] == "a < b & c"
    assert "<cubic>" in said
    assert said.count("left out") == len(CHOICES) - len(arch) == 2
    assert said.count("24 / 48") == 2
    assert "2 / 3" in said


def test_a_space_without_widths_has_a_picture_too_and_long_names_are_cut_at_the_front() -> None:
    said = texts(arch_picture([Choice("kernel_size", "features.12.block.0.conv.depthwise", (3, 5))], {}))
    assert said[1].startswith("…")
    assert "features.12.block.0.conv.depthwise".endswith(said[1][1:])
    assert texts(arch_picture([], {})) == []


def test_a_curve_has_a_panel_a_figure_and_says_its_range() -> None:
    rows = [
        {"epoch": 1, "loss": 0.75, "accuracy": 0.5, "phase": "warm"},
        {"epoch": 2, "accuracy": 0.875},
        {"epoch": 4, "loss": 0.25},
    ]
    picture = curve_picture(rows)
    said = texts(picture)
    assert said == ["loss 0.25", "0.25 to 0.75", "epoch 1", "4", "accuracy 0.875", "0.5 to 0.875", "epoch 1", "2"]
    assert picture.count("<polyline") == 2
    assert texts(curve_picture([{"epoch": 1, "loss": 0.5}]))[0] == "loss 0.5"
