"""Networks of residual blocks as users write them: what blocks get, what they return, and how they are held."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.ofa.block_nets import (
    BiasPassing,
    ByAttribute,
    ByField,
    ByIndex,
    ByKeyword,
    ByName,
    Checkpointed,
    CollectsMaps,
    Dictionary,
    EncoderDecoder,
    Face,
    First,
    HiddenByKeyword,
    InPlainList,
    LayerDrop,
    Net,
    PassesAlong,
    Positional,
    SharedBetween,
    Streams,
    Taps,
    WorksBetween,
)
from tests.ofa.residual_blocks import (
    Attending,
    Base,
    BiasMaking,
    Caching,
    Decoding,
    Listed,
    Masked,
    Named,
    Parallel,
    PostNorm,
    PostRootNorm,
    Rotated,
    Sliced,
    Structured,
    Twice,
    TwoStreams,
)

NETS: dict[str, Callable[[], nn.Module]] = {
    "keyword": lambda: ByKeyword(Masked),
    "hidden by keyword": lambda: HiddenByKeyword(Masked),
    "positional": lambda: Positional(Rotated),
    "maps and hidden states": lambda: CollectsMaps(Attending),
    "tuple": lambda: First(Attending),
    "list": lambda: First(Listed),
    "dictionary of outputs": lambda: ByName(Named),
    "dataclass": lambda: ByField(Structured),
    "post-norm": lambda: Net(PostNorm),
    "post-norm by hand": lambda: Net(PostRootNorm),
    "parallel": lambda: Net(Parallel),
    "two sums, reshaped": lambda: Net(Twice),
    "caches": lambda: CollectsMaps(Caching),
    "module dict": lambda: Dictionary(Listed),
    "attributes": ByAttribute,
    "plain list": InPlainList,
    "index": ByIndex,
    "slice and settings": lambda: Face(Sliced),
    "checkpointed": lambda: Net(lambda index: Checkpointed(Base(index))),
    "layer drop": LayerDrop,
    "encoder-decoder": lambda: EncoderDecoder(Decoding),
    "two streams": lambda: Streams(TwoStreams),
    "sequential of tuples": PassesAlong,
    "taps": Taps,
    "shared between": SharedBetween,
    "works between": lambda: WorksBetween(Masked),
    "bias of the first": lambda: BiasPassing(BiasMaking),
}


def images() -> Tensor:
    """An input of these networks: (2, 5, 3)."""
    return torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(3))
