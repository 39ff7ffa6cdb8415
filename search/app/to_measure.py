"""A search's candidates on other machines: known by their profiles, or written down to be measured there first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.app.devices import SearchDevice
from search.app.remote import bundled
from search.device import read_profile
from search.device.bundle import FINALISTS, SCRIPT
from search.measure import MeasuredArch
from search.measure_elsewhere import known_archs, sample_of, unknown_archs
from search.paths import RunFolder, SearchFolder
from search.trained import Trained


def measured_elsewhere(
    run: RunFolder,
    trained: Trained,
    files: SearchFolder,
    devices: Sequence[SearchDevice],
    archs: Sequence[Arch],
    protocol: Mapping[str, Any],
) -> dict[str, tuple[MeasuredArch, ...]]:
    """Returns what `archs` take on remote devices, by the name of the latency figure, from their profiles of now.

    Args:
        files: of the search, where the bundles of what is not known yet are written.
        protocol: visits, repeats and seconds of their measurement.

    Raises:
        InvalidInput: some are not known; the line says what to run where.
    """
    found: dict[str, tuple[MeasuredArch, ...]] = {}
    waiting = []
    for device in devices:
        name, supernet = device.profile.name, trained.supernet
        profile = read_profile(run.profile(name), supernet)  # with all that came back since the search began
        missing = unknown_archs(profile, [*archs, supernet.space.largest])
        if not missing:
            found[device.figure] = known_archs(profile, supernet, archs)
            continue
        path = files.to_measure(device.figure)
        bundled(
            run,
            trained,
            device.make_runtime(),
            sample_of(profile, supernet, missing),
            path,
            device=name,
            purpose=FINALISTS,
            protocol={**protocol, "clock": profile.protocol["clock"]},
            settings={"profile": profile.digest},
        )
        subnets = "1 subnet has" if len(missing) == 1 else f"{len(missing)} subnets have"
        waiting.append(
            f"{subnets} to be measured on {name}: copy {path} there, unzip {path.name} && python3 {SCRIPT}; then here "
            f"ofa profile device={name} run={run.name} import=profile.json"
        )
    if waiting:
        raise InvalidInput(f"{'; '.join(waiting)}; and the same ofa search again, which keeps its trials")
    return found
