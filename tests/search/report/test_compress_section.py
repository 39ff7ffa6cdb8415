"""The section of compressed networks: a line for each stage, bars that add up to the bytes, all text escaped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import read_record, write_record
from search.compression.text import log_text, stage_cells, stage_titles
from search.report.compress_section import compress_section, gather_compressed, stages_figure, tensors_figure
from search.report.figures import logarithmic
from search.report.page import render
from search.run.cards import InputPreprocessing, Rebuild
from search.run.compressed_cards import CompressedCard, CompressedFolder, SizeRow, StageRow
from search.run.paths import RunFolder
from search.run.scores import Gain, Scores
from search.run.stages import Stage, written
from search.text import bytes_text
from tests.search.report.example import example
from tests.search.report.rendered import rendered
from tests.search.scored import ACCURACY, score

PIXELS = InputPreprocessing(formula="x", pixels="uint8", scale=1.0, mean=(0.0,), std=(1.0,), resize="none")


def row(stage: str, size: int, accuracy: float) -> StageRow:
    tensors = (
        SizeRow(
            name="conv1.weight", numbers=100, kept=20, positions=size, values=2 * size, tables=3, rest=4, how="sparse"
        ),
        SizeRow(name="fc.bias", numbers=10, kept=10, positions=0, values=40, tables=0, rest=5, how="plain"),
    )
    head = 60
    scores = Scores(validation={"accuracy": score(accuracy)}, test={"accuracy": score(accuracy)})
    total = head + sum(tensor.bytes for tensor in tensors)
    return StageRow(stage=stage, density=0.25, bytes=total, head=head, tensors=tensors, scores=scores, seconds=1.0)


def card(name: str = "<b>small") -> CompressedCard:
    rows = (row("start", 300, 0.98), row("prune", 100, 0.97), row("code", 100, 0.97))
    return CompressedCard(
        name=name,
        source="the subnet <i>one",
        source_digest="ab",
        recipe="deep_compression",
        config_hash="cd",
        digest="ef",
        file="01",
        arch=Arch(),
        rebuild=Rebuild(),
        data="digits",
        preprocessing=InputPreprocessing(
            formula="x", pixels="uint8", scale=1.0, mean=(0.0,), std=(1.0,), resize="none"
        ),
        metrics=(ACCURACY,),
        dense_bytes=4000,
        bytes=rows[-1].bytes,
        stages=rows,
        seconds=3.0,
    )


def test_no_network_no_section() -> None:
    assert compress_section(()) is None


def test_bars_add_up_to_the_bytes_of_each_stage() -> None:
    one = card()
    bars = stages_figure(one)["data"]
    assert [sum(bar["y"][stage] for bar in bars) for stage in range(3)] == [stage.bytes for stage in one.stages]
    tensors = tensors_figure(one)["data"]
    assert [sum(bar["y"][number] for bar in tensors) for number in (0, 1)] == [307, 45]
    for cells, stage in zip(stage_cells(one), one.stages, strict=True):
        assert len(cells) == len(stage_titles(ACCURACY))
        assert sum(int(cell.replace(",", "")) for cell in cells[4:8]) == stage.bytes


def test_tensors_with_next_to_no_bytes_have_no_bar() -> None:
    one = card()
    last = one.stages[-1]
    norms = tuple(
        SizeRow(name=f"norm.{number}", numbers=1, kept=1, positions=0, values=1, tables=0, rest=0, how="plain")
        for number in range(3)
    )
    many = structs.replace(one, stages=(structs.replace(last, tensors=(*norms, *last.tensors)),))
    assert [bar["x"] for bar in tensors_figure(many)["data"]] == [["conv1.weight", "fc.bias"]] * 4


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ([9_000, 2_000_000], ["10.0 kB", "20.0 kB", "50.0 kB", "100 kB", "200 kB", "500 kB", "1.00 MB", "2.00 MB"]),
        ([54_000, 147_000], ["70.0 kB", "100 kB"]),
        ([51_000, 53_000], ["51.0 kB", "53.0 kB"]),
        ([51_000], ["51.0 kB"]),
    ],
)
def test_sizes_have_ticks_where_they_are(sizes: list[float], shown: list[str]) -> None:
    axis = logarithmic({}, sizes, bytes_text)
    ticks = zip(axis["tickvals"], axis["ticktext"], strict=True)
    assert [text for tick, text in ticks if sizes[0] <= tick <= sizes[-1]] == shown


def test_the_difference_from_the_start_is_paired_where_it_is_known() -> None:
    gain = Gain(validation=score(-0.01, error=0.003), test=score(-0.01, error=0.002))
    one = card()
    paired = structs.replace(one, stages=(*one.stages[:2], structs.replace(one.stages[2], gain=gain)))
    start, by_scores, by_examples = (cells[-1] for cells in stage_cells(paired))
    assert start == "" and by_scores.startswith("\N{MINUS SIGN}1.00 ±")
    assert by_examples == "\N{MINUS SIGN}1.00 ± 0.20 points" != by_scores


def test_a_page_has_a_line_for_each_stage_and_escapes_names() -> None:
    text, figures = rendered(compress_section((card(), card("two"))))
    assert text.count("<tr>") == 2 * (1 + 3 + 1 + 2) and "<b>small" not in text and "<i>one" not in text
    assert [trace["name"] for trace in figures["compress-scores"]["data"]] == ["&lt;b&gt;small", "two"]
    page = render(replace(example(), compressed=(card(),)))
    assert "Compressed networks" in page and "<b>small" not in page
    alone = render(replace(example(), devices=(), config="", compressed=(card(),)))
    assert "One compressed network" in alone


def test_the_log_says_what_every_byte_is_for() -> None:
    lines = log_text(structs.replace(card(), warnings=("less accurate",))).splitlines()
    assert lines[0] == "<b>small: the subnet <i>one, 4,000 bytes, by deep_compression"
    assert any(line.startswith("conv1.weight") and line.endswith("sparse") for line in lines)
    assert lines[-1] == "warning: less accurate"


def test_cards_are_gathered_and_damage_is_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for name in ("b", "a"):
        with written(Stage("compress", run.compressed / name, {})) as folder:
            write_record(CompressedFolder(folder).card, card(name))
    (run.compressed / "begun").mkdir()
    assert [one.name for one in gather_compressed(run)] == ["a", "b"]
    path = CompressedFolder(run.compressed / "a").card
    assert read_record(path, CompressedCard) == card("a")
    path.write_text(path.read_text().replace(f'"bytes": {card().bytes}', '"bytes": 7'))
    with pytest.raises(InvalidInput, match="edited after it was written"):
        gather_compressed(run)
