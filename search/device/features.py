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

# As many float32 weights as 2 MB hold, a common size of a processor's own cache. A block that is timed alone finds its
# weights there. In a network those before it have driven them out, but for a large block they are out alone, too.
NEAR_PARAMS = 2**19


def features_of(supernet: Supernet, table: BlockTable | None, archs: Sequence[Arch]) -> dict[str, Floats]:
    """Returns float64 (archs,) by name: the costs of `ofa.cost`,
    "near_params", and the sums of a block table where there is one."""
    costs = {name: np.asarray(values, dtype=np.float64) for name, values in cost(supernet, archs).items()}
    costs["near_params"] = np.minimum(costs["params"], NEAR_PARAMS)
    return costs if table is None else costs | table.sums(archs)
