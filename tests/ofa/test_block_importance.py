import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.block_importance import leaving_orders
from ofa.task import Batch, classification

TASK = classification(num_classes=4)


class Block(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.layer(x)


class Net(nn.Module):
    def __init__(self, scales: tuple[float, ...]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*map(Block, scales))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x))


def supernet_of(scales: tuple[float, ...], rules: ofa.SpaceRules | None = None) -> tuple[ofa.Supernet, list[Batch]]:
    """A network whose answers are the labels: each block is missed as much as its scale says."""
    torch.manual_seed(0)
    net = Net(scales).double().eval()
    with torch.no_grad():
        net.head.weight *= 20
    inputs = torch.randn(64, 8, dtype=torch.float64)
    batch = Batch(inputs, net(inputs).argmax(1))
    return ofa.Supernet(net, inputs[:2], rules or ofa.SpaceRules(multiple_of=4)), [
        batch.rows(0, 40),
        batch.rows(40, 64),
    ]


def test_blocks_leave_in_the_order_of_their_importance() -> None:
    supernet, batches = supernet_of((0.9, 1e-3, 0.9, 1e-6, 0.6))
    order = leaving_orders(supernet, batches, TASK)["blocks"]
    assert set(order) == {1, 2, 3, 4}
    assert order[:2] == (3, 1)
    ruled, _ = supernet_of(
        (0.9, 1e-3, 0.9, 1e-6, 0.6), ofa.SpaceRules(multiple_of=4, depth_order_for={"blocks": order})
    )
    assert ruled.structure.stages[0].leaving == order
    depth = {"depth.blocks": 3}
    with torch.no_grad():
        worse = TASK.loss(supernet.subnet(supernet.space.arch(depth))(batches[0].inputs), batches[0])
        better = TASK.loss(ruled.subnet(ruled.space.arch(depth))(batches[0].inputs), batches[0])
    assert float(better) < float(worse)


def test_measuring_changes_nothing() -> None:
    supernet, batches = supernet_of((0.5, 0.1, 0.9))
    with torch.no_grad():
        before = supernet.model(batches[0].inputs)
        leaving_orders(supernet, batches, TASK)
        assert torch.equal(supernet.model(batches[0].inputs), before)


def test_an_order_of_positions_leaves_the_others_in_place() -> None:
    supernet, _ = supernet_of((0.5,) * 4, ofa.SpaceRules(multiple_of=4, depth_order_for={"blocks": [2]}))
    (stage,) = supernet.structure.stages
    assert stage.leaving == (2,) and list(stage.depths) == [3, 4]


@pytest.mark.parametrize("order", [[2, 2], [0], [4], ["2"]])
def test_an_order_that_is_none_is_refused(order: list[int]) -> None:
    rules = ofa.SpaceRules(multiple_of=4, keep_first=1, depth_order_for={"blocks": order})
    with pytest.raises(ofa.InvalidInput, match=r"depth_order_for\['blocks'\]=.*those that can leave are \[1, 2, 3\]"):
        supernet_of((0.5,) * 4, rules)


def test_no_batches_are_refused() -> None:
    supernet, _ = supernet_of((0.5, 0.1))
    with pytest.raises(ofa.InvalidInput, match="give at least one"):
        leaving_orders(supernet, [], TASK)
