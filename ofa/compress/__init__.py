"""Compression of plain networks: low-rank factors in place of layers, weights of few values, and coded files."""

from ofa.compress.codebook_training import sharing_of, with_codebooks, without_codebooks
from ofa.compress.codebooks import codebook
from ofa.compress.decoder import decoder_source
from ofa.compress.integers import integer_levels
from ofa.compress.level_choice import levels_for_bytes, levels_within, sharing_scan
from ofa.compress.low_rank import choose_ranks, factorize
from ofa.compress.norm_statistics import fold_norm_statistics_
from ofa.compress.ofaz import coded_sizes, load, save
from ofa.compress.sharing import SharedTensor, Sharing, share
from ofa.compress.sizes import FileSizes, TensorSizes
from ofa.compress.split import split_conv, split_linear, split_tucker
from ofa.compress.tucker import Tucker, tucker2

__all__ = [
    "FileSizes",
    "SharedTensor",
    "Sharing",
    "TensorSizes",
    "Tucker",
    "choose_ranks",
    "codebook",
    "coded_sizes",
    "decoder_source",
    "factorize",
    "fold_norm_statistics_",
    "integer_levels",
    "levels_for_bytes",
    "levels_within",
    "load",
    "save",
    "share",
    "sharing_of",
    "sharing_scan",
    "split_conv",
    "split_linear",
    "split_tucker",
    "tucker2",
    "with_codebooks",
    "without_codebooks",
]
