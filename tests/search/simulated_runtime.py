"""A runtime for commands in processes of their own: it brings the simulated clock along, whatever else runs here."""

from __future__ import annotations

from benchmarks.killing.simulated_device import SimulatedDevice, use_simulated_clock


class SimulatedRuntime(SimulatedDevice):
    """A simulated device; a process that makes it measures by its clock."""

    def __init__(self, threads: int = 1) -> None:
        super().__init__(threads)
        use_simulated_clock()
