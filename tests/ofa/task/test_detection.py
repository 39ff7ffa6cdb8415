"""detection: losses and decoding of the user's network, targets in a list or padded, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.task import Batch, details, detection, own_loss, scores
from tests.ofa.task.random_boxes import Images, box, random_images


class Detector(nn.Module):
    """A network with its own loss and decoding: one box an image, the mean of its pixels everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 6)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        numbers = self.head(images.mean(dim=(2, 3)))
        return {"box": numbers[:, :4], "logits": numbers[:, 4:]}

    def loss(self, outputs: dict[str, Tensor], targets: Images) -> tuple[Tensor, dict[str, float]]:
        true = torch.stack([target["boxes"][0] for target in targets])
        return (outputs["box"] - true).abs().mean(), {"box": 1.0}

    def decode(self, outputs: dict[str, Tensor]) -> Images:
        likely = outputs["logits"].sigmoid()
        corners = outputs["box"]
        return [
            {"boxes": one[None], "scores": score.amax()[None], "labels": score.argmax()[None]}
            for one, score in zip(corners, likely, strict=True)
        ]


IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
BOXES = [{"boxes": box(2, 2, 9, 9), "labels": torch.tensor([0])} for _ in range(4)]


def test_a_network_brings_its_own_loss_and_decoding() -> None:
    net, task, batch = Detector(), detection(num_classes=2), Batch(IMAGES, BOXES)
    outputs = task.call(net, batch)
    task.check(outputs, batch)
    task.loss(outputs, batch).backward()
    assert torch.equal(task.loss(outputs, batch), net.loss(net(IMAGES), BOXES)[0])
    assert net.head.weight.grad.abs().sum() > 0
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias.copy_(torch.tensor([2.0, 2, 9, 9, 1, 0]))
    scored = scores(net, [batch.rows(0, 1), batch.rows(1, 4)], task)
    assert {name: score.value for name, score in scored.items()} == pytest.approx({"map": 1.0, "map_50": 1.0})
    (row,) = details(net, [batch], task)["classes"]
    assert row == {"class": "0", "boxes": 4, "map": pytest.approx(1), "map_50": pytest.approx(1)}


def test_padded_boxes_are_those_of_a_list() -> None:
    found, true = random_images(0, images=6)
    padded = {"boxes": torch.zeros(6, 8, 4), "labels": torch.full((6, 8), -1)}
    for image, target in enumerate(true):
        padded["boxes"][image, : len(target["labels"])] = target["boxes"]
        padded["labels"][image, : len(target["labels"])] = target["labels"]
    task = detection(num_classes=3)
    measured = [
        [entry.matched.tolist() for entry in task.objective.statistics(found, Batch(torch.zeros(6, 1), targets))]
        for targets in (true, padded)
    ]
    assert measured[0] == measured[1]
    task.check(found, Batch(torch.zeros(6, 1), padded))


class FromTorchvision(nn.Module):
    """Called as torchvision's detectors are: targets by position, losses in training, boxes otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, images: Tensor, targets: Images | None = None) -> Any:
        if self.training:
            return {"loss_box": self.scale**2, "loss_class": self.scale.abs()}
        likely = self.scale.sigmoid()[None]
        return [{"boxes": box(2, 2, 9, 9), "scores": likely, "labels": torch.tensor([0])} for _ in images]


def test_detectors_that_return_losses_are_trained_and_judged() -> None:
    net, batch = FromTorchvision(), Batch(IMAGES, BOXES)
    task = own_loss(judge=detection(num_classes=2), argument=None)
    outputs = task.call(net.train(), batch)
    task.check(outputs, batch)
    assert task.loss(outputs, batch) == 0.75
    task.check(task.call(net.eval(), batch), batch)
    assert scores(net, [batch], task)["map"].value == pytest.approx(1)


def test_distillation_by_outputs_is_their_mean_squared_difference() -> None:
    task = detection(num_classes=2, distill="outputs")
    student, teacher = task.call(Detector(), Batch(IMAGES, BOXES)), task.call(Detector(), Batch(IMAGES, BOXES))
    expected = sum(((student.outputs[name] - teacher.outputs[name]) ** 2).mean() for name in ("box", "logits")) / 2
    assert torch.allclose(task.distill(student, teacher, Batch(IMAGES, BOXES)), expected)


def nothing(outputs: Tensor, targets: Images) -> Tensor:
    return outputs.sum() * 0


def test_what_is_missing_is_named() -> None:
    task, batch = detection(num_classes=2), Batch(IMAGES, BOXES)
    outputs = task.call(nn.Flatten(), batch)
    with pytest.raises(InvalidInput, match="detection has no loss: give task\\.loss a function"):
        task.loss(outputs, batch)
    with pytest.raises(InvalidInput, match=r"detection has no loss: give task\.loss a function"):
        task.check(outputs, batch)
    task = detection(num_classes=2, loss=nothing)
    outputs = task.call(nn.Flatten(), batch)
    with pytest.raises(InvalidInput, match="outputs are no boxes but a Tensor; give task\\.decode"):
        task.check(outputs, batch)
    fractions = [{**target, "boxes": target["boxes"] / 16} for target in BOXES]
    with pytest.raises(InvalidInput, match=r"all boxes end at 0.56 .* multiply fractions"):
        task.check(outputs, batch._replace(targets=fractions))
    for settings, message in (
        ({"iou_threshold": 2}, "iou_threshold=2 is a fraction"),
        ({"most": 0}, "most=0 detections"),
        ({"distill": "logits"}, "distill='logits'; give 'outputs'"),
        ({"metrics": ["mAP"]}, "no metric 'mAP'; choices: map, map_50"),
    ):
        with pytest.raises(InvalidInput, match=message):
            detection(num_classes=2, **settings)


def test_bootstrap_of_images() -> None:
    found, true = random_images(1, images=60)
    task = detection(num_classes=3)
    lookup = {"found": found}

    class Known(nn.Module):
        def forward(self, numbers: Tensor) -> Images:
            return [lookup["found"][number] for number in numbers.tolist()]

    score = scores(Known(), [Batch(torch.arange(60), true)], task)["map_50"]
    halves = [
        scores(Known(), [Batch(torch.arange(low, low + 30), true[low : low + 30])], task)["map_50"].value
        for low in (0, 30)
    ]
    assert score.standard_error is not None and 0.01 < score.standard_error < 0.15
    assert np.ptp(halves) < 6 * score.standard_error


def test_boxes_of_a_later_batch_that_do_not_fit_give_no_figure() -> None:
    found, true = random_images(2, images=20)
    task = detection(num_classes=3)
    wrong = [{**each, "labels": each["labels"] + 3} for each in true]

    class Known(nn.Module):
        def forward(self, numbers: Tensor) -> Images:
            return [found[number] for number in numbers.tolist()]

    batches = [Batch(torch.arange(20), true), Batch(torch.arange(20), wrong)]
    with pytest.raises(InvalidInput, match="labels run from 3 to 5; classes are numbered from 0 to 2"):
        scores(Known(), batches, task)
    with pytest.raises(InvalidInput, match="labels run from 3 to 5; classes are numbered from 0 to 2"):
        details(Known(), batches, task)
