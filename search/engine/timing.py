"""The resource `timing` of a Ray cluster: a machine that declares it is measured on while nothing else runs there.

It is declared by whoever starts Ray there, `ray start --resources '{"timing": 1}'`. Each evaluator holds a small share
of its machine's, so that one who holds all of it is alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from search.run.progress import say

TIMING = "timing"
_SHARE = 0.001  # of an evaluator: a thousand may run on a machine
_PATIENCE = 10  # seconds until a wait is told: evaluators that have just ended take a moment


def share_of_timing(library: Any) -> dict[str, float]:
    """Returns the resources that an evaluator needs beside cores and GPUs; none where no machine declares `timing`."""
    machines = [node["Resources"] for node in library.nodes() if node["Alive"]]
    declared = sum(TIMING in resources for resources in machines)
    if 0 < declared < len(machines):
        say(f"search: {declared} of {len(machines)} machines declare {TIMING}: evaluators run on these alone")
    return {TIMING: _SHARE} if declared else {}


@contextmanager
def all_of_timing(library: Any) -> Iterator[None]:
    """Holds all of this machine's `timing`: waits until no evaluator of any search is here, and lets none begin.

    Where this machine declares none, nothing is held.
    """
    here = library.get_runtime_context().get_node_id()
    node = next(node for node in library.nodes() if node["NodeID"] == here)
    amount = node["Resources"].get(TIMING, 0)
    if not amount:
        yield
        return
    groups = importlib.import_module("ray.util.placement_group")
    # A placement group needs no process, and goes with the driver that made it.
    group = groups.placement_group([{TIMING: amount, f"node:{node['NodeManagerAddress']}": 0.001}])
    try:
        if not group.wait(_PATIENCE):
            say(f"search: other searches evaluate on this machine, which declares {TIMING}; waiting to measure")
            while not group.wait(_PATIENCE):
                pass
        yield
    finally:
        groups.remove_placement_group(group)
