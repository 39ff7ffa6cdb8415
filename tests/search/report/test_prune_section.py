"""The section of pruned networks: a row, a point and a menu entry each; all text escaped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from ofa.errors import InvalidInput
from search.report.data import Level, Pruned
from search.report.figures import Figure
from search.report.page import render
from search.report.prune_section import gather_pruned, prune_section
from search.run.paths import RunFolder
from search.run.pruned_cards import Histogram, LayerRow
from search.run.stages import Stage, written
from tests.search.report.example import example
from tests.search.report.rendered import rendered
from tests.search.scored import ACCURACY, score


def layer(name: str, weights: int, kept: int, low: float, high: float, counts: tuple[int, ...]) -> LayerRow:
    histogram = Histogram(low=low, high=high, counts=counts)
    return LayerRow(name=name, shape=(weights,), weights=weights, kept=kept, histogram=histogram)


LAYERS = (
    layer("conv1.weight", 100, 50, -1.0, 1.0, (10, 15, 0, 25)),
    layer("classifier.weight", 300, 3, -0.5, 0.5, (1, 0, 0, 2)),
)
EMPTY = structs.replace(LAYERS[0], kept=0, histogram=None)
LEVELS = tuple(
    Level(kind, 0.8**level, score(0.98 - 0.01 * level)) for level in (1, 2) for kind in ("ticket", "reinit", "random")
)
ONE = Pruned(
    "first", "lenet5-mnist", ACCURACY, score(0.98), score(0.985), score(0.99), 0.1325, 400, 53, 5300, None, None, LAYERS
)
MANY = (
    ONE,
    replace(ONE, name="second", density=0.05, slim_params=90, slim_macs=900),
    replace(ONE, name="tickets", density=0.64, levels=LEVELS, dense_test=None),
    replace(
        ONE,
        name="third",
        network="lenet300-mnist",
        layers=(EMPTY, LAYERS[1]),
    ),
)


@pytest.fixture
def figures() -> dict[str, Figure]:
    return rendered(prune_section(MANY))[1]


def test_nothing_pruned_nothing_said() -> None:
    assert prune_section(()) is None


def test_every_network_has_a_row_and_a_point(figures: dict[str, Figure]) -> None:
    section, _ = rendered(prune_section(MANY))
    assert section.count("<tr>") == 1 + len(MANY)
    traces = {trace["name"]: trace for trace in figures["prune-scores"]["data"]}
    assert traces["lenet5-mnist"]["x"] == [100 * one.density for one in MANY[:3]]
    assert traces["lenet300-mnist"]["y"] == [98.0]
    assert traces["lenet5-mnist, dense"]["y"] == [99.0, 99.0]
    for kind in ("ticket", "reinit", "random"):
        assert traces[f"tickets: {kind}"]["x"] == pytest.approx([80.0, 64.0])


def test_layers_and_histograms_are_shares(figures: dict[str, Figure]) -> None:
    assert figures["prune-layers-0"]["data"][0]["y"] == [50.0, 1.0]
    first = figures["prune-weights-0"]["data"][0]
    assert first["x"] == [-0.75, -0.25, 0.25, 0.75]
    assert first["y"] == [20.0, 30.0, 0.0, 50.0]
    assert [trace["name"] for trace in figures["prune-weights-1"]["data"]] == ["classifier.weight"]  # nothing is left


def test_the_menu_shows_one_network_at_a_time(figures: dict[str, Figure]) -> None:
    figure = figures["prune-weights-0"]
    buttons = figure["layout"]["updatemenus"][0]["buttons"]
    assert [button["label"] for button in buttons] == ["first", "second", "tickets"]
    shown = [button["args"][0]["visible"] for button in buttons]
    assert [sum(column) for column in zip(*shown, strict=True)] == [1] * len(figure["data"])
    assert [trace["visible"] for trace in figure["data"]] == shown[0]
    assert "updatemenus" not in figures["prune-weights-1"]["layout"]


def test_files_are_linked_from_the_folder_of_the_report() -> None:
    files = ("prune/a b=1/model.onnx", "prune/a b=1/slim/network.py")
    section, _ = rendered(prune_section([replace(ONE, files=files)]))
    assert '<a href="prune/a%20b%3D1/model.onnx">model.onnx</a>' in section
    assert '<a href="prune/a%20b%3D1/slim/network.py">slim/network.py</a>' in section


def test_all_text_is_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>"
    layers = tuple(structs.replace(row, name=evil) for row in LAYERS)
    bad = replace(ONE, name=evil, network=evil, layers=layers, levels=LEVELS, files=(evil,))
    section, figures = rendered(prune_section([bad] * 2))
    assert "<img" not in section
    assert "<img" not in json.dumps(figures)


def test_a_supernet_and_pruned_networks_share_a_page() -> None:
    page = render(replace(example(), pruned=MANY))
    assert "Pruned networks" in page and "fitted subnets" in page
    alone = render(replace(example(), pruned=MANY, devices=(), history=(), choices=(), config="", digests={}))
    assert "<h1>4 pruned networks</h1>" in alone and "supernet" not in alone.split("</main>")[0]


def test_unfinished_networks_are_left_out_and_damaged_cards_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "main")
    card = run.pruned / "one/card.json"
    with pytest.raises(RuntimeError), written(Stage("prune", card.parent, {})):
        card.write_text("{")
        raise RuntimeError
    assert gather_pruned(run) == ()
    with written(Stage("prune", card.parent, {})):
        pass
    with pytest.raises(InvalidInput, match=r"one/card\.json is damaged"):
        gather_pruned(run)
