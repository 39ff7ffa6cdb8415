"""A stack of encoder layers that never packs padded sequences into nested tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


class ElasticTransformerEncoder(nn.TransformerEncoder):
    """`nn.TransformerEncoder` without nested tensors, which only torch's fused kernels take.

    Layers whose sizes those kernels do not fit would get them, too. At padded positions the outputs are not zero then.
    """

    @property
    def use_nested_tensor(self) -> bool:
        """False."""
        return False

    @use_nested_tensor.setter
    def use_nested_tensor(self, value: bool) -> None:
        vars(self)["use_nested_tensor"] = value

    @staticmethod
    def original_sizes(module: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Returns what makes the original class do the same."""
        return {"use_nested_tensor": False}
