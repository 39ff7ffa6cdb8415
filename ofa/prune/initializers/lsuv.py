"""Layer-sequential unit-variance: orthonormal weights, then each layer's output is scaled to variance 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ofa.inputs import Example
from ofa.prune.initializers.layers import Layer, rows, set_rows_
from ofa.prune.initializers.measuring import followed_by_norm, normalizing, on_model, output_of, run
from ofa.prune.initializers.random_ import orthogonal_


def lsuv_(model: nn.Module, images: Example | None, generator: torch.Generator) -> None:
    """Sets orthonormal weights, each layer's divided by the deviation of its output on `images` (N, ...), in place.

    The layers are visited in the order of one forward pass, each with its inputs as the layers before it give them
    after their own scaling. Biases are 0, so that one division is exact and the paper's loop (up to 10 rounds, until
    the variance is within 0.1 of 1) would end after its first round. A layer that a norm layer follows keeps its
    orthonormal weights, and so does one whose output is constant, or that is not called as a module.

    Source: Mishkin and Matas 2016, 1511.06422, algorithm 1.

    Raises:
        InvalidInput: fewer than two images, or a model that gives several tensors, none named logits.
    """
    orthogonal_(model, images, generator, gain=1.0)
    examples = on_model(model, images, "lsuv_")
    with normalizing(model), torch.no_grad():
        normed = followed_by_norm(model, examples)

        def arrival(path: str, layer: Layer, inputs: Tensor) -> None:
            deviation = float(output_of(layer, inputs).double().std(correction=0))
            if path not in normed and deviation > 0:
                set_rows_(layer, rows(layer) / deviation)

        run(model, examples, arrival)
