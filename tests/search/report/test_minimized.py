"""A page of a metric of which less is better: fronts, axes, effects and words go its way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ofa.task import Score
from search.analysis.analyze import analyze
from search.analysis.columns import Searched
from search.report.data import ReportData
from search.report.effects_section import effect_text
from search.report.figures import layout, score_axis, with_limits
from search.report.gather_device import with_error
from search.report.page import render, training_figure
from search.report.pareto_section import pareto_figure, pareto_front
from search.run.scores import MetricFacts
from search.text import capitalized
from tests.search.report.example import example
from tests.search.report.rendered import parsed
from tests.search.scored import ACCURACY, EXAMPLES, LOSS, score, scores_of
from tests.search.subnets.subnet_rows import subnet_row


def lossy(metric_limits: str = "") -> ReportData:
    """Returns the example, its accuracies as losses: what was best is the least."""
    data = example()
    (device,) = data.devices

    def turned(found: object) -> object:
        return None if found is None else score(100 * (1 - found.value), LOSS, 0.5)  # type: ignore[attr-defined]

    trials = tuple(replace(trial, score=turned(trial.score)) for trial in device.trials)
    chosen = tuple(
        replace(one, validation=turned(one.validation), test=turned(one.test), alike=2) for one in device.chosen
    )
    assert device.largest is not None
    largest = replace(device.largest, validation=turned(device.largest.validation), test=turned(device.largest.test))
    device = replace(device, metric=LOSS, trials=trials, chosen=chosen, largest=largest, metric_limits=metric_limits)
    return replace(data, metric=LOSS, devices=(device,))


def test_the_page_says_name_unit_and_direction() -> None:
    page = render(lossy("recall ≥ 90.00 %"))
    assert parsed(page).open == []
    assert "test loss (lower is better)" in page
    assert "validation loss, nats (lower is better)" in page
    assert "Loss and latency" in page
    assert "loss vs. largest" in page
    assert "2 other candidates are as good within noise" in page
    assert "keep the limit recall ≥" in page
    assert "accuracy" not in page.partition("<body")[2].partition("<script")[0]


def test_the_front_has_the_least_loss_at_each_latency() -> None:
    trials = [trial for trial in lossy().devices[0].trials if trial.score is not None]
    front = pareto_front(trials, LOSS)
    assert len(front) > 1
    losses = [trial.score.value for trial in front if trial.score is not None]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == min(trial.score.value for trial in trials if trial.score is not None)


def test_the_range_keeps_the_least_and_cuts_the_most() -> None:
    figure = pareto_figure(lossy().devices[0])
    values = sorted(trial.score.value for trial in lossy().devices[0].trials if trial.score is not None)
    low, high = figure["layout"]["yaxis"]["range"]
    assert low < values[0] and high < values[-1] + 1


@pytest.mark.parametrize("values", [[1.2, 1.5, 1.9], [3.0, 40.0, 9000.0], [-0.5, 0.2, 0.7], [2.0, 2.0]])
def test_axes_are_in_order_and_show_all(values: list[float]) -> None:
    axis = score_axis(LOSS, values)
    positions = [axis.position(value) for value in sorted(values)]
    assert positions == sorted(positions)
    low, high = axis.frame["range"]
    assert low < positions[0] and positions[-1] < high
    assert axis.logarithmic == (min(values) > 0 and max(values) / min(values) >= 20)


def test_perplexities_over_decades_have_round_ticks() -> None:
    frame = score_axis(MetricFacts(name="perplexity", title="perplexity", maximize=False), [3.0, 9000.0]).frame
    assert set(frame["ticktext"]) <= {f"{step * 10**power:g}" for power in range(4) for step in (1, 1.5, 2, 3, 5, 7)}
    assert len(frame["ticktext"]) == len(frame["tickvals"]) >= 3


def test_an_effect_on_a_loss_is_below() -> None:
    settings = [{"start": name} for name in ("inherit", "fresh") * 20]
    losses = [2.0 + (row["start"] == "fresh") + 0.01 * (number % 7) for number, row in enumerate(settings)]
    found = analyze([{"width.a": number % 5} for number in range(40)], settings, [-loss for loss in losses],
                    [Searched("start", ("search.tuning.start",))])  # fmt: skip
    text = effect_text(found.effects["start"], LOSS)
    assert text.startswith("inherit is 1") and "nats below fresh" in text
    assert " points above " in effect_text(found.effects["start"], ACCURACY)


def test_a_unit_that_is_the_name_is_said_once() -> None:
    bits = MetricFacts(name="bits", title="bits per byte", unit="bits per byte", maximize=False)
    assert bits.axis("validation") == "validation bits per byte (lower is better)"
    assert bits.named_text(1.5) == "1.5 bits per byte"
    assert LOSS.axis("validation") == "validation loss, nats (lower is better)"
    assert LOSS.named_text(1.5) == "loss 1.5 nats"


def test_titles_longer_than_their_axis_go_on_in_a_second_line() -> None:
    title = "validation RMSE, points (lower is better)"
    low, high = (layout("epoch", title, height=height)["yaxis"]["title"]["text"] for height in (360, 520))
    assert (low, high) == ("validation RMSE, points<br>(lower is better)", title)
    assert layout("epoch", "loss", height=200)["yaxis"]["title"]["text"] == "loss"


def test_labels_of_close_limits_are_in_rows_of_their_own() -> None:
    frame = layout("latency", "loss", height=520)
    shifts = [label["yshift"] for label in with_limits(frame, [1.0, 1.1, 1.2, 1.3, 1.4])["annotations"]]
    assert shifts == [0, 15, 30, 45, 0]
    assert with_limits(frame, [])["annotations"] == []


def test_a_short_training_has_no_half_epochs() -> None:
    history = example().history
    assert training_figure(history[:2], ACCURACY)["layout"]["xaxis"]["dtick"] == 1
    assert "dtick" not in training_figure(history, ACCURACY)["layout"]["xaxis"]


def test_errors_that_a_search_left_out_come_from_the_extracted_subnet() -> None:
    row, bare = subnet_row(scores=scores_of(0.99, 0.98)), Score(0.97, EXAMPLES, None)
    error = score(0.99).standard_error
    assert with_error(bare, row) == Score(0.97, EXAMPLES, error)
    assert with_error(bare, subnet_row(scores=scores_of(0.5, 0.5), raw=row.scores)).standard_error == error
    assert with_error(bare, None) == bare
    assert with_error(Score(0.97, EXAMPLES - 1, None), row).standard_error is None
    assert with_error(score(0.5), row) == score(0.5)


def test_names_with_capitals_of_their_own_stay() -> None:
    assert [capitalized(name) for name in ("mAP@.5", "bits per byte", "R²", "top-5 accuracy of A", "")] == [
        *("mAP@.5", "Bits per byte", "R²", "Top-5 accuracy of A", "")
    ]
