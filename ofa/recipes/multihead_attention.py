"""Multi-head attention whose sizes are those of its weights: heads, width and the widths of keys and values apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class ElasticMultiheadAttention(nn.MultiheadAttention):
    """`nn.MultiheadAttention` (Vaswani et al., 2017) with as many heads as its weights have rows for.

    Arguments, results and names of tensors are those of `nn.MultiheadAttention`; a head keeps its size.
    """

    @property
    def _qkv_same_embed_dim(self) -> bool:
        """False, for torch's encoder layers: their fused kernels take a head's size from the width."""
        return False

    @_qkv_same_embed_dim.setter
    def _qkv_same_embed_dim(self, value: bool) -> None:
        vars(self)["_qkv_same_embed_dim"] = value

    @staticmethod
    def original_sizes(module: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
        """Returns the attributes with which the original class fits these weights, or None."""
        packed = "in_proj_weight" in shapes
        rows, width = shapes["in_proj_weight" if packed else "q_proj_weight"]
        rows //= 3 if packed else 1
        widths = [shapes[name][1] for name in ("k_proj_weight", "v_proj_weight") if not packed] or [width, width]
        if not width == rows == shapes["out_proj.weight"][0] or (not packed and widths == [width, width]):
            return None
        return {
            "embed_dim": width,
            "num_heads": rows // module.head_dim,
            "kdim": widths[0],
            "vdim": widths[1],
        }

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Returns what `nn.MultiheadAttention` does: the attended values, and the weights where they are needed."""
        if is_causal and attn_mask is None:
            raise RuntimeError("is_causal is only a hint about attn_mask: give the mask, too")
        queries, keys, values = (self._heads(part) for part in self._projected(query, key, value))
        keys, values = self._extended(keys, self.bias_k), self._extended(values, self.bias_v)
        hidden = is_causal and key_padding_mask is None and not need_weights  # the fused kernel needs no mask then
        mask = None if hidden else self._mask(attn_mask, key_padding_mask, query, queries.shape[-3])
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = (queries * math.sqrt(1.0 / float(self.head_dim))) @ keys.transpose(-2, -1)
            weights = functional.softmax(scores if mask is None else scores + mask, dim=-1)
            if dropout > 0.0:
                weights = functional.dropout(weights, dropout)
            attended = weights @ values
            weights = weights.mean(dim=-3) if average_attn_weights else weights
        else:
            attended = functional.scaled_dot_product_attention(queries, keys, values, mask, dropout, hidden)
        attended = attended.transpose(-3, -2) if self.batch_first else attended.movedim(-2, 0)
        return functional.linear(attended.flatten(-2), self.out_proj.weight, self.out_proj.bias), weights

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Queries, keys and values: (..., heads * size of a head)."""
        packed: Any = self.in_proj_weight
        weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight] if packed is None else packed.chunk(3)
        bias: Any = self.in_proj_bias
        biases = [None] * 3 if bias is None else bias.chunk(3)
        return [functional.linear(*parts) for parts in zip((query, key, value), weights, biases, strict=True)]

    def _heads(self, projected: Tensor) -> Tensor:
        """(..., heads, length, size of a head), the batch first."""
        heads: Tensor = projected.unflatten(-1, (-1, self.head_dim))  # type: ignore[no-untyped-call]
        return heads.transpose(-3, -2) if self.batch_first else heads.movedim(0, -2)

    def _extended(self, heads: Tensor, bias: Tensor | None) -> Tensor:
        """Keys or values with those that belong to no input, at their end."""
        parts = [heads]
        if bias is not None:
            own: Tensor = bias.flatten().unflatten(0, (-1, 1, self.head_dim))  # type: ignore[no-untyped-call]
            parts.append(own.expand(*heads.shape[:-2], 1, -1))
        if self.add_zero_attn:
            parts.append(torch.zeros_like(heads[..., :1, :]))
        return torch.cat(parts, dim=-2) if len(parts) > 1 else heads

    def _mask(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor, heads: int
    ) -> Tensor | None:
        """One mask to add to the scores, (..., heads or 1, queries, keys)."""
        padding = functional._canonical_mask(
            key_padding_mask, "key_padding_mask", functional._none_or_dtype(attn_mask), "attn_mask", query.dtype
        )
        mask = functional._canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, check_other=False)
        extra = int(self.bias_k is not None) + int(self.add_zero_attn)  # keys of no input, which all queries see
        if mask is not None and mask.dim() == 3 and query.dim() == 3:  # one for each example and head
            mask = mask.unflatten(0, (-1, heads))  # type: ignore[no-untyped-call]
        mask = functional.pad(mask, (0, extra)) if mask is not None and extra else mask
        if padding is None:
            return mask
        padding = (functional.pad(padding, (0, extra)) if extra else padding).unsqueeze(-2).unsqueeze(-2)
        return padding if mask is None else mask + padding
