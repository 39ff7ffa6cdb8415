"""Widths behind norms and reductions: elastic, and compared with norms over the channels that are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa
from ofa.randomize import randomize_
from tests.ofa.trial.models import (
    Between,
    GlobalResponse,
    Halves,
    NormStandardizedConv,
    StandardizedConv,
    standardized,
)

RULES = ofa.SpaceRules(multiple_of=1, width_ratios=None)
FUNCTIONS = {
    "layer norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "rms norm": lambda x: F.rms_norm(x, x.shape[-1:], eps=1e-6),
    "group norm of one group": lambda x: F.group_norm(x, 1),
    "mean": lambda x: x - x.mean(-1, keepdim=True),
    "sum": lambda x: x / (1 + x.abs().sum(-1, keepdim=True)),
    "unit length": lambda x: F.normalize(x, dim=-1),
    "variance": lambda x: x * torch.rsqrt(x.var(-1, keepdim=True, correction=0) + 1),
    "deviation": lambda x: x / (1 + x.std(-1, keepdim=True, correction=0)),
    "softmax": lambda x: x.softmax(-1),
    "log-softmax": lambda x: x.log_softmax(-1),
    "maximum": lambda x: x - x.amax(-1, keepdim=True),
    "maximum with its position": lambda x: x - x.max(-1, keepdim=True)[0],
    "cumulative sum": lambda x: x.cumsum(-1),
    "log of the sum": lambda x: x - x.logsumexp(-1, keepdim=True),
    "cosine": lambda x: x * F.cosine_similarity(x, x.sin(), dim=-1)[..., None],
}


def widths(model: nn.Module, images: Tensor) -> dict[str, int]:
    """The units of each group; every width of the first is compared with a model built of the kept channels."""
    supernet = ofa.Supernet(randomize_(model.double().eval()), images, RULES)
    return {group.name: group.units for group in supernet.groups}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_width_that_is_reduced_over_is_elastic_and_right(name: str) -> None:
    model = randomize_(Between(FUNCTIONS[name]).double().eval())
    x = torch.randn(3, 6, dtype=torch.float64)
    supernet = ofa.Supernet(model, x, RULES)
    assert [(group.name, group.units, group.renormalized) for group in supernet.groups] == [("enter", 8, True)]
    for width in range(1, 8):
        hidden = F.linear(x, model.enter.weight[:width], model.enter.bias[:width])
        expected = F.linear(FUNCTIONS[name](hidden), model.leave.weight[:, :width], model.leave.bias)
        torch.testing.assert_close(supernet.subnet(ofa.Arch(width={"enter": width}))(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "build",
    [GlobalResponse, lambda: standardized(StandardizedConv), lambda: standardized(NormStandardizedConv)],
    ids=["global response", "weight standardization", "by batch norm"],
)
def test_norms_of_blocks_and_weights_are_elastic(build: type[nn.Module]) -> None:
    found = widths(build(), torch.randn(2, 3, 8, 8, dtype=torch.float64))
    assert sorted(found.values()) in ([8], [6, 8])


@pytest.mark.parametrize("norm", [nn.Identity, lambda: nn.LayerNorm(8)], ids=["plain", "layer norm"])
def test_a_slice_that_moves_with_the_width_is_refused(norm: type[nn.Module]) -> None:
    with pytest.raises(ofa.InvalidInput, match="differs from"):
        ofa.Supernet(Halves(norm()), torch.randn(2, 6))


def test_positions_of_extrema_keep_the_width() -> None:
    with pytest.raises(ofa.InvalidInput, match="searched for its extremum"):
        ofa.Supernet(Between(lambda x: x * x.argmax(-1, keepdim=True)), torch.randn(2, 6))


def test_sums_inside_rows_tie_the_rows() -> None:
    supernet = ofa.Supernet(
        Between(lambda x: x * x.unflatten(-1, (-1, 2)).sum(-1).repeat_interleave(2, -1)), torch.randn(2, 6), RULES
    )
    rng = np.random.default_rng(0)
    x = torch.randn(2, 6)
    for arch in [supernet.space.sample(rng) for _ in range(5)]:
        torch.testing.assert_close(supernet.subnet(arch)(x), supernet.extract(arch)(x))
    assert [(group.units, group.channels_per_unit) for group in supernet.groups] == [(4, 2)]
