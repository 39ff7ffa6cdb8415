"""The classes of torch's normalization layers."""

from __future__ import annotations

from torch import nn

BatchNorm = nn.modules.batchnorm._BatchNorm
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
