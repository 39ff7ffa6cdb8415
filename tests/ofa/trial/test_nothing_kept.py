"""A conversion and its views leave no copy of the weights behind, not even until garbage is collected."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import ofa
import ofa.supernet
from ofa.models import ResNet


class Tokens(nn.Module):
    """Attention without a way around it, so that heads and width are tried in parts."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 3)
        self.attention = nn.Linear(16, 48)

    def forward(self, values: Tensor) -> Tensor:
        query, key, value = self.attention(self.first(values)).chunk(3, -1)
        return self.last((query @ key.transpose(-1, -2)).softmax(-1) @ value)  # type: ignore[no-any-return]


@pytest.fixture
def _no_collection() -> Iterator[None]:
    ofa.Supernet(ResNet((6, 8, 8), 3, depth=8), torch.randn(2, 6, 8, 8))  # imports of torch
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collection")
@pytest.mark.parametrize("make", [Tokens, lambda: ResNet((6, 8, 8), 3, depth=8)])
def test_private_copies_go_with_the_conversion(make: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[weakref.ref[nn.Module]] = []
    private_copy = ofa.supernet.private_copy

    def noted(model: nn.Module) -> nn.Module:
        private = private_copy(model)
        copies.append(weakref.ref(private))
        return private

    net = make().eval()
    images = torch.randn(2, 6, 8, 8) if isinstance(net, ResNet) else torch.randn(2, 5, 6)
    monkeypatch.setattr(ofa.supernet, "private_copy", noted)
    supernet = ofa.Supernet(net, images, ofa.SpaceRules(multiple_of=4))
    assert copies and all(copy() is None for copy in copies)
    extracted = weakref.ref(supernet.extract(supernet.space.smallest))
    view = weakref.ref(supernet.subnet(supernet.space.smallest))
    assert extracted() is None and view() is None
