"""What has no closed form of its peak memory is refused in one line."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa
from tests.ofa.zoo import Residual


def elastic(model: nn.Module) -> ofa.Supernet:
    rules = ofa.SpaceRules(multiple_of=1, width_ratios=(0.125, 0.5, 1.0))
    return ofa.Supernet(model.eval(), torch.randn(2, 3, 6, 6), rules)


class Permuted(nn.Module):
    """A linear layer on permuted maps: those of one channel are contiguous, and torch runs other ops on them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head(x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1]))


class Between(nn.Module):
    """An op of the loop and not of the block, that runs as often as there are blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(Residual(8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for block in self.blocks:
            x = F.relu(block(x))
        return x


class Squared(nn.Module):
    """A storage of as many entries as the width times itself, or divided by three."""

    def __init__(self, power: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.head = nn.Conv2d(8, 5, 1)
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        count = x.shape[1] ** 2 * 100 if self.power else x.shape[1] // 3 + 1
        return self.head(x) * torch.ones(count).mean()


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (Permuted(), r"width.conv=1 op \d+ is aten\.\S+ where the whole model runs aten\."),
        (Between(), r"aten.relu.default"),
        (Squared(power=True), r"bytes alive where"),
        (Squared(power=False), r"not in proportion"),
    ],
)
def test_what_changes_otherwise_is_refused_in_one_line(model: nn.Module, what: str) -> None:
    supernet = elastic(model)
    with pytest.raises(ofa.InvalidInput, match=what) as error:
        ofa.peak_activation_bytes(supernet, [supernet.space.largest])
    assert str(error.value).startswith(type(model).__name__) and "\n" not in str(error.value)


def test_a_model_that_needs_its_batch_is_refused_in_one_line() -> None:
    class Pairs(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            return y + y[1:].mean() if y[1].numel() else y

    supernet = elastic(Pairs(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)))
    with pytest.raises(ofa.InvalidInput, match="does not run on an input of shape"):
        ofa.peak_activation_bytes(supernet, [supernet.space.largest])
