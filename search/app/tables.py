"""The tables that verbs end with on the terminal: subnets, devices compared, pruned networks, sweeps."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from rich.box import Box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from search.candidates.figures import device_of
from search.candidates.search_files import SubnetList, SubnetRow
from search.compression.text import STAGE_TITLES, ratio_text, stage_cells, stage_titles
from search.device.workload import USUAL, Workload
from search.report.gather_sweep import SweepData
from search.report.page import layers_text
from search.report.sweep_page import TITLES, target_cells
from search.run.compressed_cards import CompressedCard, CompressedFolder
from search.run.paths import RunFolder
from search.run.pruned_cards import PrunedCard
from search.run.result_files import Comparison, Layers, PairComparison, SubnetComparison, SubnetOnDevice
from search.run.scores import MetricFacts, examples_text
from search.subnets.advantage import purposes_text
from search.text import NOTHING, bytes_text, count_text, limits_text, ms_text, percent_text

# Shown if they are limited.
SIZES = {"bytes": "size", "bytes_on_disk": "on disk", "peak_activation_bytes": "activations"}
PRUNED = ("density", "weights", "kept", "test", "vs. dense", "MACs", "slim")
PRUNED_WIDTHS = (8, 9, 9, 16, 20, 9, 9)
RULE = Box("    \n    \n ── \n    \n    \n    \n    \n    ")  # one line, below the titles
WIDEST = 10_000  # characters, so that no cell is ever wrapped or cut to the width of a terminal


def print_subnets(
    subnets: SubnetList, run: Path, stream: TextIO | None = None, workloads: Mapping[str, Workload] | None = None
) -> None:
    """Prints one line for each subnet of the run in the folder `run`.

    There is a column of measured ms for each device, one of examples or tokens a second where its runs are not of one
    example, and one for each limited size.

    Args:
        workloads: by device; others are of one example.
    """
    rows, metrics = subnets.rows, subnets.metrics
    figures = list(dict.fromkeys(name for row in rows for name in row.measured or ()))
    sizes = [name for name in SIZES if any(name in (row.limits or ()) for row in rows)]
    only = rows[0].device if rows else ""
    shown = [(name, (workloads or {}).get(device_of(name) or only, USUAL)) for name in figures]
    measured = [title for name, workload in shown for title in _time_titles(name, workload)]
    scored = [metric.heading("test") for metric in metrics]
    scored += [f"in {precision}" for precision in _precisions(rows)]
    numbers = ("limit", *measured, *scored, "MACs", "params", *(SIZES[name] for name in sizes))
    columns = [*map(_right, numbers), _left("file")]
    lines = [_subnet_cells(row, run, metrics, shown, sizes, _precisions(rows)) for row in rows]
    _print_table(columns, lines, stream, end=_counted(rows))


def _counted(rows: Sequence[SubnetRow]) -> str:
    said = examples_text(score for row in rows for score in row.scores.test.values())
    return f"test scores of {said}\n\n" if said else "\n"


def _subnet_cells(
    row: SubnetRow,
    run: Path,
    metrics: Sequence[MetricFacts],
    shown: Sequence[tuple[str, Workload]],
    sizes: Sequence[str],
    precisions: Sequence[str],
) -> tuple[str, ...]:
    times = row.measured or {}
    return (
        "largest" if row.largest else limits_text(row.limits or {}, "") or "none",
        *(cell for name, workload in shown for cell in _time_cells(times.get(name), workload)),
        *(metric.text(row.scores.test.get(metric.name)) for metric in metrics),
        *(_in_bits_text(row, precision, metrics[0]) for precision in precisions),
        count_text(row.macs),
        count_text(row.params),
        *(bytes_text(getattr(row, name)) for name in sizes),
        str(run / row.folder / "model.onnx") if row.folder else "",
    )


def _precisions(rows: Sequence[SubnetRow]) -> tuple[str, ...]:
    """What the subnets were quantized to, if anything."""
    return tuple(dict.fromkeys(row.quantized.precision for row in rows if row.quantized is not None))


def _in_bits_text(row: SubnetRow, precision: str, metric: MetricFacts) -> str:
    low = row.quantized
    return NOTHING if low is None or low.precision != precision else metric.text(low.scores.test[metric.name])


def _time_titles(name: str, workload: Workload) -> tuple[str, ...]:
    where = f" on {device_of(name)}" if device_of(name) else ""
    return (f"measured{where}",) if workload.is_usual else (f"measured{where}, {workload.unit}", f"rate{where}")


def _time_cells(ms: float | None, workload: Workload) -> tuple[str, ...]:
    rate = NOTHING if ms is None else workload.rate_text(ms)
    return (ms_text(ms),) if workload.is_usual else (ms_text(ms), rate)


def print_finetuned(subnets: SubnetList, run: Path, stream: TextIO | None = None) -> None:
    """Prints one line for each fine-tuned subnet of a run: each metric on the test split before and after."""
    metrics = subnets.metrics
    rows = [row for row in subnets.rows if row.raw is not None]
    titles = [title for metric in metrics for title in (metric.heading("test"), "fine-tuned", "difference")]
    columns = [_right("limit"), *map(_right, titles), _left("file")]
    _print_table(columns, [_finetuned_cells(row, run, metrics) for row in rows], stream, end=_counted(rows))


def _finetuned_cells(row: SubnetRow, run: Path, metrics: Sequence[MetricFacts]) -> tuple[str, ...]:
    assert row.raw is not None and row.folder is not None
    cells = []
    for metric in metrics:
        before, after = row.raw.test[metric.name], row.scores.test[metric.name]
        gain = row.gain.test if row.gain is not None and metric is metrics[0] else None
        cells += [metric.text(before), metric.text(after), metric.gain_or_difference_text(gain, after, before)]
    return (limits_text(row.limits or {}, "") or "none", *cells, str(run / row.folder / "model.onnx"))


def print_comparison(comparison: Comparison, stream: TextIO | None = None) -> None:
    """Prints a comparison: one line per subnet, one line per pair, and the conclusion."""
    devices = [device.name for device in comparison.devices]
    metric = comparison.metrics[0]
    columns = map(_left, ("subnet", "chosen for", metric.heading("test"), *devices))
    _print_table(columns, [_compared_cells(row, metric, devices) for row in comparison.subnets], stream)
    if comparison.pairs:
        columns = map(_left, ("device", "limit", "own choice", "other device's choice", "verdict"))
        _print_table(columns, [_pair_cells(pair, metric) for pair in comparison.pairs], stream)
    for device in comparison.devices:
        if device.verdict != "ok":
            print(f"the measurement on {device.name} is {device.verdict}: repeat it on a quiet machine", file=stream)
    print(f"\n{comparison.finding}", file=stream)


def _compared_cells(row: SubnetComparison, metric: MetricFacts, devices: Sequence[str]) -> tuple[str, ...]:
    return (
        row.name,
        purposes_text(row.chosen_for) or "reference",
        metric.text(row.scores.test[metric.name]),
        *(_device_cell(row.on[name]) for name in devices),
    )


def _device_cell(subnet: SubnetOnDevice) -> str:
    limits = subnet.limits
    met = sum(limit.met for limit in limits)
    share = f"{ms_text(subnet.ms)}, {percent_text(subnet.of_largest, 0)}"
    return f"{share}, meets {met} of {len(limits)}" if limits else share


def _pair_cells(row: PairComparison, metric: MetricFacts) -> tuple[str, ...]:
    own, other = (f"{side.subnet}: {ms_text(side.ms)}, {metric.text(side.score)}" for side in (row.own, row.other))
    return row.device, f"≤ {ms_text(row.limit_ms)}", own, f"{other} ({row.other_device})", row.verdict


def print_pruned(
    cards: Sequence[PrunedCard], run: RunFolder, stream: TextIO | None = None, *, header: bool = True
) -> None:
    """Prints one line for each pruned network, in columns of fixed width; a call without a header continues a table."""
    metric = cards[0].metrics[0] if cards else None
    titles = [metric.heading("test") if title == "test" and metric else title for title in PRUNED]
    numbers = [_right(title, width) for title, width in zip(titles, PRUNED_WIDTHS, strict=True)]
    lines = [(*_pruned_cells(card), str(run.pruned / card.name)) for card in cards]
    _print_table([*numbers, _left("folder")], lines, stream, begin="", header=header)


def _pruned_cells(card: PrunedCard) -> tuple[str, ...]:
    dense, slim, metric = card.dense, card.slim, card.metrics[0]
    test = card.scores.test[metric.name]
    gain = None if card.gain is None else card.gain.test
    change = NOTHING if dense is None else metric.gain_or_difference_text(gain, test, dense.scores.test[metric.name])
    return (
        percent_text(card.density),
        count_text(card.weights),
        count_text(card.kept),
        metric.text(test),
        change,
        count_text(card.kept_macs),
        "-" if slim is None else count_text(slim.params),
    )


def print_compressed(card: CompressedCard, folder: Path, stream: TextIO | None = None) -> None:
    """Prints bytes and score after each stage of a compression, and the path of the file."""
    tested = examples_text(card.scores.test.values())
    print(f"\n{card.source}: {card.dense_bytes:,} bytes; test scores of {tested}", file=stream)
    columns = [_left(STAGE_TITLES[0]), *map(_right, stage_titles(card.metrics[0])[1:])]
    _print_table(columns, stage_cells(card), stream, begin="")
    ratio = ratio_text(card.dense_bytes, card.bytes)
    print(f"{card.bytes:,} bytes, {ratio} times smaller: {CompressedFolder(folder).network}", file=stream)


def print_sweep(data: SweepData, stream: TextIO | None = None) -> None:
    """Prints one line for each target, and the names of searches that are not finished."""
    columns = [_left(TITLES[0]), *map(_right, TITLES[1:])]
    _print_table(columns, map(target_cells, data.targets), stream)
    if data.unfinished:
        print(f"not finished: {', '.join(data.unfinished)}", file=stream)
    print(file=stream)


def print_layers(layers: Layers, stream: TextIO | None = None) -> None:
    """Prints one line for each layer, how much can vary in all, and what would free the rest."""
    cells = [(row.layer, row.kind, row.state, ", ".join(map(str, row.choices)), row.reason) for row in layers.rows]
    _print_table(map(_left, ("layer", "class", "state", "choices", "why")), cells, stream, begin="")
    print(f"\n{layers_text(layers)}", file=stream)
    if layers.obstacles:
        rows = [(count_text(row.parameters), row.reason, row.cure or "-") for row in layers.obstacles]
        columns = [_right("parameters"), _left("have no choice, since this"), _left("what would free them")]
        _print_table(columns, rows, stream)
    print(file=stream)


def _left(title: str) -> Column:
    return Column(Text(title), no_wrap=True)


def _right(title: str, width: int | None = None) -> Column:
    return Column(Text(title), justify="right", min_width=width, no_wrap=True)


def _print_table(
    columns: Iterable[Column],
    rows: Iterable[Sequence[str]],
    stream: TextIO | None,
    *,
    begin: str = "\n",
    end: str = "",
    header: bool = True,
) -> None:
    """Prints a table between `begin` and `end`, with bold titles on a terminal, as plain text elsewhere."""
    stream = stream or sys.stdout
    table = Table(*columns, box=RULE, show_edge=False, show_header=header, padding=(0, 1, 0, 0), pad_edge=False)
    for cells in rows:
        table.add_row(*map(Text, cells))
    console = Console(file=stream, width=WIDEST)
    with console.capture() as capture:
        console.print(table)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    stream.write(begin + "".join(f"{line}\n" for line in lines) + end)
    stream.flush()
