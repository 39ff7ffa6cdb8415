"""How units and blocks are sorted before a training, `train.sort`."""

from __future__ import annotations

from msgspec import Struct

from search.config.rules import Count, Target


class Sorting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How units and blocks are sorted before a training, see conf/train/adapt.yaml.

    Attributes:
        by: what a unit is worth (see `ofa.importance`).
        batches: of training examples that this is measured on.
        blocks: whether the order in which blocks leave is measured too.
    """

    by: Target
    batches: Count = 8
    blocks: bool = False
