"""The detector of the examples: plain PyTorch, elastic all through, and it learns where shapes are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import ofa
from ofa.data.scenes import Scenes, scenes
from ofa.randomize import randomize_
from tests.ofa.nets import zeroed_output

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))
from yolo.boxes import corners, detections, flattened, overlaps  # noqa: E402
from yolo.loss import assigned, yolo_loss  # noqa: E402
from yolo.network import Yolo  # noqa: E402


@pytest.fixture(scope="module")
def drawn() -> Scenes:
    return scenes(48, seed=3)


def targets(drawn: Scenes) -> dict[str, torch.Tensor]:
    return {"boxes": drawn.boxes, "labels": drawn.kinds}


def images(drawn: Scenes) -> torch.Tensor:
    return drawn.pixels / 127.5 - 1


def test_the_model_knows_nothing_of_us() -> None:
    for path in (EXAMPLES / "yolo").glob("*.py"):
        assert set(re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.M)) <= {
            "__future__",
            "collections",
            "torch",
            "yolo",
        }


def test_every_width_is_elastic_but_those_of_the_outputs() -> None:
    supernet = ofa.Supernet(Yolo(), torch.randn(2, 3, 64, 64))
    layers = [row for row in supernet.report().rows if row.kind in ("Conv2d", "BatchNorm2d")]
    fixed = {row.layer for row in layers if row.state == "fixed"}
    assert fixed == {f"heads.{scale}.{branch}.2" for scale in range(3) for branch in ("box", "kind")}
    elastic = {row.layer for row in layers if row.state == "elastic"}
    assert len(layers) > 100 and len(elastic) > 40


def test_subnets_agree_with_the_full_model_without_their_units_and_with_what_is_extracted(drawn: Scenes) -> None:
    torch.manual_seed(0)
    inputs = images(drawn)[:4].double()
    supernet = ofa.Supernet(randomize_(Yolo(width=16).double().eval()), inputs)
    rng = np.random.default_rng(0)
    for arch in [supernet.space.smallest, *(supernet.space.sample(rng) for _ in range(3))]:
        net = supernet.extract(arch).eval()
        assert type(net) is Yolo
        with torch.no_grad():
            extracted, view = net(inputs), supernet.subnet(arch).eval()(inputs)
        for one, other, zeroed in zip(extracted, view, zeroed_output(supernet, arch, inputs), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(one, zeroed, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_largest_and_smallest_learn_by_its_own_loss(drawn: Scenes) -> None:
    torch.manual_seed(0)
    supernet = ofa.Supernet(Yolo(width=8), torch.randn(2, 3, 64, 64))
    optimizer = torch.optim.AdamW(supernet.model.parameters(), lr=4e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        row = []
        for arch in (supernet.space.largest, supernet.space.smallest):
            loss = yolo_loss(supernet.subnet(arch)(images(drawn)), targets(drawn))
            loss.backward()
            row.append(loss.item())
        optimizer.step()
        losses.append(row)
    first, last = np.mean(losses[:3], axis=0), np.mean(losses[-3:], axis=0)
    assert (last < 0.9 * first).all()


def test_overlap_of_boxes_by_hand() -> None:
    one = torch.tensor([0.0, 0, 4, 4])
    others = torch.tensor([[0.0, 0, 4, 4], [2, 0, 6, 4], [4, 4, 8, 8], [1, 1, 3, 3]])
    assert overlaps(one, others).tolist() == pytest.approx([1, 8 / 24, 0, 4 / 16])
    complete = overlaps(one, others, complete=True)
    assert complete[0].item() == pytest.approx(1) and complete[2].item() == pytest.approx(-32 / 128)
    assert (complete <= overlaps(one, others) + 1e-6).all()


def outputs_of(boxes: list[list[float]], labels: list[int], bins: int = 8) -> list[torch.Tensor]:
    """The maps that name these boxes, each at the place of stride 8 that its center is in."""
    maps = [torch.full((1, 4 * bins + 3, size, size), -8.0) for size in (8, 4, 2)]
    for box, label in zip(boxes, labels, strict=True):
        x, y = int((box[0] + box[2]) / 16), int((box[1] + box[3]) / 16)
        sides = [x * 8 + 4 - box[0], y * 8 + 4 - box[1], box[2] - x * 8 - 4, box[3] - y * 8 - 4]
        for side, distance in enumerate(sides):
            share = distance / 8 - int(distance / 8)
            maps[0][0, side * bins + int(distance / 8), y, x] = 20 + np.log(1 - share)
            maps[0][0, side * bins + int(distance / 8) + 1, y, x] = 20 + np.log(max(share, 1e-12))
        maps[0][0, 4 * bins + label, y, x] = 4.0
    return maps


def test_boxes_come_out_as_they_went_in() -> None:
    boxes, labels = [[4.0, 5, 20, 23], [30, 28, 60, 58]], [2, 0]
    (found,) = detections(outputs_of(boxes, labels))
    assert sorted(found["labels"].tolist()) == [0, 2]
    order = found["labels"].argsort(descending=True)
    torch.testing.assert_close(found["boxes"][order], torch.tensor(boxes), rtol=0, atol=0.01)
    assert (found["scores"] > 0.9).all()


def test_of_two_boxes_upon_each_other_one_is_kept_but_of_two_classes_both() -> None:
    boxes = [[4.0, 4, 36, 36], [14, 4, 46, 36]]  # an overlap of 0.52
    assert len(detections(outputs_of(boxes, [1, 1]), overlap=0.5)[0]["boxes"]) == 1
    assert len(detections(outputs_of(boxes, [1, 1]), overlap=0.6)[0]["boxes"]) == 2
    assert len(detections(outputs_of(boxes, [1, 2]), overlap=0.5)[0]["boxes"]) == 2


def test_the_loss_is_least_where_the_boxes_are() -> None:
    boxes = [[4.0, 5, 20, 23], [30, 28, 60, 58]]
    true = {"boxes": torch.tensor([boxes]), "labels": torch.tensor([[2, 0]])}
    right = yolo_loss(outputs_of(boxes, [2, 0]), true)
    wrong_class = yolo_loss(outputs_of(boxes, [0, 0]), true)
    wrong_place = yolo_loss(outputs_of([[6.0, 9, 24, 27], boxes[1]], [2, 0]), true)
    assert right < wrong_place and right < wrong_class


def test_places_are_given_to_boxes_that_hold_them_and_padding_gets_none(drawn: Scenes) -> None:
    torch.manual_seed(0)
    net = Yolo(width=8)
    sides, kinds, places, strides = flattened(net(images(drawn)), 8)
    owner, quality = assigned(corners(sides, places, strides), kinds.sigmoid(), places, drawn.boxes, drawn.kinds)
    chosen = quality > 0
    true = drawn.boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    inside = ((places > true[..., :2]) & (places < true[..., 2:])).all(-1)
    assert inside[chosen].all() and (drawn.kinds.gather(1, owner)[chosen] >= 0).all()
    assert (chosen.sum(1) >= 1).all() and quality.max() <= 1
    empty = {"boxes": torch.zeros(48, 2, 4), "labels": torch.full((48, 2), -1)}
    assert torch.isfinite(yolo_loss(net(images(drawn)), empty))
