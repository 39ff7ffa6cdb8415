"""The latency model on made-up machines whose law is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from ofa.errors import InvalidInput
from ofa.records import content_of, convert
from search.device.latency.fit import choose_form, fit_latency_model, fit_linear
from search.device.latency.model import INTERCEPT, FitRecord, HeldOut, LatencyModel, linear, spearman


def costs(count: int = 30, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    macs = generator.uniform(1e5, 2e7, count)
    layers = generator.integers(10, 60, count).astype(float)
    return {
        "macs": macs,
        "activations": macs * generator.uniform(0.01, 0.1, count),
        "layers": layers,
        "params": generator.uniform(1e4, 1e6, count),
        "bytes": generator.uniform(1e5, 1e6, count),
    }


def law(table: dict[str, np.ndarray]) -> np.ndarray:
    return 0.02 + 4e-8 * table["macs"] + 2e-3 * table["layers"]


def test_a_known_law_is_found_and_its_error_is_that_of_the_noise():
    table = costs()
    noise = np.random.default_rng(1).normal(0, 0.01, 30)
    model = fit_latency_model(table, law(table) * (1 + noise))
    assert {"macs", "layers"} <= set(model.form)
    assert 0.003 < model.held_out_error < 0.03
    assert model.held_out.within_10 == 1.0
    fresh = costs(500, seed=2)
    true_error = np.abs(model.predict(fresh) / law(fresh) - 1).mean()
    assert true_error < 0.02
    assert model.held_out_error < 0.5 * model.macs_only.mape


def test_the_error_is_of_networks_the_fit_did_not_see():
    table = costs()
    nonsense = np.random.default_rng(3).uniform(0.5, 5.0, 30)
    model = fit_latency_model(table, nonsense)
    assert model.held_out_error > 0.4
    assert model.held_out.spearman < 0.3


def test_the_simplest_form_is_kept_when_more_does_not_help():
    table = costs()
    assert choose_form(table, 0.01 + 4e-8 * table["macs"]) == ("macs",)


def test_coefficients_are_never_negative_and_outliers_count_less():
    table = costs()
    measured = law(table)
    measured[4] *= 3
    coefficients = fit_linear(table, measured, ("macs", "activations", "layers"))
    assert min(coefficients.values()) >= 0
    assert coefficients["macs"] == pytest.approx(4e-8, rel=0.02)
    assert coefficients["layers"] == pytest.approx(2e-3, rel=0.05)


def test_small_networks_weigh_as_much_as_large_ones():
    macs = np.array([1e4] * 10 + [1e8] * 10, dtype=float)
    model = fit_linear({"macs": macs}, 0.05 + 1e-8 * macs, ("macs",))
    np.testing.assert_allclose(linear(model, {"macs": macs}), 0.05 + 1e-8 * macs, rtol=1e-6)


def test_prediction_is_vectorised_and_needs_its_costs():
    table = costs(10_000)
    model = fit_latency_model(costs(), law(costs()))
    assert model.predict(table).shape == (10_000,)
    with pytest.raises(InvalidInput, match="needs the costs"):
        model.predict({"params": table["params"]})


def test_json_round_trip():
    model = fit_latency_model(costs(), law(costs()))
    again = LatencyModel.of(convert(json.loads(json.dumps(content_of(model.record))), FitRecord, "fit"))
    assert again == model
    np.testing.assert_array_equal(again.predict(costs(50)), model.predict(costs(50)))


GOOD = {"mape": 0.1, "within_10": 0.5, "largest": 0.2, "spearman": 0.9, "networks": 8}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"form": "forest"}, "form"),
        ({"coefficients": {"macs": 1.0}}, INTERCEPT),
        ({"coefficients": {INTERCEPT: "fast"}}, "expected `float`, got `str` at `coefficients"),
        ({"held_out": {**GOOD, "within_10": 1.1}}, "expected `float` <= 1.0 at `held_out.within_10`"),
        ({"held_out": {"mape": 0.1}}, "missing required field `within_10` at `held_out`"),
        ({"macs_only": None}, "macs_only"),
    ],
)
def test_a_damaged_model_is_refused_by_field(change, named):
    good = content_of(fit_latency_model(costs(), law(costs())).record)
    with pytest.raises(InvalidInput, match=named):
        convert({**good, **change}, FitRecord, "fit")


def test_too_few_or_impossible_figures_are_refused():
    table = costs(4)
    with pytest.raises(InvalidInput, match=r"4 different subnets are too few .*space\.width_ratios"):
        fit_latency_model(table, law(table))
    for wrong in (0.0, -1.0, float("nan")):
        measured = law(costs())
        measured[3] = wrong
        with pytest.raises(InvalidInput, match="must be positive"):
            fit_latency_model(costs(), measured)


def test_spearman_is_scipys_with_ties_too():
    generator = np.random.default_rng(0)
    for _ in range(20):
        first, second = generator.integers(0, 6, 15).astype(float), generator.normal(size=15)
        assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
    assert spearman(np.ones(5), np.arange(5.0)) == 0.0


def test_held_out_figures():
    found = HeldOut.of(np.array([1.05, 2.4, 3.0]), np.array([1.0, 2.0, 3.0]))
    assert found.mape == pytest.approx((0.05 + 0.2 + 0) / 3)
    assert found.within_10 == pytest.approx(2 / 3)
    assert found.largest == pytest.approx(0.2)
    assert (found.spearman, found.networks) == (pytest.approx(1.0), 3)
