"""A device's latency model, for budgets of channels in ms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ofa.arch import Arch
from ofa.prune.granularity.channel import Latency
from ofa.supernet import Supernet
from search.device.profile_file import read_profile
from search.progress import say


def latency_of(profile: str) -> Latency:
    """Returns what predicts ms at batch 1 from the profile of a device, a file that `ofa profile` wrote.

    The profile should be of the same model: its latency model knows the costs of those networks. Its held-out error
    is printed.

    Raises:
        InvalidInput: no such file, or it is damaged.
    """
    found = read_profile(Path(profile))
    say(f"prune: latency model of {found.name}, {100 * found.held_out_error:.1f} % off on networks held out")

    def latency(supernet: Supernet, archs: Sequence[Arch]) -> Sequence[float]:
        return [float(ms) for ms in found.predict_archs(supernet, archs)]

    return latency
