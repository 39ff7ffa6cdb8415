"""Compression of plain networks: low-rank factors in place of linear layers and convolutions, and coded files."""

from ofa.compress.low_rank import choose_ranks, factorise
from ofa.compress.ofaz import coded_sizes, load, save
from ofa.compress.sizes import FileSizes, TensorSizes
from ofa.compress.split import split_conv, split_linear, split_tucker
from ofa.compress.tucker import Tucker, tucker2

__all__ = [
    "FileSizes",
    "TensorSizes",
    "Tucker",
    "choose_ranks",
    "coded_sizes",
    "factorise",
    "load",
    "save",
    "split_conv",
    "split_linear",
    "split_tucker",
    "tucker2",
]
