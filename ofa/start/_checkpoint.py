"""A start from a file of weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ofa.start.record import StartRecord, filled_from
from ofa.weights_file import read_weights


def checkpoint(model: nn.Module, path: str, ignore: Sequence[str] = (), key: str | None = None) -> StartRecord:
    """Returns the record of a start from a file, after filling `model` in place.

    Args:
        model: made with the sizes that the weights were saved with.
        path: of a .safetensors, .pt, .pth or .bin file, or of a folder of weights (see `ofa.weights_file`). Nothing in
            it is executed: a pickle that asks for more than tensors is refused.
        ignore: patterns of layers or weights that stay as they are built, such as "head" for a new head.
        key: the entry of a .pt file that holds the state dict, such as "ema"; None: the usual names are tried.

    Raises:
        InvalidInput: a file that is missing, truncated or of another network, which is said by name.
    """
    return filled_from(model, read_weights(path, key), path, ignore)
