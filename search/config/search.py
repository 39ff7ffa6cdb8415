"""SearchRequest: the limits, objectives, length and sampler of `ofa search`, and where its study is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ofa.errors import InvalidInput
from search.candidates.figures import LATENCY, is_figure, latency_of, objective_names
from search.candidates.limits import LatencyLimits, check_latency, search_name
from search.candidates.metric_limits import read_limit
from search.config.request import Device, Request, guided, local_engine, plain, without
from search.config.rules import (
    LARGEST,
    CalibrationExamples,
    Count,
    Name,
    Positive,
    Processes,
    ShareAboveZero,
    ShareBelowOne,
    Target,
    Text,
    Visits,
    check_address,
)
from search.config.training import Finetuning, Training
from search.config.tuning import Pruning, Tuning
from search.engine.command import check_of_search
from search.run.contents import relative_paths

METRIC_LIMITS = "a mapping of metrics to their worst values, such as {recall: '>= 0.9'}"
GROUPS = ("initializer", "dense", "prune")  # groups that a fine-tuning depends on, beside search.tuning


class FigureLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hard limits beside latency, for one example; None for none; bytes of weights, of the coded file, in int8."""

    macs: Annotated[float, Meta(gt=0, le=LARGEST, title="a number of MACs above 0")] | None = None
    params: Annotated[float, Meta(gt=0, le=LARGEST, title="a number of params above 0")] | None = None
    bytes: Annotated[float, Meta(gt=0, le=LARGEST, title="a number of bytes above 0")] | None = None
    bytes_on_disk: Annotated[float, Meta(gt=0, le=LARGEST, title="a number of bytes above 0")] | None = None
    int8_bytes: Annotated[float, Meta(gt=0, le=LARGEST, title="a number of bytes above 0")] | None = None
    int8_peak_bytes: Annotated[float, Meta(gt=0, le=LARGEST, title="a number of bytes above 0")] | None = None
    peak_activation_bytes: Annotated[float, Meta(gt=0, le=LARGEST, title="a number of bytes above 0")] | None = None

    @property
    def by_figure(self) -> dict[str, float]:
        """The limits that are set, by name of the figure."""
        return {name: limit for name, limit in plain(self).items() if limit is not None}


class FinalistSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The measurement of finalists: `candidates` per target, best first, until one meets it on every device."""

    candidates: Count = 4
    visits: Visits = 40
    repeats: Count = 8
    seconds: Positive = 15.0


class SearchOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `search` group, see conf/search/pareto.yaml for the meanings.

    Attributes:
        minutes: of work on evaluations, after which the search ends; None: all evaluations are made.
        patience: evaluations in a row that improve nothing, after which it ends; None: any number.
        int8_device: the device in int8, whose profile says how long candidates take there, where that is searched.
    """

    objective: Text | tuple[Text, ...] = "pareto"
    evaluations: Count = 200
    minutes: Positive | None = None
    patience: Count | None = None
    latency_fractions: tuple[ShareAboveZero, ...] | None = (0.3, 0.5, 0.8)
    limits: FigureLimits | None = FigureLimits()
    metric_limits: Annotated[dict[str, Any], Meta(title=METRIC_LIMITS)] | None = None
    margin: ShareBelowOne | None = None
    align: Count | None = None
    calibration_images: CalibrationExamples = 1024
    artifacts: bool = True
    warm_start: tuple[Text, ...] | None = None
    warm_start_candidates: Count = 20
    refusals: Count = 10
    finalists: FinalistSettings = FinalistSettings()
    int8_device: Name | None = None
    parameters: dict[str, Any] | None = None
    tuning: Tuning | None = None

    def __post_init__(self) -> None:
        for name, limit in (self.metric_limits or {}).items():
            if limit is not None:
                read_limit(name, limit)
        if self.tuning is None and self.parameters:
            raise InvalidInput("search.parameters are settings of a fine-tuning: give search=joint, or drop them")

    @property
    def fractions(self) -> tuple[float, ...]:
        """The default limits as fractions of the largest subnet's latency, ascending; empty for no limit."""
        return tuple(sorted(set(self.latency_fractions or ())))

    @property
    def given_limits(self) -> dict[str, float]:
        """The limits beside latency that are set, by name of the figure."""
        return {} if self.limits is None else self.limits.by_figure


class SearchRequest(Request, frozen=True, kw_only=True):
    """The request of a search; the defaults are those of `ofa search`.

    Attributes:
        study: its name; None for one made of the device and the limits.
        latency_ms: a limit in ms, several, or one by name of a device; None for `search.latency_fractions`.
        workers: candidates that are evaluated at once.
        engine: where, a function of `search.engine`; where its `workers` are None, they are `workers`.
        storage: the address of a database for the study; None for a journal in the search's folder.
        finetune: how the finalists are fine-tuned, with the best after it chosen; None: they are not.
        initializer, dense, prune: groups of the fine-tuning, if there is `search.tuning`.
        unresolved: the configuration before its references were resolved, from which candidates are composed; None
            if it has none.
    """

    device: Device = Device()
    search: SearchOptions = SearchOptions()
    sampler: Target = msgspec.field(default_factory=guided)
    study: Name | None = None
    latency_ms: Any = None
    workers: Processes = 1
    engine: Target = msgspec.field(default_factory=local_engine)
    storage: Text | None = None
    finetune: Finetuning | None = None
    initializer: Target | None = None
    dense: Training | None = None
    prune: Pruning | None = None
    unresolved: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        latencies = self.latency_figures
        try:
            objective_names(self.search.objective, latencies)
        except InvalidInput as error:
            raise InvalidInput(f"search.objective={self.search.objective!r}: {error}") from None
        check_of_search(self.engine)
        if self.storage is not None:
            check_address(self.storage)
        if self.name in (self.search.warm_start or ()):
            raise InvalidInput(
                f"search.warm_start={list(self.search.warm_start or ())} has the search itself, {self.name}: "
                f"give it another name by study=..."
            )
        if self.search.tuning is not None and (self.dense is None or self.prune is None):
            raise InvalidInput("search.tuning needs the groups dense and prune: give search=joint")
        if self.search.int8_device is not None and isinstance(self.latency, Mapping):
            raise InvalidInput(
                f"search.int8_device={self.search.int8_device} is the one device in int8, and latency_ms names "
                f"{', '.join(self.latency)}: give one limit, such as latency_ms=4"
            )
        if self.search.tuning is not None and self.finetune is not None:
            raise InvalidInput(
                "search.tuning fine-tunes the finalists itself, for search.tuning.finalist_epochs: leave finetune out"
            )

    @property
    def name(self) -> str:
        """The name of the search, and of its folder.

        Raises:
            InvalidInput: `study` is not a plain name.
        """
        return search_name(self.device.name, self.latency, self.study, self.seed)

    @property
    def latency(self) -> LatencyLimits:
        """The latency limits in ms: of one device, ascending; by name of the device; None for none.

        Raises:
            InvalidInput: other values than numbers above 0.
        """
        return check_latency(self.latency_ms)

    @property
    def device_names(self) -> tuple[str, ...]:
        """The names of the search's devices: those in the limits, else the request's device."""
        latency = self.latency
        return tuple(latency) if isinstance(latency, Mapping) else (self.device.name,)

    @property
    def latency_figures(self) -> tuple[str, ...]:
        """The names of the latency figures, one of each device, in the order of `device_names`."""
        return tuple(map(latency_of, self.device_names)) if isinstance(self.latency, Mapping) else (LATENCY,)

    @property
    def objective_figures(self) -> tuple[str, ...]:
        """The names of the objectives beside the metric."""
        names = objective_names(self.search.objective, self.latency_figures)
        return tuple(name for name in names if is_figure(name))

    @property
    def composed(self) -> dict[str, Any]:
        """The part of the configuration that candidates are composed from, with unresolved references."""
        values = self.unresolved if self.unresolved is not None else plain(self)
        return {name: values[name] for name in ("search", "seed", *GROUPS) if name in values}

    @property
    def decides(self) -> dict[str, Any]:
        """The inputs that decide the results, as plain values, but for its length: evaluations are an amount."""
        options = plain(self.search)
        options |= {"latency_fractions": options["latency_fractions"] or None}  # an empty list and null are the same
        options |= {"metric_limits": options["metric_limits"] or None}
        options |= {"warm_start": relative_paths(options["warm_start"], self.folder) or None}
        if not self.search.warm_start:
            options = without(options, "warm_start_candidates")
        if self.search.tuning is None:
            options = without(options, "parameters", "tuning")
        if self.search.int8_device is None:
            options = without(options, "int8_device")
        if self.search.tuning is not None and self.search.tuning.precisions is None:
            options |= {"tuning": without(options["tuning"], "precisions")}
        latency = self.latency
        return {
            **plain(self, "sampler", "seed", *(GROUPS if self.search.tuning is not None else ())),
            "search": without(options, "evaluations", "minutes", "patience", "artifacts"),  # its length; what is shown
            "latency_ms": list(latency) if isinstance(latency, tuple) else latency,
            **({"storage": self.storage} if self.storage else {}),
            **({"finetune": self.finetune.decides} if self.finetune is not None else {}),
        }
