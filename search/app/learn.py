"""What a search measured goes back into the profile of its device."""

from __future__ import annotations

from collections.abc import Sequence

from search.app.devices import SearchDevice
from search.device import read_profile
from search.device.refit import with_finalists
from search.locks import only_one
from search.measure import MeasuredArch
from search.paths import RunFolder
from search.progress import say
from search.report.numbers import percent_text
from search.trained import Trained

TRUSTED = ("ok", "more visits")


def learn_from(run: RunFolder, trained: Trained, device: SearchDevice, measured: Sequence[MeasuredArch]) -> None:
    """Adds what a search measured to the device's profile, fits its latency model anew and writes it.

    A noisy measurement teaches nothing. The profile keeps its digest, so searches made with it stay valid; later ones
    predict with the new fit.
    """
    trusted = [(one.arch, one.timing.scaled(1 / one.drift)) for one in measured if one.verdict in TRUSTED]
    path = run.profile(device.profile.name)
    with only_one(run.profile_lock(device.profile.name), f"search: another job has {path} in hand; waiting for it"):
        profile = read_profile(path, trained.supernet)  # as it is now: another search may have added to it
        learned = with_finalists(profile, trained.supernet, trusted)
        added = len(learned.anchors) - len(profile.anchors)
        if added:
            learned.write(path)
    if added:
        error = percent_text(learned.held_out_error, 1)
        subnets = "1 measured subnet" if added == 1 else f"{added} measured subnets"
        say(f"search: {subnets} added to {path}; its latency model is now off by {error} on subnets held out")
