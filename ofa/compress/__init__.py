"""Compression of plain networks: low-rank factors in place of linear layers and convolutions."""

from ofa.compress.low_rank import choose_ranks, factorise
from ofa.compress.split import split_conv, split_linear, split_tucker
from ofa.compress.tucker import Tucker, tucker2

__all__ = ["Tucker", "choose_ranks", "factorise", "split_conv", "split_linear", "split_tucker", "tucker2"]
