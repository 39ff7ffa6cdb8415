"""regression: its losses, metrics and units."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.task import Batch, baseline_scores, details, regression, scores

GENERATOR = torch.Generator().manual_seed(0)
TARGETS = torch.randn(150, 3, generator=GENERATOR) * torch.tensor([1.0, 10.0, 100.0]) + torch.tensor([0, 50.0, 2000.0])
OUTPUTS = TARGETS + torch.randn(150, 3, generator=GENERATOR) * torch.tensor([0.5, 5.0, 20.0])


def data_of(targets: Tensor) -> SimpleNamespace:
    return SimpleNamespace(train=SimpleNamespace(targets=targets), target_names=("small", "middle", "large"))


def values(task, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    found = scores(nn.Identity(), [Batch(outputs, targets)], task)
    return {name: score.value for name, score in found.items()}


@pytest.mark.parametrize("columns", [slice(0, 3), slice(2, 3), 1])
def test_metrics_are_those_of_scikit_learn(columns: slice | int) -> None:
    outputs, targets = OUTPUTS[:, columns], TARGETS[:, columns]
    found = values(regression(), outputs, targets)
    assert found["rmse"] == pytest.approx(oracle.root_mean_squared_error(targets, outputs), rel=1e-5)
    assert found["mae"] == pytest.approx(oracle.mean_absolute_error(targets, outputs), rel=1e-5)
    assert found["r2"] == pytest.approx(oracle.r2_score(targets, outputs), rel=1e-5)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_a_standardized_network_is_judged_in_the_targets_unit(loss: str) -> None:
    task = regression(data_of(TARGETS), standardize=True, loss=loss, unit="mm")
    mean, deviation = TARGETS.mean(0), TARGETS.std(0, correction=0)
    learned = (OUTPUTS - mean) / deviation
    plain = values(regression(), OUTPUTS, TARGETS)
    assert values(task, learned, TARGETS) == pytest.approx(plain, rel=1e-4)
    assert torch.allclose(task.predictions(learned, Batch(OUTPUTS, TARGETS)), OUTPUTS, rtol=1e-4, atol=1e-3)
    expected = regression(loss=loss).loss(learned, Batch(OUTPUTS, (TARGETS - mean) / deviation))
    assert torch.allclose(task.loss(learned, Batch(OUTPUTS, TARGETS)), expected, rtol=1e-4)
    assert task.objective.unit == "mm" and task.objective.direction == "minimize"
    assert task.objective.text(12.34) == "12.34 mm"


@pytest.mark.parametrize("standardize", [False, True])
def test_the_baseline_is_the_mean(standardize: bool) -> None:
    task = regression(data_of(TARGETS), standardize=standardize)
    found = baseline_scores(task, [Batch(OUTPUTS, TARGETS)], [Batch(OUTPUTS, TARGETS)])
    assert found["r2"].value == pytest.approx(0, abs=1e-6)
    assert found["rmse"].value == pytest.approx(np.mean(TARGETS.double().std(0, correction=0).tolist()), rel=1e-5)


def test_one_output_fits_targets_with_and_without_their_dimension() -> None:
    flat, column = TARGETS[:, 0], TARGETS[:, :1]
    task = regression()
    losses = set()
    for outputs in (OUTPUTS[:, 0], OUTPUTS[:, :1]):
        for targets in (flat, column):
            task.check(outputs, Batch(OUTPUTS, targets))
            losses.add(float(task.loss(outputs, Batch(OUTPUTS, targets))))
            assert task.predictions(outputs, Batch(OUTPUTS, targets)).shape == targets.shape
    assert len(losses) == 1


def test_the_table_has_a_row_for_each_target() -> None:
    rows = details(nn.Identity(), [Batch(OUTPUTS, TARGETS)], regression(data_of(TARGETS)))["targets"]
    assert [row["target"] for row in rows] == ["small", "middle", "large"]
    expected = oracle.mean_absolute_error(TARGETS, OUTPUTS, multioutput="raw_values")
    assert [row["mae"] for row in rows] == pytest.approx(expected.tolist(), rel=1e-5)


def test_targets_that_do_not_fit_the_outputs_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"\(150, 3\) torch.float32; .* as many outputs as targets"):
        regression().check(OUTPUTS[:, :2], Batch(OUTPUTS, TARGETS))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "mce"}, "loss='mce' of regression; did you mean mse"),
        ({"huber_delta": 0}, "huber_delta=0 must be"),
        ({"standardize": True}, "standardize=true needs the targets"),
        ({"data": data_of(torch.ones(5, 2)), "standardize": True}, "target 0 cannot be standardized"),
        ({"metrics": ["accuracy"]}, "task regression has no metric 'accuracy'"),
    ],
)
def test_bad_settings_are_refused(settings, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        regression(**settings)


def test_the_words_of_a_standardized_network_are_its_formula() -> None:
    task = regression(data_of(TARGETS[:, 2]), standardize=True, unit="mm")
    formula = task.postprocessing.removeprefix("value = ").removesuffix(", in mm")
    outputs = torch.randn(150)
    said = eval(formula, {"output": outputs})
    torch.testing.assert_close(said, task.predictions(outputs, Batch(outputs, TARGETS[:, 2])), rtol=1e-5, atol=1e-4)
    assert not regression(data_of(TARGETS)).postprocessing
