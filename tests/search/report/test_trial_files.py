"""The files of a trial: the curve of its fine-tuning."""

from __future__ import annotations

from search.report.trial_files import curve_picture
from tests.search.report.rendered import texts


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
