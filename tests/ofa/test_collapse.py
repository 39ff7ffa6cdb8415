"""Signs of collapse: a line each, and none where all is well."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.collapse import same_logits, thin_layers


def mask(kept: int, *shape: int) -> Tensor:
    """A mask that keeps so many entries, scattered."""
    flat = torch.zeros(torch.Size(shape).numel(), dtype=torch.bool)
    flat[torch.randperm(len(flat), generator=torch.Generator().manual_seed(0))[:kept]] = True
    return flat.reshape(shape)


def test_layers_that_keep_next_to_nothing() -> None:
    masks = {
        "empty": mask(0, 4, 5),
        "rare": mask(5, 10, 100, 10, 1),
        "thin": mask(63, 64, 32),
        "well": mask(64, 64, 32),
    }

    assert thin_layers(masks) == [
        "1 of 4 pruned layers keeps no weight, so nothing passes: empty of 20",
        "1 of 4 pruned layers keeps under 0.1 % of the weights: rare 5 of 10,000",
        "1 of 4 pruned layers keeps under one weight per output: thin 63 for 64 outputs",
    ]
    many = {f"layer{number}": mask(0, 4, 5) for number in range(5)}
    (line,) = thin_layers(many)
    assert line.startswith("5 of 5 pruned layers keep no weight")
    assert line.endswith("layer0 of 20, layer1 of 20, layer2 of 20 and 2 more")
    (line,) = thin_layers({"thin": masks["thin"]})
    assert line == "the pruned layer keeps under one weight per output: thin 63 for 64 outputs"


def test_channels_that_are_gone_leave_a_smaller_layer() -> None:
    slim = torch.zeros(64, 4, 1, 1, dtype=torch.bool)
    slim[:8, :2] = True  # 16 weights, 64 outputs

    assert not thin_layers({"slim": slim})


def test_logits_that_do_not_vary() -> None:
    bias = torch.tensor([1.0, -2.0, 3.0])
    assert "the outputs of 4 different examples are the same" in same_logits(bias.repeat(4, 1))[0]
    assert not same_logits(bias + 1e-3 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    assert not same_logits(bias[None])  # of one image nothing can be said
