"""Label weights: what they are, and that the losses of a step are weighted so."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa import InvalidInput
from ofa.task import Batch, classification, regression
from ofa.train import StepContext, sandwich, single, soft_cross_entropy
from ofa.train.label_weights import by_progress, by_skill, skill, with_teacher
from ofa.train.precision import precision_of
from ofa.train.step import step_rng

LABELS = torch.arange(16) % 4
TASK = classification(num_classes=4)
FRACTIONS = st.floats(0, 1)


def context(step: int = 0, total_steps: int = 100, task=TASK) -> StepContext:
    numbers = precision_of("float32", torch.device("cpu"))
    return StepContext(step, total_steps, step_rng(0, step), None, task, numbers.autocast, numbers.backward)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), FRACTIONS, FRACTIONS, FRACTIONS)
def test_progress_goes_from_start_to_end_and_no_further(step, start, end, until):
    weights = [by_progress(None, None, context(at), start=start, end=end, until=until) for at in (step, step + 1)]
    assert all(min(start, end) - 1e-9 <= weight <= max(start, end) + 1e-9 for weight in weights)
    assert (weights[1] - weights[0]) * (end - start) >= -1e-9
    assert by_progress(None, None, context(100), start=start, end=end, until=until) == end
    if until > 0:
        assert by_progress(None, None, context(0), start=start, end=end, until=until) == start


@pytest.mark.parametrize("right", [0, 4, 8, 12, 16])
def test_skill_rises_with_the_answers_that_are_right(right):
    certain = 6.0 * torch.nn.functional.one_hot(LABELS, 4).float()
    certain[right:] = 0.0  # no better than the frequencies of the classes, which are equal
    expected = right / 16 * (1 - float(TASK.loss(certain[:1], Batch(None, LABELS[:1]))) / torch.tensor(4.0).log())
    assert float(skill(certain, Batch(None, LABELS), context())) == pytest.approx(float(expected), abs=1e-5)


def test_the_skill_of_a_regression_is_the_share_of_variance_that_is_explained():
    targets = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    answers = targets + 0.5 * torch.randn(32, 2, generator=torch.Generator().manual_seed(1))
    task = regression()
    unexplained = (answers - targets).square().mean() / (targets - targets.mean(dim=0)).square().mean()
    got = skill(answers, Batch(torch.zeros(32, 1), targets), context(task=task))
    assert float(got) == pytest.approx(1 - float(unexplained), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(FRACTIONS, FRACTIONS, st.integers(0, 5))
def test_by_skill_is_between_start_and_end_whatever_the_teacher_says(start, end, seed):
    teacher = 10 * torch.randn(16, 4, generator=torch.Generator().manual_seed(seed))
    weight = float(by_skill(teacher, Batch(None, LABELS), context(), start=start, end=end))
    assert min(start, end) - 1e-6 <= weight <= max(start, end) + 1e-6


def test_tasks_of_no_constant_answer_have_no_skill_and_go_with_the_steps():
    now = context(30, task=replace(TASK, constant=None))
    with pytest.raises(InvalidInput, match=r"has no constant answer .*Task\.constant"):
        skill(torch.zeros(16, 4), Batch(None, LABELS), now)
    weight = by_skill(torch.zeros(16, 4), Batch(None, LABELS), now, start=1.0, end=0.5)
    assert weight == pytest.approx(0.85)


@pytest.mark.parametrize("wrong", [{"start": -0.1}, {"end": 1.1}])
def test_what_is_no_fraction_is_refused_by_name(wrong):
    (name,) = wrong
    taught = Batch(None, LABELS, torch.zeros(16, 4))
    for weight in (by_progress, by_skill, with_teacher):
        with pytest.raises(InvalidInput, match=rf"{name}=.* is a fraction"):
            weight(torch.zeros(16, 4), taught, context(), **wrong)


def test_with_teacher_listens_to_one_that_is_given_alone():
    outputs = 10 * torch.nn.functional.one_hot(LABELS, 4).float()
    now, bare = context(), Batch(None, LABELS)
    assert with_teacher(outputs, bare, now, end=0.5) == 1.0
    expected = by_skill(outputs, bare, now, end=0.5)
    assert expected < 0.6
    assert with_teacher(outputs, bare._replace(teacher=outputs), now, end=0.5) == expected
    assert with_teacher(outputs, bare, replace(now, guide=outputs), end=0.5) == expected


@pytest.mark.parametrize("strategy", [sandwich, single])
@pytest.mark.parametrize("step", [0, 40])
def test_a_function_weights_the_losses_of_a_step_as_its_value_does(make_supernet, strategy, step):
    batch = Batch(torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)), LABELS, torch.zeros(16, 4))
    found = []
    for weight in (by_progress, lambda *_: torch.tensor(1 - step / 100), 1 - step / 100):
        supernet = make_supernet()
        supernet.model.dropout.p = 0.0
        for parameter in supernet.parameters():
            parameter.grad = torch.zeros_like(parameter)
        loss = strategy(supernet, batch, context(step), label_weight=weight)
        found.append([loss, *(parameter.grad for parameter in supernet.parameters())])
    for others in found[1:]:
        assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(found[0], others, strict=True))


def test_in_place_the_teacher_that_is_judged_is_the_largest_of_the_step(make_supernet):
    supernet, images = make_supernet(), torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    supernet.model.dropout.p = 0.0
    for parameter in supernet.parameters():
        parameter.grad = torch.zeros_like(parameter)
    judged = []

    def weight(teacher, batch, context):
        judged.append(teacher)
        return by_skill(teacher, batch, context)

    sandwich(supernet, Batch(images, LABELS), context(), label_weight=weight)
    assert len(judged) == 1 and not judged[0].requires_grad
    assert torch.allclose(judged[0], supernet.subnet(supernet.space.largest)(images), atol=1e-6)


def test_a_distilling_function_is_used_with_label_weights(make_supernet):
    supernet = make_supernet()
    for parameter in supernet.parameters():
        parameter.grad = torch.zeros_like(parameter)
    batch = Batch(torch.zeros(16, 1, 8, 8), LABELS)
    calls = []

    def distill(logits, teacher):
        calls.append(1)
        return soft_cross_entropy(logits, teacher)

    sandwich(supernet, batch, context(), label_weight=partial(by_progress, start=1.0), distill=distill)
    assert not calls  # a weight of 1 needs no distillation
    sandwich(supernet, batch, context(50), label_weight=partial(by_progress, start=1.0), distill=distill)
    assert calls
