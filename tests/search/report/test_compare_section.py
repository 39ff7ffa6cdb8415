"""The section of compared devices: every subnet on every device, each own choice beside another's, text escaped."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from msgspec import structs

from ofa.errors import InvalidInput
from search.report.compare_section import compare_section, gather_compared
from search.report.data import Compared
from search.report.figures import Figure
from search.report.page import render
from search.run.paths import RunFolder
from search.subnets.chosen import digest_of_searches
from tests.record_files import rewrite
from tests.search.report.compared_example import compared_example, write_comparison
from tests.search.report.example import CHOICES, example
from tests.search.report.rendered import rendered
from tests.search.subnets.comparisons import MS, SEARCHES, THIN, compared, found, found_together


@pytest.fixture(scope="module")
def both() -> Compared:
    return compared_example()


def section_of(one: Compared | None) -> tuple[str, dict[str, Figure]]:
    return rendered(compare_section(one, CHOICES))


def test_nothing_compared_nothing_said() -> None:
    assert section_of(None) == ("", {})


def test_every_subnet_has_a_card_with_its_picture_and_a_row(both: Compared) -> None:
    section, _ = section_of(both)
    assert section.count('class="card"') == section.count('class="silhouette"') == 3
    assert section.count("<tr") == 1 + 4 + 1 + 4  # subnets, the largest among them, and pairs; two heads
    assert section.count('class="reference"') == 1
    assert section.count('class="own"') == 4  # two subnets of one device, one of both
    assert "One supernet, a different subnet for each device" in section
    assert f"{both.content.finding.split(':')[0]}:" in unescape(section)


def test_times_shares_and_limits_are_in_the_matrix(both: Compared) -> None:
    section, _ = section_of(both)
    assert '60.0 ms <span class="of">60 %</span>' in section
    assert section.count("✓ 2.10") == 1 and section.count("✗ 2.10") == 3
    assert section.count("✓ 48.0") == 2 and section.count("✗ 48.0") == 2
    many = found("laptop", dict.fromkeys((1.0, 2.0, 3.0, 7.0, 8.0), THIN))
    section, _ = section_of(compared_example(compared({"laptop": many})))
    assert "meets 2 of 5 limits" in section


def test_lines_go_from_device_to_device_and_stars_are_on_ones_own(both: Compared) -> None:
    _, figures = section_of(both)
    limits, *lines = figures["compare-slopes"]["data"]
    assert limits["y"] == pytest.approx([100 * 2.1 / 8, 100 * 4.1 / 8, 25.0, 48.0])
    assert [line["x"] for line in lines] == [["laptop", "phone"]] * 3
    assert {tuple(line["y"]) for line in lines} == {(25.0, 60.0), (80.0, 24.0), (50.0, 44.0)}
    assert {line["name"]: line["marker"]["symbol"] for line in lines} == {
        "chosen for laptop": ["star", "circle"],
        "chosen for phone": ["circle", "star"],
        "chosen for laptop and phone": ["star", "star"],
    }
    assert len({line["line"]["color"] for line in lines}) == 3


def test_what_was_found_is_said_for_every_pair(both: Compared) -> None:
    section, _ = section_of(both)
    assert section.count('class="text wrap met">meets the limit where the other does not') == 2
    assert section.count('class="text wrap">not better: both chose the same subnet') == 2
    assert "standard error on 1,000 test examples" in section
    laptop, phone = both.content.devices
    noisy = structs.replace(both.content, devices=(structs.replace(laptop, verdict="noisy"), phone))
    poor, _ = section_of(replace(both, content=noisy))
    assert "Measurement quality: laptop noisy." in poor and "Measurement quality" not in section


def test_one_subnet_for_both_is_not_called_different() -> None:
    together = {"both": found_together({"laptop": 6.6, "phone": 30.0}, THIN)}
    section, figures = section_of(compared_example(compared(together)))
    assert "One supernet on every device" in section and "different subnet" not in section
    assert "Own choice versus" not in section
    assert figures["compare-slopes"]["data"][1]["line"]["color"] == "$muted"


def test_one_device_alone_has_no_slopes() -> None:
    section, figures = section_of(compared_example(compared({"laptop": SEARCHES["laptop"]}, devices=("laptop",))))
    assert figures == {}
    assert "The chosen subnets side by side" in section and "Only laptop was searched" in section


def test_all_text_is_escaped(both: Compared) -> None:
    evil = "<img src=x onerror=alert(1)>"
    laptop, phone = both.content.devices
    bad = structs.replace(
        both.content,
        devices=(laptop, structs.replace(phone, name=evil, runtime=evil, verdict=evil)),
        finding=evil,
        subnets=tuple(
            structs.replace(
                subnet,
                name=evil,
                chosen_for=tuple(
                    structs.replace(each, devices=(evil,), limits_ms={evil: 2.1}) for each in subnet.chosen_for
                ),
                on={evil: subnet.on["phone"], "laptop": subnet.on["laptop"]},
            )
            for subnet in both.content.subnets
        ),
        pairs=tuple(
            structs.replace(
                pair, device=evil, other_device=evil, sense=evil, own=structs.replace(pair.own, subnet=evil)
            )
            for pair in both.content.pairs
        ),
    )
    workloads = {evil: both.workloads["phone"], "laptop": both.workloads["laptop"]}
    section, figures = section_of(replace(both, content=bad, workloads=workloads))
    assert "<img" not in section
    assert "<img" not in json.dumps(figures)


def test_it_is_on_the_page_between_searches_and_training(both: Compared) -> None:
    page = render(replace(example(), compared=both))
    places = [page.index(text) for text in ("Finalists</h2>", "One supernet, a different", "<h2>Training")]
    assert places == sorted(places)
    assert '<div id="compare-slopes">' in page


def test_newer_searches_are_said_and_damage_is_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "main")
    assert gather_compared(run) is None
    write_comparison(run, structs.replace(compared(), searches=digest_of_searches({})))
    now = gather_compared(run)
    assert now is not None and not now.is_old
    assert "Newer searches" not in section_of(now)[0]
    assert "Newer searches" in section_of(replace(now, is_old=True))[0]
    rewrite(run.comparison, lambda content: content.pop("searches"))
    with pytest.raises(InvalidInput, match=r"comparison\.json: object missing required field `searches`.*force=true"):
        gather_compared(run)


def test_the_example_is_of_the_choices_that_are_drawn() -> None:
    keys = {choice.key for choice in CHOICES}
    assert all(set(arch.values) <= keys for arch in MS["laptop"])
