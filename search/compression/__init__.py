"""The verb `compress`: a network as one small file, by a list of stages; what each stage of a recipe calls."""

from search.compression._finetune import finetune
from search.compression._low_rank import low_rank
from search.compression._prune import prune
from search.compression._reorder import reorder
from search.compression._share import share

__all__ = ["finetune", "low_rank", "prune", "reorder", "share"]
