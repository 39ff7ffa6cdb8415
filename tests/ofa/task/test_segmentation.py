"""segmentation: its loss, metrics and what counts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from sklearn import metrics as oracle
from torch import nn

from ofa.errors import InvalidInput
from ofa.task import Batch, details, scores, segmentation

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(20, 4, 8, 10, generator=GENERATOR)
MASKS = torch.randint(3, (20, 8, 10), generator=GENERATOR)  # class 3 does not occur
IGNORED = MASKS.masked_fill(torch.rand(MASKS.shape, generator=GENERATOR) < 0.2, 255)


@pytest.mark.parametrize("masks", [MASKS, IGNORED, IGNORED.to(torch.uint8)], ids=["all", "ignored", "bytes"])
def test_metrics_are_those_of_scikit_learn(masks) -> None:
    task = segmentation(num_classes=4, metrics=["mean_iou", "mean_dice", "pixel_accuracy", "mean_class_accuracy"])
    task.check(LOGITS, Batch(LOGITS, masks))
    found = {name: score.value for name, score in scores(nn.Identity(), [Batch(LOGITS, masks)], task).items()}
    kept = masks.flatten() != 255
    true, named = masks.flatten()[kept].long(), LOGITS.argmax(1).flatten()[kept]
    assert found["mean_iou"] == pytest.approx(oracle.jaccard_score(true, named, average="macro"))
    assert found["mean_dice"] == pytest.approx(oracle.f1_score(true, named, average="macro"))
    assert found["pixel_accuracy"] == pytest.approx(oracle.accuracy_score(true, named))
    recalls = oracle.recall_score(true, named, average=None, labels=[0, 1, 2])
    assert found["mean_class_accuracy"] == pytest.approx(recalls.mean())


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, 1.0]])
def test_the_loss_is_the_mean_over_pixels_that_count(weights) -> None:
    weight = None if weights is None else torch.tensor(weights)
    expected = nn.functional.cross_entropy(LOGITS, IGNORED, weight, ignore_index=255)
    loss = segmentation(num_classes=4, class_weights=weights).loss(LOGITS, Batch(LOGITS, IGNORED))
    assert torch.allclose(loss, expected)


def test_a_batch_in_which_nothing_counts_teaches_nothing() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = segmentation(num_classes=4).loss(logits, Batch(LOGITS, torch.full_like(MASKS, 255)))
    loss.backward()
    assert loss == 0 and not logits.grad.any()


def test_outputs_are_resized_to_the_masks() -> None:
    task, small = segmentation(num_classes=4), LOGITS[..., ::2, ::2]
    resized = nn.functional.interpolate(small, size=(8, 10), mode="bilinear", align_corners=False)
    batch = Batch(LOGITS, MASKS)
    for outputs in (small, {"out": small, "aux": small}):
        assert torch.equal(task.loss(outputs, batch), task.loss(resized, batch))
        assert torch.equal(task.predictions(outputs, batch), resized.argmax(1))


def test_dice_is_0_for_perfect_masks_and_near_1_for_wrong_ones() -> None:
    task, plain = segmentation(num_classes=3, dice=1.0), segmentation(num_classes=3)
    sure = 50.0 * nn.functional.one_hot(MASKS, 3).movedim(-1, 1).float()
    batch = Batch(LOGITS, MASKS)
    assert task.loss(sure, batch) - plain.loss(sure, batch) == pytest.approx(0, abs=1e-4)
    wrong = sure.roll(1, dims=1)
    assert task.loss(wrong, batch) - plain.loss(wrong, batch) == pytest.approx(1, abs=0.01)


def test_balanced_weights_come_from_the_pixels() -> None:
    data = SimpleNamespace(num_classes=4, train=SimpleNamespace(targets=IGNORED))
    counts = torch.bincount(IGNORED[IGNORED != 255], minlength=4).clamp(min=1)
    expected = segmentation(class_weights=(counts.sum() / (4 * counts)).tolist(), num_classes=4)
    batch = Batch(LOGITS, IGNORED)
    balanced = segmentation(data, class_weights="balanced")
    assert torch.allclose(balanced.loss(LOGITS, batch), expected.loss(LOGITS, batch))


def test_the_table_has_a_row_for_each_class() -> None:
    rows = details(nn.Identity(), [Batch(LOGITS, MASKS)], segmentation(num_classes=4))["classes"]
    assert [row["pixels"] for row in rows] == torch.bincount(MASKS.flatten(), minlength=4).tolist()
    assert rows[3]["recall"] is None and rows[3]["iou"] == 0
    expected = oracle.jaccard_score(MASKS.flatten(), LOGITS.argmax(1).flatten(), average=None)
    assert [row["iou"] for row in rows] == pytest.approx(expected.tolist())


def test_bad_settings_and_outputs_are_refused() -> None:
    with pytest.raises(InvalidInput, match="dice=-1 is a weight"):
        segmentation(num_classes=4, dice=-1)
    with pytest.raises(InvalidInput, match=r"returns \(20, 4\) torch.float32 .* logits \(20, 4, H, W\)"):
        segmentation(num_classes=4).check(LOGITS[..., 0, 0], Batch(LOGITS, MASKS))
