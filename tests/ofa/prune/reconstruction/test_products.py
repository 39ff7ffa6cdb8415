"""Products: a weight's matrices times the inputs that were seen are the outputs, whatever did the product."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.modes import op_by_op
from ofa.prune.reconstruction.products import Layout, Product, Watch

IMAGE = torch.randn(3, 4, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
ROWS = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class StoredTheOtherWay(nn.Module):
    """A linear layer whose weight is (inputs, outputs), as some transformers have it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(8, 6)), nn.Parameter(torch.randn(6))

    def forward(self, values: Tensor) -> Tensor:
        return torch.addmm(self.bias, values.reshape(-1, 8), self.weight).reshape(*values.shape[:-1], 6)


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 8))

    def forward(self, values: Tensor) -> Tensor:
        return functional.linear(values, self.weight)


LAYERS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "linear": (lambda: nn.Linear(8, 6), ROWS),
    "without a bias": (lambda: nn.Linear(8, 6, bias=False), ROWS),
    "bare": (Bare, ROWS),
    "stored the other way": (StoredTheOtherWay, ROWS),
    "convolution": (lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2)), IMAGE),
    "dilated groups": (lambda: nn.Conv2d(4, 6, 3, dilation=2, groups=2), IMAGE),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, padding="same", groups=4), IMAGE),
    "one dimension": (lambda: nn.Conv1d(4, 6, 3, stride=2), IMAGE[:, :, 0]),
    "three dimensions": (lambda: nn.Conv3d(2, 4, 2), IMAGE.reshape(3, 2, 2, 9, 8)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), IMAGE),
    "transposed groups": (lambda: nn.ConvTranspose2d(4, 6, (2, 3), stride=(1, 3), dilation=2, groups=2), IMAGE),
}


def seen_of(model: nn.Module, *values: Tensor) -> tuple[list[Product], Tensor]:
    seen: list[Product] = []
    weights = {name: parameter for name, parameter in model.named_parameters() if parameter.dim() > 1}
    with torch.no_grad(), op_by_op(), Watch(weights, seen.append, model.parameters()):
        output = model(*values)
    return seen, output


@pytest.mark.parametrize("name", LAYERS)
def test_matrices_times_inputs_are_the_outputs(name: str) -> None:
    torch.manual_seed(0)
    make, values = LAYERS[name]
    layer = make().double().eval()
    ((product,), output) = seen_of(layer, values)
    matrices = product.layout.matrices(layer.weight.detach())
    made = torch.einsum("grd,gpd->pgr", matrices, product.inputs).flatten(1)  # (positions, outputs)
    bias = getattr(layer, "bias", None)
    if bias is not None:
        assert product.bias is not None and product.bias[0] is bias and product.bias[1] == 0
        made = made + bias
    expected = output if values is ROWS else output.movedim(1, -1)
    torch.testing.assert_close(made, expected.reshape(made.shape))
    torch.testing.assert_close(product.layout.weight(matrices, layer.weight.shape), layer.weight.detach())


def test_attention_tells_the_inputs_of_queries_from_those_of_keys_and_values() -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2).double().eval()
    memory = torch.randn(7, 5, 8, dtype=torch.float64)
    seen, _ = seen_of(attention, ROWS, memory, memory)
    found = {(product.name, product.rows): product for product in seen}
    assert set(found) == {("in_proj_weight", (0, 8)), ("in_proj_weight", (8, 24)), ("out_proj.weight", (0, 8))}
    keys = found["in_proj_weight", (8, 24)]
    torch.testing.assert_close(found["in_proj_weight", (0, 8)].inputs[0], ROWS.reshape(-1, 8))
    torch.testing.assert_close(keys.inputs[0], memory.reshape(-1, 8))
    assert keys.bias is not None and keys.bias[0] is attention.in_proj_bias and keys.bias[1] == 8
    together, _ = seen_of(attention, ROWS, ROWS, ROWS)
    assert [product.rows for product in together] == [(0, 24), (0, 8)]


def test_products_of_other_tensors_are_not_reported() -> None:
    model = nn.Linear(8, 6).double()
    other = model.weight.detach().clone()
    with torch.no_grad(), Watch({"weight": model.weight}, lambda product: pytest.fail("another tensor")):
        functional.linear(ROWS, other)
        functional.linear(ROWS[..., :4], model.weight[:, :4])  # a part of its inputs has no rows of its own
    assert Layout() == Layout("rows", 1)
