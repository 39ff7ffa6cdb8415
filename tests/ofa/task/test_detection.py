"""detection: boxes against hand-worked cases and pycocotools; losses and decoding of the user's network."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.task import Batch, details, detection, own_loss, scores
from ofa.task.boxes import most_likely, non_maximum_suppression, overlaps
from ofa.task.detection_metrics import drawn_mean_average_precision, matches, mean_average_precision

Images = list[dict[str, Tensor]]


def box(*numbers: float) -> Tensor:
    return torch.tensor([numbers])


def random_images(seed: int, images: int = 30, classes: int = 3) -> tuple[Images, Images]:
    """Detections that find most of the true boxes, some twice and some badly, with scores that tie now and then."""
    generator = torch.Generator().manual_seed(seed)
    found, true = [], []
    for _ in range(images):
        count = int(torch.randint(0, 6, (1,), generator=generator))
        corner = torch.randint(0, 80, (count, 2), generator=generator)
        boxes = torch.cat([corner, corner + torch.randint(10, 40, (count, 2), generator=generator)], 1).float()
        labels = torch.randint(classes, (count,), generator=generator)
        moved = boxes.repeat(2, 1) + torch.randint(-4, 5, (2 * count, 4), generator=generator)
        kept = torch.rand(2 * count, generator=generator) < 0.6
        named = torch.where(
            torch.rand(2 * count, generator=generator) < 0.85,
            labels.repeat(2),
            torch.randint(classes, (2 * count,), generator=generator),
        )
        likely = torch.randint(1, 20, (2 * count,), generator=generator) / 20
        found.append({"boxes": moved[kept], "scores": likely[kept], "labels": named[kept]})
        true.append({"boxes": boxes, "labels": labels})
    return found, true


def entries(found: Images, true: Images) -> list[Any]:
    return [matches(one, other["boxes"], other["labels"]) for one, other in zip(found, true, strict=True)]


def by_pycocotools(found: Images, true: Images) -> tuple[float, float, float]:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")

    def row(number: int, image: int, corners: list[float], label: int, **more: float) -> dict[str, Any]:
        x, y, right, bottom = corners
        size = [x, y, right - x, bottom - y]
        return {"id": number, "image_id": image, "category_id": label, "bbox": size, "area": size[2] * size[3], **more}

    annotations = [
        row(0, image, corners, label, iscrowd=0)
        for image, target in enumerate(true)
        for corners, label in zip(target["boxes"].tolist(), target["labels"].tolist(), strict=True)
    ]
    annotations = [{**each, "id": number} for number, each in enumerate(annotations, start=1)]
    results = [
        row(0, image, corners, label, score=score)
        for image, each in enumerate(found)
        for corners, label, score in zip(
            each["boxes"].tolist(), each["labels"].tolist(), each["scores"].tolist(), strict=True
        )
    ]
    known = coco.COCO()
    known.dataset = {
        "images": [{"id": image} for image in range(len(true))],
        "categories": [{"id": label} for label in range(3)],
        "annotations": annotations,
        "info": {},
    }
    with contextlib.redirect_stdout(io.StringIO()):
        known.createIndex()
        evaluation = cocoeval.COCOeval(known, known.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return tuple(evaluation.stats[:3])


@pytest.mark.parametrize("seed", range(8))
def test_mean_average_precision_is_that_of_pycocotools(seed: int) -> None:
    found, true = random_images(seed)
    measured = entries(found, true)
    ours = [mean_average_precision(measured, threshold=threshold) for threshold in (None, 0.5, 0.75)]
    assert ours == pytest.approx(by_pycocotools(found, true), abs=1e-9)
    assert 0.1 < ours[0] < ours[1]


def test_images_drawn_several_times_are_those_images_repeated() -> None:
    found, true = random_images(0)
    for image, each in enumerate(found):
        each["scores"] = each["scores"] + 1e-4 * torch.arange(len(each["scores"])) + 1e-6 * image  # without ties
    measured = entries(found, true)
    times = torch.randint(3, (5, len(measured)), generator=torch.Generator().manual_seed(1))
    for threshold in (None, 0.75):
        expected = [
            mean_average_precision(
                [measured[row] for row in torch.arange(len(each)).repeat_interleave(each)], threshold=threshold
            )
            for each in times
        ]
        assert drawn_mean_average_precision(measured, times, threshold=threshold).tolist() == pytest.approx(expected)
    empty = entries([{"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0)}], true[:1])
    assert torch.isnan(
        drawn_mean_average_precision([*empty, *measured[1:]], torch.zeros(2, 30, dtype=torch.int64))
    ).all()


def test_average_precision_worked_by_hand() -> None:
    """Two true boxes: a hit, a miss, a hit: precision 1 up to recall 1/2, then 2/3: (51 * 1 + 50 * 2 / 3) / 101."""
    true = [{"boxes": torch.cat([box(0, 0, 10, 10), box(20, 20, 30, 30)]), "labels": torch.tensor([0, 0])}]
    boxes = torch.cat([box(0, 0, 10, 10), box(50, 50, 60, 60), box(20, 20, 30, 30)])
    found = [{"boxes": boxes, "scores": torch.tensor([0.9, 0.8, 0.7]), "labels": torch.zeros(3, dtype=torch.int64)}]
    assert mean_average_precision(entries(found, true)) == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_box_is_found_once_and_only_by_its_label() -> None:
    true = [{"boxes": box(0, 0, 10, 10), "labels": torch.tensor([1])}]
    same = {"boxes": box(0, 0, 10, 10).repeat(2, 1), "scores": torch.tensor([0.5, 0.9])}
    (twice,) = entries([{**same, "labels": torch.tensor([1, 1])}], true)
    assert twice.found[0].tolist() == [True, False] and twice.scores.tolist() == pytest.approx([0.9, 0.5])
    (other,) = entries([{**same, "labels": torch.tensor([0, 2])}], true)
    assert not other.found.any()
    assert mean_average_precision([other]) == 0


def test_images_without_boxes_count_by_their_false_alarms() -> None:
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    one = {"boxes": box(0, 0, 10, 10), "labels": torch.tensor([0])}
    sure = {**one, "scores": torch.tensor([0.5])}
    alarm = {**one, "scores": torch.tensor([0.9])}
    silent = {**nothing, "scores": torch.zeros(0)}
    assert mean_average_precision(entries([sure, silent], [one, nothing])) == pytest.approx(1)
    assert mean_average_precision(entries([sure, alarm], [one, nothing])) == pytest.approx(0.5)


def test_overlaps() -> None:
    one = torch.cat([box(0, 0, 10, 10), box(5, 0, 15, 10), box(3, 3, 3, 3)]).double()
    assert torch.allclose(overlaps(one, one)[0], torch.tensor([1, 1 / 3, 0], dtype=torch.float64))
    assert overlaps(one, one)[2, 2] == 0  # a box of no area overlaps nothing


@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_that_of_a_plain_loop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = 30 * torch.rand(60, 2, generator=generator)
    boxes = torch.cat([corner, corner + 5 + 15 * torch.rand(60, 2, generator=generator)], 1)
    likely, labels = torch.rand(60, generator=generator), torch.randint(2, (60,), generator=generator)
    expected: list[int] = []
    for row in likely.argsort(descending=True).tolist():
        rivals = [kept for kept in expected if labels[kept] == labels[row]]
        if all(overlaps(boxes[row][None], boxes[kept][None]) <= 0.4 for kept in rivals):
            expected.append(row)
    assert non_maximum_suppression(boxes, likely, labels, 0.4).tolist() == expected


def test_the_most_likely_candidates_stay() -> None:
    boxes = torch.cat([box(0, 0, 10, 10), box(0, 0, 10, 11), box(40, 40, 50, 50)])
    likely = torch.tensor([[0.9, 0.3], [0.8, 0.0], [0.005, 0.6]])
    kept = most_likely(boxes, likely, score_threshold=0.01, iou_threshold=0.5, most=10)
    assert kept["labels"].tolist() == [0, 1, 1] and kept["scores"].tolist() == pytest.approx([0.9, 0.6, 0.3])
    fewest = most_likely(boxes, likely, score_threshold=0.01, iou_threshold=0.5, most=1)
    assert torch.equal(fewest["boxes"], boxes[:1])
    assert not len(most_likely(boxes, likely, score_threshold=0.95, iou_threshold=0.5, most=1)["boxes"])


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
        [entry.found.tolist() for entry in task.objective.statistics(found, Batch(torch.zeros(6, 1), targets))]
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
