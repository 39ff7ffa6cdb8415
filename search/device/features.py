"""Features: all that a latency model may look at, of many Archs at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ofa.arch import Arch
from ofa.cost import cost
from search.device.block_table import BlockTable
from search.device.timing import Floats

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def features_of(supernet: Supernet, table: BlockTable | None, archs: Sequence[Arch]) -> dict[str, Floats]:
    """Returns float64 (archs,) by name: the costs of `ofa.cost`, and the sums of a block table where there is one."""
    costs = {name: np.asarray(values, dtype=np.float64) for name, values in cost(supernet, archs).items()}
    return costs if table is None else costs | table.sums(archs)
