"""Pictures: bars of layers, cells of every choice, and files that are well-formed SVG."""

from __future__ import annotations

import pytest

from search.report.data import Choice
from search.report.pictures import Cell, arch_picture, comparison_rows, in_model_order, silhouette
from tests.search.report.example import CHOICES
from tests.search.report.rendered import texts
from tests.search.synthetic import block_space

BLOCK_CHOICES = [Choice(choice.kind, choice.name, choice.values) for choice in block_space(stages=1, blocks=3).choices]


def test_silhouette_shows_left_out_layers_as_outlines() -> None:
    layers = silhouette(CHOICES, {"width.stem.conv": 16, "depth.stages.0": 1})
    styles = [bar.style for layer in layers for bar in layer.bars]
    assert styles.count("kept") == styles.count("whole") == 1
    assert styles.count("left-out") == 6
    assert layers[0].title == "stem.conv: 16 of 32" and layers[1].title.endswith("left out")
    assert layers[0].bars[1].height == pytest.approx(layers[0].bars[0].height / 2**0.5)
    assert silhouette((), {}) == ()


def test_comparison_has_a_row_for_each_choice_and_a_cell_for_each_subnet() -> None:
    rows = comparison_rows(CHOICES, [{"depth.stages.1": 2}, {}])
    assert sorted(f"{kind}.{name}" for kind, name, _ in rows) == sorted(
        choice.key.replace("kernel_size", "kernel") for choice in CHOICES
    )
    assert [kind for kind, *_ in rows] == ["depth"] * 2 + ["width"] * 7 + ["kernel"]
    assert rows[1][2] == [Cell(2, 3, blocks=True), Cell(None, 3, blocks=True)]
    assert sum(cell.value is None for *_, cells in rows for cell in cells) == 2 * len(CHOICES) - 1


def test_choices_come_as_the_model_has_their_layers() -> None:
    ordered = [
        "stem",
        "stages.0.0.conv1",
        "stages.0.1.conv1",
        "stages.0.10.conv1",
        "stages.1.0.conv1",
        "stages.1.0.add",
    ]
    space = ["stem", "stages.1.0.conv1", "stages.1.0.add", "stages.0.10.conv1", "stages.0.0.conv1", "stages.0.1.conv1"]
    choices = [Choice("width", name, (8, 16)) for name in space]
    assert [choice.name for choice in in_model_order(choices)] == ordered
    assert [name for _, name, _ in comparison_rows(choices, [])] == ordered
    assert [layer.title.split(":")[0] for layer in silhouette(choices, {})] == ordered
    assert [name for name in texts(arch_picture(choices, {})) if name in ordered] == ordered


def test_every_choice_is_named_with_its_value_or_as_left_out() -> None:
    arch = block_space(stages=1, blocks=3).smallest.values
    said = texts(arch_picture(BLOCK_CHOICES, arch, "a < b & c", {"schedule": "<cubic>"}))
    assert said[0] == "a < b & c"
    assert "<cubic>" in said
    assert said.count("left out") == len(BLOCK_CHOICES) - len(arch) == 2
    assert said.count("24 / 48") == 2
    assert "2 / 3" in said


def test_a_space_without_widths_has_a_picture_too_and_long_names_are_cut_at_the_front() -> None:
    said = texts(arch_picture([Choice("kernel_size", "features.12.block.0.conv.depthwise", (3, 5))], {}))
    assert said[1].startswith("…")
    assert "features.12.block.0.conv.depthwise".endswith(said[1][1:])
    assert texts(arch_picture([], {})) == []
