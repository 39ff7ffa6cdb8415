"""The contract that every shipped task keeps, and every config of conf/task."""

from __future__ import annotations

import copy
import json
import math
import pickle

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ofa.errors import InvalidInput
from ofa.identity import as_json
from ofa.inputs import output_tensors
from ofa.task import Batch, baseline_scores, details, scores
from ofa.task.batch import rows_of
from search.objects import make_partial
from search.run.paths import conf_dir
from tests.composed import options
from tests.ofa.task.tasks_tried import CASES, EXAMPLES, Case

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
VARIANTS = {"hard_labels": "classification"}  # configs of a task that another has too
CUTS = ([24], [5, 7, 12], [1] * 24)


class Lookup(nn.Module):
    """A network whose inputs are the numbers of the examples, and whose outputs are known."""

    def __init__(self, outputs) -> None:
        super().__init__()
        self.known = outputs

    def forward(self, numbers: Tensor, labels: Tensor | None = None):
        first, last = int(numbers[0]), int(numbers[-1]) + 1
        return rows_of(self.known, slice(first, last), EXAMPLES)


def with_gradients(outputs):
    return tree_map(lambda leaf: leaf.clone().requires_grad_(leaf.is_floating_point()), outputs)


def cut(batch: Batch, sizes: list[int]) -> list[Batch]:
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return [batch.rows(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def gradients(loss: Tensor, outputs) -> list[Tensor]:
    found = torch.autograd.grad(loss, output_tensors(outputs), allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


@pytest.mark.parametrize("name", options("task"))
def test_every_config_makes_its_task(name: str) -> None:
    config = OmegaConf.to_container(OmegaConf.load(conf_dir() / f"task/{name}.yaml"))
    name = VARIANTS.get(name, name)
    case = CASES[name]
    task = make_partial("task", config)(case.data)
    assert task.name == ("classification" if name == "own_loss" else name)
    if name != "detection":  # its config leaves loss and decode to the network, see test_detection.py
        task.check(case.outputs, case.batch)
        assert math.isfinite(scores(Lookup(case.outputs), [case.batch], task)[task.objective.name].value)


def test_every_task_has_a_config() -> None:
    assert set(options("task")) - set(VARIANTS) == set(CASES)


@each_case
def test_the_loss_is_a_finite_number_with_a_gradient(case: Case) -> None:
    outputs = with_gradients(case.outputs)
    loss = case.task.loss(outputs, case.batch)
    assert loss.shape == () and loss.is_floating_point() and torch.isfinite(loss)
    found = gradients(loss, outputs)
    assert found and all(torch.isfinite(gradient).all() for gradient in found)
    assert any(gradient.abs().sum() > 0 for gradient in found)


@each_case
def test_a_step_against_the_gradient_lowers_the_loss(case: Case) -> None:
    outputs, task = with_gradients(case.outputs), case.task
    before = task.loss(outputs, case.batch)
    before.backward()
    stepped = tree_map(lambda leaf: leaf.detach() - 0.1 * (0 if leaf.grad is None else leaf.grad), outputs)
    assert task.loss(stepped, case.batch) < before


@each_case
def test_the_loss_is_the_mean_of_its_halves(case: Case) -> None:
    if not case.even:
        pytest.skip("examples have unlike numbers of targets")
    task, net = case.task, Lookup(case.outputs)
    whole = task.loss(case.outputs, case.batch)
    halves = [task.loss(net(part.inputs), part) for part in cut(case.batch, [12, 12])]
    assert torch.allclose(whole, sum(halves) / 2, rtol=1e-5)


@each_case
def test_nothing_is_learned_from_a_teacher_of_the_same_outputs(case: Case) -> None:
    task = case.task
    if task.distill is None:
        pytest.skip("the task knows no distillation")
    outputs = with_gradients(case.outputs)
    loss = task.distill(outputs, case.outputs, case.batch)
    assert loss.shape == () and torch.isfinite(loss)
    assert all(gradient.abs().max() < 1e-6 for gradient in gradients(loss, outputs))
    other = tree_map(lambda leaf: leaf.flip(0) if leaf.dim() else leaf, case.outputs)
    loss = task.distill(outputs, other, case.batch)
    assert any(gradient.abs().max() > 1e-5 for gradient in gradients(loss, outputs))


@each_case
def test_half_precision_is_lost_in_float32(case: Case) -> None:
    half = tree_map(lambda leaf: leaf.bfloat16() if leaf.is_floating_point() else leaf, case.outputs)
    loss = case.task.loss(half, case.batch)
    assert loss.dtype == torch.float32 and torch.isfinite(loss)


@each_case
def test_scores_do_not_depend_on_batches(case: Case) -> None:
    net, task = Lookup(case.outputs), case.task
    first, *others = [scores(net, cut(case.batch, sizes), task) for sizes in CUTS]
    for other in others:
        for name, score in first.items():
            assert other[name].value == pytest.approx(score.value, rel=1e-9)
            assert other[name].standard_error == pytest.approx(score.standard_error, rel=1e-6)
            assert other[name].examples == EXAMPLES


@each_case
def test_standard_errors_shrink_with_examples(case: Case) -> None:
    """Four times the examples: half the error, for each metric that has one."""
    task = case.task
    many = [case.batch] * 4
    once, often = (scores(Lookup(case.outputs), batches, task) for batches in ([case.batch], many))
    for name, score in once.items():
        assert score.standard_error is not None and score.standard_error > 0
        assert 0.3 < often[name].standard_error / score.standard_error < 0.8, name
        assert task.metrics[0].text(score)


@each_case
def test_the_baseline_has_finite_scores(case: Case) -> None:
    task = case.task
    if task.constant is None:
        pytest.skip("the task has no constant answer")
    baseline = baseline_scores(task, cut(case.batch, [12, 12]), cut(case.batch, [20, 4]))
    assert set(baseline) == {metric.name for metric in task.metrics}
    assert all(math.isfinite(score.value) for score in baseline.values())


@each_case
def test_what_fits_is_accepted_and_what_does_not_is_named(case: Case) -> None:
    task = case.task
    task.check(case.outputs, case.batch)
    for targets, message in case.bad:
        with pytest.raises(InvalidInput) as refusal:
            task.check(case.outputs, case.batch._replace(targets=targets))
        assert message in str(refusal.value) and "\n" not in str(refusal.value)


@each_case
def test_tables_are_json_with_the_same_columns(case: Case) -> None:
    task = case.task
    tables = details(Lookup(case.outputs), cut(case.batch, [10, 14]), task)
    assert set(tables) == {detail.name for detail in task.details}
    for detail in task.details:
        rows = tables[detail.name]
        assert rows and len({tuple(row) for row in rows}) == 1
        assert set(detail.units or ()) <= set(rows[0])
        json.dumps(rows, allow_nan=False)


@each_case
def test_tasks_of_the_same_settings_are_the_same(case: Case) -> None:
    task = case.task
    record = as_json({"task": task})
    assert record == as_json({"task": case.task}) and "0x" not in json.dumps(record)
    for copied in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
        assert as_json({"task": copied}) == record
        assert torch.equal(copied.loss(case.outputs, case.batch), task.loss(case.outputs, case.batch))
