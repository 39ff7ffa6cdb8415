"""Losses against formulas written out."""

from __future__ import annotations

import pytest
import torch

from ofa.errors import InvalidInput
from ofa.task.losses import alpha_divergence
from ofa.train import label_loss, soft_cross_entropy

LOGITS = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TEACHER = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_label_loss(smoothing):
    targets = torch.full((6, 5), smoothing / 5, dtype=torch.float64)
    targets[torch.arange(6), LABELS] += 1 - smoothing
    expected = -(targets * LOGITS.log_softmax(1)).sum(1).mean()
    assert torch.allclose(label_loss(LOGITS, LABELS, smoothing), expected, rtol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_cross_entropy_has_the_gradient_of_the_divergence(temperature):
    student = LOGITS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(soft_cross_entropy(student, TEACHER, temperature), student)
    softened = (TEACHER / temperature).softmax(1)
    divergence = (softened * (softened.log() - (student / temperature).log_softmax(1))).sum(1).mean()
    (expected,) = torch.autograd.grad(divergence * temperature**2, student)
    assert torch.allclose(gradient, expected, rtol=1e-10)


def test_the_teacher_gets_no_gradient():
    teacher = TEACHER.clone().requires_grad_()
    student = LOGITS.clone().requires_grad_()
    soft_cross_entropy(student, teacher).backward()
    assert teacher.grad is None


def test_half_precision_logits_are_lost_in_float32():
    half = LOGITS.bfloat16()
    assert label_loss(half, LABELS).dtype == torch.float32
    assert torch.equal(soft_cross_entropy(half, half), soft_cross_entropy(half.float(), half.float()))


def test_logits_of_a_wrong_shape_are_refused():
    with pytest.raises(InvalidInput, match=r"shape \(6, 5, 1\) for 6 labels"):
        label_loss(LOGITS[..., None], LABELS)


def divergence(student, alpha):
    """The alpha-divergence of each example, written out."""
    of_teacher, of_student = TEACHER.softmax(1), student.softmax(1)
    if alpha == 1:
        return (of_teacher * (of_teacher / of_student).log()).sum(1)
    if alpha == 0:
        return (of_student * (of_student / of_teacher).log()).sum(1)
    return (of_student * ((of_teacher / of_student) ** alpha - 1)).sum(1) / (alpha * (alpha - 1))


@pytest.mark.parametrize(("least", "most"), [(-1.0, 1.0), (-0.5, 0.5), (0.0, 1.0), (-2.0, 0.0)])
def test_alpha_divergence_has_the_gradient_of_the_larger_of_two_divergences(least, most):
    student = (0.3 * LOGITS).requires_grad_()
    (gradient,) = torch.autograd.grad(alpha_divergence(student, TEACHER, least, most, clip=1e9), student)
    low, high = divergence(student, least), divergence(student, most)
    assert 0 < (low > high).sum() < len(low) or (least, most) != (-1.0, 1.0)  # both are the larger one somewhere
    (expected,) = torch.autograd.grad(torch.maximum(low, high).mean(), student)
    assert torch.allclose(gradient, expected, rtol=1e-9, atol=1e-15)


def test_alpha_divergence_of_networks_that_are_far_apart_is_finite():
    student = torch.tensor([[300.0, 0.0, -300.0]], requires_grad=True)
    alpha_divergence(student, -student.detach()).backward()
    assert torch.isfinite(student.grad).all() and student.grad.abs().sum() > 0


@pytest.mark.parametrize("wrong", [{"least": 1.0}, {"clip": 0.0}, {"most": float("nan")}])
def test_alpha_divergence_refuses_what_it_cannot_be(wrong):
    with pytest.raises(InvalidInput, match=r"must be below most="):
        alpha_divergence(LOGITS, TEACHER, **wrong)
