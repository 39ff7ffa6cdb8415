"""The verb `compress`: a network as one small file, by a list of stages; what each stage of a recipe calls."""

from search.compression.training import finetune, prune
from search.compression.without_training import low_rank, reorder, share

__all__ = ["finetune", "low_rank", "prune", "reorder", "share"]
