"""What a configuration asks of a search, checked, and the limits that this comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm

from omegaconf import DictConfig

from ofa.space import Space
from search.app.build import check_seed, plain, positive
from search.app.device import check_device
from search.app.devices import SearchDevice, latency_figures
from search.database import check_address
from search.figures import LATENCY, Figures
from search.latency_limits import (
    LatencyLimits,
    check_fractions,
    check_latency,
    fraction_limits,
    needs_default_limits,
    search_name,
)
from search.limits import Limits, check_margin, check_other_limits
from search.objectives import Directions, directions
from search.progress import say
from search.reach import smallest_reachable


@dataclass(frozen=True)
class SearchSettings:
    """The limits and objectives of a search, as they were given.

    Attributes:
        name: of the search, and of its folder.
        latencies: the names of the latency figures, one a device.
        limits: of other figures than latency, by name.
        fractions: of the largest subnet's latency, the default limits.
        margin: kept below latency limits, a fraction; None for each profile's held-out error.
        align: searched are the widths that are multiples of it; None for what the profiles need.
    """

    name: str
    latency: LatencyLimits
    latencies: tuple[str, ...]
    limits: Mapping[str, float]
    fractions: tuple[float, ...]
    margin: float | None
    align: int | None
    objectives: Directions


def search_settings(config: DictConfig) -> SearchSettings:
    """Returns what a configuration asks.

    Raises:
        InvalidInput: a limit, a fraction, a margin, a multiple, an objective or a name that cannot be used.
    """
    values = plain(config, "latency_ms", "search")
    device, latency, asked = check_device(config), check_latency(values["latency_ms"]), values["search"]
    latencies = latency_figures(device, latency)
    return SearchSettings(
        name=search_name(device, latency, config.study, check_seed(config.seed)),
        latency=latency,
        latencies=latencies,
        limits=check_other_limits(asked["limits"]),
        fractions=check_fractions(asked["latency_fractions"]),
        margin=None if asked["margin"] is None else check_margin(asked["margin"]),
        align=None if asked["align"] is None else positive("search.align", asked["align"]),
        objectives=directions(asked["objective"], latencies),
    )


def asked_storage(config: DictConfig) -> str | None:
    """Returns the address of the database that keeps the study; None for the journal in the search's folder.

    Raises:
        InvalidInput: an address that cannot be used.
    """
    return None if config.storage is None else check_address(str(config.storage))


def space_of(settings: SearchSettings, devices: Sequence[SearchDevice], space: Space) -> Space:
    """Returns the part of a supernet's space that is searched: aligned as asked, else as every profile needs it."""
    advice = {device.profile.name: device.profile.alignment for device in devices}
    needed = {name: alignment.needed for name, alignment in advice.items() if alignment and alignment.needed > 1}
    multiple = lcm(*needed.values()) if settings.align is None else settings.align
    aligned = space.aligned(multiple)
    if aligned.size < space.size:
        why = f" ({', '.join(needed)}; search.align=1 takes any)" if settings.align is None else ""
        say(f"search: widths in multiples of {multiple} alone{why}: {aligned.size:,} of {space.size:,} subnets")
    return aligned


def limits_of(
    settings: SearchSettings, devices: Sequence[SearchDevice], space: Space, figures: Figures, seed: int
) -> Limits:
    """Returns the targets of a search: its other limits go with each latency limit, and stand alone without any."""
    errors = {device.figure: device.profile.held_out_error for device in devices}
    if isinstance(settings.latency, Mapping):
        named = dict(zip(settings.latencies, settings.latency.values(), strict=True))
        return Limits(({**settings.limits, **named},), errors if settings.margin is None else settings.margin)
    margin = errors[LATENCY] if settings.margin is None else settings.margin
    reach = settings.latency
    if reach is None and settings.fractions:
        if needs_default_limits(settings.objectives, settings.limits):
            reach = _default_limits(settings.fractions, space, figures, margin, seed)
        else:
            say("search: no latency limit, since latency is no objective of it; latency_ms=... sets one")
    if reach is None:
        return Limits((settings.limits,), margin)
    return Limits(tuple({**settings.limits, LATENCY: limit} for limit in reach), margin)


def _default_limits(
    fractions: Sequence[float], space: Space, figures: Figures, margin: float, seed: int
) -> tuple[float, ...]:
    """Limits from the latency of the largest subnet, each one reachable with the margin kept."""
    largest = float(figures([space.largest])[LATENCY][0])
    least, _ = smallest_reachable(space, figures, LATENCY, seed=seed)
    return fraction_limits(fractions, largest, 1.02 * least / (1 - margin))
