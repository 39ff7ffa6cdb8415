"""UNet, CenterNet and MLP, and a GPT of every token: shapes, what is elastic, what they learn from, clear refusals."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.data.scenes import scenes
from ofa.errors import InvalidInput
from ofa.models import GPT, MLP, CenterNet, UNet
from ofa.models.center_loss import center_boxes, center_loss
from ofa.randomize import randomize_

FIXED = {"mlp": {"head"}, "unet": {"classifier"}, "center_net": {"kinds.3", "sides.3"}, "gpt": {"head", "tokens"}}


@cache
def both(name: str) -> tuple[ofa.Supernet, Tensor]:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    built: dict[str, tuple[nn.Module, Tensor]] = {
        "mlp": (MLP((7,), 3, depth=2, width=32), torch.randn(5, 7, dtype=torch.float64)),
        "unet": (UNet((3, 32, 32), 4, (16, 24, 32), blocks=2), images),
        "center_net": (CenterNet((3, 32, 32), 3, (16, 16, 24, 32)), images),
        "gpt": (GPT((6,), 11, width=24, depth=2, heads=3, head_size=8, every_token=True), torch.randint(11, (3, 6))),
    }
    model, inputs = built[name]
    return ofa.Supernet(randomize_(model.double().eval()), inputs), inputs


@pytest.mark.parametrize("name", FIXED)
def test_all_layers_but_the_last_are_elastic_and_depth_varies(name: str) -> None:
    supernet, _ = both(name)
    rows = supernet.report().rows
    assert {row.layer for row in rows if row.state == "fixed" and row.kind not in ("stage", "GPT")} == FIXED[name]
    assert any(choice.kind == "depth" and len(choice.values) > 1 for choice in supernet.space.choices)
    assert supernet.refused == {}


@pytest.mark.parametrize("name", FIXED)
def test_subnets_and_extracts_agree(name: str) -> None:
    supernet, inputs = both(name)
    rng = np.random.default_rng(0)
    for arch in (supernet.space.largest, supernet.space.smallest, *(supernet.space.sample(rng) for _ in range(3))):
        with torch.no_grad():
            view, net = supernet.subnet(arch).eval(), supernet.extract(arch).eval()
            torch.testing.assert_close(view(inputs), net(inputs), rtol=1e-10, atol=1e-10)
        count = sum(parameter.numel() for parameter in net.parameters())
        assert ofa.cost(supernet, [arch])["params"][0] == count


def test_shapes_of_outputs() -> None:
    assert MLP((2, 3), 4)(torch.randn(5, 2, 3)).shape == (5, 4)
    assert UNet((1, 20, 28), 2, (8, 8, 8))(torch.randn(2, 1, 20, 28)).shape == (2, 2, 20, 28)
    assert UNet((1, 21, 27), 2, (8, 8))(torch.randn(2, 1, 21, 27)).shape == (2, 2, 21, 27)
    assert CenterNet((3, 32, 48), 5)(torch.randn(2, 3, 32, 48)).shape == (2, 9, 8, 12)
    assert GPT((6,), 11)(torch.randint(11, (3, 6))).shape == (3, 11)
    assert GPT((6,), 11, every_token=True)(torch.randint(11, (3, 6))).shape == (3, 6, 11)


def test_a_token_is_foretold_from_those_before_it() -> None:
    torch.manual_seed(0)
    model = GPT((6,), 11, every_token=True).eval()
    ids = torch.randint(11, (1, 6))
    changed = ids.clone()
    changed[:, 3] = (changed[:, 3] + 1) % 11
    one, other = model(ids), model(changed)
    assert torch.equal(one[:, :3], other[:, :3]) and not torch.allclose(one[:, 3], other[:, 3])


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: MLP(()), "MLP input_shape=()"),
        (lambda: MLP(width=0), "MLP width=0"),
        (lambda: MLP(dropout=1.0), "MLP dropout=1.0"),
        (lambda: UNet(widths=(8,)), "UNet widths=(8,): give two or more"),
        (lambda: UNet((3, 2, 2), widths=(8, 8, 8)), "height and width must be at least 4 pixels"),
        (lambda: CenterNet((3, 30, 32)), "must be multiples of 16"),
        (lambda: CenterNet(widths=(8, 8)), "CenterNet widths=(8, 8): give four"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(build: object, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        build()  # type: ignore[operator]
    assert said in str(refused.value)


def map_of(boxes: list[list[float]], labels: list[int], size: int = 16) -> Tensor:
    """The output that names these boxes, each in the place that its center is in."""
    outputs = torch.full((1, 3 + 4, size, size), -8.0)
    for box, label in zip(boxes, labels, strict=True):
        x, y = int((box[0] + box[2]) / 8), int((box[1] + box[3]) / 8)
        sides = torch.tensor([x * 4 + 2 - box[0], y * 4 + 2 - box[1], box[2] - x * 4 - 2, box[3] - y * 4 - 2]) / 4
        outputs[0, label, y, x] = 4.0
        outputs[0, 3:, y, x] = sides + torch.log(-torch.expm1(-sides))  # the inverse of softplus
    return outputs


def test_boxes_come_out_as_they_went_in() -> None:
    boxes, labels = [[4.0, 5, 20, 23], [30, 28, 60, 58]], [2, 0]
    (found,) = center_boxes(map_of(boxes, labels))
    assert sorted(found["labels"].tolist()) == [0, 2] and (found["scores"] > 0.9).all()
    order = found["labels"].argsort(descending=True)
    torch.testing.assert_close(found["boxes"][order], torch.tensor(boxes), rtol=0, atol=1e-3)


def test_the_loss_is_least_where_the_boxes_are() -> None:
    boxes = [[4.0, 5, 20, 23], [30, 28, 60, 58]]
    true = {"boxes": torch.tensor([[*boxes, [0.0] * 4]]), "labels": torch.tensor([[2, 0, -1]])}
    losses = [center_loss(map_of(*wrong), true) for wrong in ((boxes, [2, 0]), (boxes, [1, 0]), (boxes[:1], [2]))]
    assert losses[0] < losses[1] and losses[0] < losses[2]
    moved = center_loss(map_of([[6.0, 7, 22, 27], boxes[1]], [2, 0]), true)
    assert losses[0] < moved


def test_a_center_net_learns_and_images_without_boxes_teach_too() -> None:
    torch.manual_seed(0)
    drawn = scenes(32, image_size=32)
    net, images = CenterNet((3, 32, 32), 3, (8, 8, 16, 16)), drawn.pixels / 127.5 - 1
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        loss = center_loss(net(images), {"boxes": drawn.boxes, "labels": drawn.kinds})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    loss = center_loss(net(images), {"boxes": torch.zeros(32, 2, 4), "labels": torch.full((32, 2), -1)})
    loss.backward()
    assert torch.isfinite(loss) and all(parameter.grad is not None for parameter in net.parameters())
