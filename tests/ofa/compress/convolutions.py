"""Convolutions of every kind that hypothesis can think of, with an input for each, in double precision."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor, nn


@st.composite
def conv_cases(draw: st.DrawFn, groups: bool) -> tuple[nn.Conv2d, Tensor]:
    count = draw(st.integers(1, 3)) if groups else 1
    inputs, outputs = count * draw(st.integers(1, 4)), count * draw(st.integers(1, 5))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    short = st.tuples(st.integers(1, 2), st.integers(1, 2))
    kernel, stride, dilation = draw(pair), draw(short), draw(short)
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, count, bias=draw(st.booleans())).double()
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    size = draw(st.tuples(st.integers(5, 8), st.integers(5, 8)))
    return conv, torch.randn(2, inputs, *size, generator=generator, dtype=torch.float64)
