"""A linear layer of an agent's network, drawn from a generator of its own."""

from __future__ import annotations

import torch
from torch import nn


def linear_layer(inputs: int, outputs: int, bound: float, generator: torch.Generator) -> nn.Linear:
    """Returns a layer whose weights and biases are uniform within `bound`; the global generator is not touched."""
    # Made without memory, because the layer's own initialisation would draw from the global generator.
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
