"""The palette: the same names in light and dark, and every color of a figure is one of them."""

from __future__ import annotations

import re
from dataclasses import replace

from search.report import document as palette
from search.report.document import light, series_color
from search.report.page import render
from tests.search.report.analyzed_example import analyzed
from tests.search.report.compared_example import compared_example
from tests.search.report.example import example


def test_light_and_dark_have_the_same_names_and_other_colors() -> None:
    assert palette.LIGHT.keys() == palette.DARK.keys()
    assert not set(palette.LIGHT.values()) & set(palette.DARK.values())


def test_every_color_of_a_page_is_in_the_palette() -> None:
    page = render(replace(example(), devices=(*example().devices, analyzed(10)), compared=compared_example()))
    figures = page.split('id="figures">')[1].split("</script>")[0]
    styles = page.split("<style>")[1].split("</style>")[0]
    used = set(re.findall(r'"\$(\w+)', figures)) | set(re.findall(r"var\(--(\w+)", styles))
    assert len(used) > 8 and used <= palette.LIGHT.keys()


def test_series_begin_again_after_the_last_color() -> None:
    colors = [series_color(index) for index in range(len(palette.SERIES) + 1)]
    assert len(set(colors)) == len(palette.SERIES) and colors[0] == colors[-1]


def test_names_inside_a_figure_become_light_colors() -> None:
    figure = {"marker": {"color": "$accent"}, "colors": ["$star", "red"], "size": 3, "text": "$5"}
    assert light(figure) == {
        "marker": {"color": palette.LIGHT["accent"]},
        "colors": [palette.LIGHT["star"], "red"],
        "size": 3,
        "text": "$5",
    }
