"""The tables of verbs: a line for each subnet, pair or network, and plain text of its full width in a file."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from ofa.task import Score
from search.app.tables import print_comparison, print_pruned, print_subnets
from search.candidates.search_files import SubnetList, SubnetRow
from search.device.workload import Workload
from search.run.cards import InputPreprocessing, Onnx, PlainSource, Rebuild
from search.run.paths import RunFolder
from search.run.pruned_cards import DenseFacts, PrunedCard, SlimCard
from search.run.result_files import Comparison
from search.run.scores import Gain
from tests.search.scored import ACCURACY, scores_of
from tests.search.subnets.comparisons import SEARCHES, compared
from tests.search.subnets.subnet_rows import subnet_row


def subnets(*rows: SubnetRow) -> list[str]:
    stream = io.StringIO()
    print_subnets(SubnetList(metrics=(ACCURACY,), rows=rows), Path("outputs/tiny"), stream)
    *lines, counted, _ = stream.getvalue().splitlines()
    assert counted == "test scores of 1,000 examples"
    return lines[1:]


def test_one_device() -> None:
    limited = subnet_row(limits={"latency_ms": 0.25}, measured={"latency_ms": 0.2})
    largest = subnet_row(largest=True, limits=None, measured={"latency_ms": 0.8}, folder=None)
    title, _, first, last = subnets(limited, largest)
    assert title.split() == ["limit", "measured", "test", "accuracy", "MACs", "params", "file"]
    assert first.split() == "0.250 ms 0.200 ms 98.76 ± 0.35 % 123 k 4.56 k outputs/tiny/subnets/a/model.onnx".split()
    assert last.split()[:3] == ["largest", "0.800", "ms"]


def test_a_batch_has_its_unit_and_a_rate() -> None:
    rows = (subnet_row(limits={"latency_ms": 0.25}, measured={"latency_ms": 0.2}),)
    stream, workloads = io.StringIO(), {rows[0].device: Workload(batch=32)}
    print_subnets(SubnetList(metrics=(ACCURACY,), rows=rows), Path("outputs/tiny"), stream, workloads)
    title, _, line = stream.getvalue().splitlines()[1:-2]
    assert title.split()[1:9] == ["measured,", "ms", "per", "batch", "of", "32", "rate", "test"]
    assert line.split()[:6] == ["0.250", "ms", "0.200", "ms", "160,000", "examples/s"]
    stream = io.StringIO()
    print_subnets(
        SubnetList(metrics=(ACCURACY,), rows=rows), Path("outputs/tiny"), stream, {"other": Workload(batch=32)}
    )
    assert "rate" not in stream.getvalue()


def test_several_devices_and_a_limit_of_memory() -> None:
    names = ("latency_ms@phone", "latency_ms@laptop")
    limits = {"latency_ms@laptop": 3.0, "latency_ms@phone": 0.3, "peak_activation_bytes": 2e5}
    times, slowest = dict(zip(names, (0.25, 2.5), strict=True)), dict(zip(names, (0.9, 9.0), strict=True))
    limited = subnet_row(limits=limits, measured=times, peak_activation_bytes=198_000)
    largest = subnet_row(largest=True, limits=None, measured=slowest, folder=None, peak_activation_bytes=800_000)
    title, _, first, last = subnets(limited, largest)
    assert title.index("measured on phone") < title.index("measured on laptop") < title.index("activations")
    assert "3.00 ms on laptop, 0.300 ms on phone, 200 kB of activations  " in first
    assert " 0.250 ms " in first and " 2.50 ms " in first and " 198 kB " in first
    assert last.split()[:5] == ["largest", "0.900", "ms", "9.00", "ms"]


def test_without_a_latency_limit() -> None:
    row = subnet_row(limits={"params": 5e3}, measured={"latency_ms": 0.25})
    _, _, line, free = subnets(row, structs.replace(row, limits={}))
    assert line.split()[:3] == ["5.00", "k", "params"]
    assert free.split()[0] == "none"


def comparison(content: Comparison) -> list[str]:
    stream = io.StringIO()
    print_comparison(content, stream)
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def test_every_subnet_and_every_pair_has_a_line() -> None:
    lines = comparison(compared())
    assert "A laptop ≤ 2.10 ms 93.00 ± 0.81 % 2.00 ms, 25 %, meets 2 of 2 60.0 ms, 60 %, meets 0 of 2" in lines
    assert any(line.startswith("largest reference 97.00 ± 0.54 % 8.00 ms, 100 %") for line in lines)
    assert (
        "laptop ≤ 2.10 ms A: 2.00 ms, 93.00 ± 0.81 % C: 6.40 ms, 93.20 ± 0.80 % (phone) meets the limit where the "
        "other does not" in lines
    )
    assert any(line.endswith("not better: both chose the same subnet") for line in lines)
    assert lines[-1] == compared().finding


def test_without_pairs_there_is_one_table_and_a_poor_measurement_is_said() -> None:
    content = compared({"laptop": SEARCHES["laptop"]}, devices=("laptop",))
    assert not [line for line in comparison(content) if line.startswith("on limit")]
    content = structs.replace(content, devices=(structs.replace(content.devices[0], verdict="noisy"),))
    assert "the measurement on laptop is noisy: repeat it on a quiet machine" in comparison(content)


def card(name: str, kept: int, slim: int | None = None) -> PrunedCard:
    scores = scores_of(0.9, 0.9)
    common: dict[str, Any] = {
        "files": {},
        "rebuild": Rebuild(),
        "input_shape": (1, 8, 8),
        "output_shape": (10,),
        "onnx": Onnx(),
        "plain_pytorch": PlainSource(),
        "versions": {},
        "warnings": (),
        "data": "digits",
        "num_classes": 10,
        "class_names": (),
        "preprocessing": InputPreprocessing(formula="", pixels="", scale=1.0, mean=(0.0,), std=(1.0,), resize="none"),
        "digest": "0" * 16,
        "macs": 50_200,
        "metrics": (ACCURACY,),
        "scores": scores,
    }
    return PrunedCard(
        **common,
        name=name,
        network="lenet300-digits",
        seed=0,
        sparsity=0.9,
        config_hash="0" * 16,
        params=50_200,
        weights=50_200,
        kept=kept,
        density=kept / 50_200,
        kept_macs=kept,
        predicted_bytes=4 * kept,
        dense=DenseFacts(digest="0" * 16, scores=scores_of(0.95, 0.95), params=50_200),
        slim=None if slim is None else SlimCard(**common, folder="slim", params=slim, shapes={}),
        layers=(),
        levels=(),
        seconds=1.0,
    )


def test_a_later_call_without_a_header_goes_on_with_the_table_of_pruned_networks() -> None:
    stream = io.StringIO()
    run, gain = RunFolder(Path("outputs/one")), Gain(validation=Score(-0.02, 100, 0.01), test=Score(-0.05, 100, 0.004))
    print_pruned([card("first", 5_020)], run, stream)
    second_card = structs.replace(card("second [bold]", 50_200, 1_234_567), gain=gain)
    print_pruned([second_card], run, stream, header=False)
    titles, rule, first, second = stream.getvalue().splitlines()
    assert titles.split()[-1] == "folder" and set(rule) == {"─"}
    place = first.index(str(run.pruned / "first"))
    assert place == second.index(str(run.pruned / "second [bold]")) == titles.index("folder")
    assert second.split()[:5] == ["100.00", "%", "50.2", "k", "50.2"] and "1.23 M  outputs" in second
    assert "\N{MINUS SIGN}5.00 ± 0.40 points" in second and "0.40" not in first  # paired where it is known


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_only_a_terminal_has_bold_titles_and_no_line_depends_on_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "20")
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        print_comparison(compared(), stream)
    assert "\x1b[1m" in terminal.getvalue() and "\x1b" not in file.getvalue()
    assert re.sub(r"\x1b\[\d*m", "", terminal.getvalue()).split() == file.getvalue().split()
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) > 100 and not [line for line in lines if line != line.rstrip()]
