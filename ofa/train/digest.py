"""A short name for the weights of a network: what files made from it hang on."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from ofa.checkpoint import weights


def digest_of(model: nn.Module) -> str:
    """Returns 16 hex digits of the names, shapes and values of all weights and buffers."""
    found = hashlib.sha256()
    for name, tensor in sorted(weights(model).items()):
        held = tensor.detach().cpu().contiguous()
        found.update(f"{name} {held.dtype} {list(held.shape)}".encode())
        found.update(held.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]
