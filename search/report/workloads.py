"""What the latencies of a run's devices are of."""

from __future__ import annotations

from search.device import read_profile
from search.device.workload import USUAL, Workload
from search.run.paths import RunFolder


def workload_of(run: RunFolder, device: str) -> Workload:
    """Returns what a run on a device computed; one example where its profile is gone.

    Raises:
        InvalidInput: a damaged profile; names it.
    """
    path = run.profile(device)
    return read_profile(path).workload if path.is_file() else USUAL
