"""The requests of the remaining verbs, and the request type of each verb."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ofa.errors import InvalidInput
from search.config.compressing import CompressRequest as CompressRequest
from search.config.compressing import StudioRequest as StudioRequest
from search.config.request import Device, Request, part, plain, without
from search.config.rules import (
    AUTO,
    LARGEST,
    CalibrationExamples,
    Count,
    FromZero,
    Name,
    Port,
    Positive,
    Target,
    Text,
    Visits,
    check_address,
)
from search.config.search import SearchRequest
from search.config.training import Finetuning, Length, SupernetTraining, Training, check_taught
from search.config.tuning import Data, NetworkRecipe, Pruning, TrainRequest


class ProfileRequest(Request, frozen=True, kw_only=True):
    """The request of `ofa profile`.

    Attributes:
        bundle: the file to write, for a remote device.
        result: the result file from that machine (`import`).
    """

    device: Device = Device()
    bundle: Name | None = None
    result: Name | None = msgspec.field(name="import", default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bundle is not None and self.result is not None:
            raise InvalidInput("bundle and import are two steps: give one of them")

    @property
    def bundle_path(self) -> Path | None:
        """The file of the bundle to write; None for none."""
        return None if self.bundle is None else Path(self.bundle)

    @property
    def result_path(self) -> Path | None:
        """The file to import; None for none."""
        return None if self.result is None else Path(self.result)


OPSETS = (9, 20)  # the range that the exporter writes


class Export(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The export of a subnet, see conf/export/onnx.yaml.

    Attributes:
        calibration_images: the number of training images for its norm statistics.
        opset: of the ONNX file.
        quantize: a second ONNX file in fewer bits; "auto": in int8 where the search's device runs int8; None: none.
        max_drop: by how much its objective on validation may be worse than in float32, in the metric's own unit, of a
            share as a fraction; None: what is worse beyond two standard errors is warned of.
    """

    calibration_images: CalibrationExamples = 1024
    opset: Annotated[int, Meta(ge=OPSETS[0], le=OPSETS[1], title="a whole number from 9 to 20; 18 is usual")] = 18
    quantize: Literal["auto", "int8", "int4"] | None = "auto"
    max_drop: (
        Annotated[float, Meta(ge=0, le=LARGEST, title="at least 0, such as 0.01, one point of an accuracy")] | None
    ) = None

    @property
    def decides(self) -> dict[str, Any]:
        """What decides the files, as plain values; what is left as it is by default is not among it."""
        usual = Export()
        added = [name for name in ("quantize", "max_drop") if getattr(self, name) == getattr(usual, name)]
        return without(plain(self), *added)


class ExtractRequest(Request, frozen=True, kw_only=True):
    """The request of `ofa extract`: the searches of a device or of a name, or one trial by its number."""

    device: Device | None = None
    export: Export = Export()
    study: Name | None = None
    trial: FromZero | None = None


class FinetuneRequest(Request, frozen=True, kw_only=True):
    """The request of `ofa finetune`: the subnets that the searches of a device or of a name chose.

    Attributes:
        teacher: makes the network that a subnet learns from; None for the largest subnet.
        dense: what the recipe refers to as the training of a dense network; None where there is none.
        prune: a recipe by which they are pruned too; None for none.
        limit: the latency limit in ms of one subnet; None for all.
        engine: as for `ofa train`.
    """

    device: Device | None = None
    finetune: Finetuning
    teacher: Target | None = None
    dense: Length | None = None
    prune: Pruning | None = None
    export: Export = Export()
    study: Name | None = None
    limit: Positive | None = None
    engine: Target | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_taught(self.teacher, self.finetune.distill, "finetune.distill")


class RunRequest(SearchRequest, frozen=True, kw_only=True):
    """The request of `ofa run`: a training, a search and an extraction."""

    model: Target
    start: Target | None = None
    data: Data
    task: Target
    teacher: Target | None = None
    space: Target
    train: SupernetTraining
    export: Export = Export()


class CompareRequest(Request, frozen=True, kw_only=True):
    """The request of `ofa compare`, see conf/compare.yaml.

    Attributes:
        comparable: the factor within which limits of two devices, as fractions of the largest's time, are alike.
        calibration_images: the number of training images for a subnet's norm statistics.
    """

    visits: Visits = 40
    repeats: Count = 8
    seconds: Positive = 25.0
    comparable: Annotated[float, Meta(ge=1, le=LARGEST, title="a factor of at least 1, such as 1.25")] = 1.25
    calibration_images: CalibrationExamples = 1024


class PruneRequest(Request, frozen=True, kw_only=True):
    """The request of `ofa prune`.

    Attributes:
        teacher: makes the network that a recipe which distills learns from; None for the trained dense network.
        name: of the folder; None for one made of model, data, recipe and other overrides.
        baseline: whether the dense network is trained even if the recipe does not start from it.
        engine: as for `ofa train`.
    """

    model: Target
    start: Target | None = None
    data: Data
    task: Target
    teacher: Target | None = None
    initializer: Target | None = None
    dense: Training
    prune: Pruning
    export: Export = Export()
    name: Name | None = None
    baseline: bool = True
    engine: Target | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_taught(self.teacher, self.prune.retraining.distill, "prune.retraining.distill")
        if self.export.quantize not in (AUTO, None):
            raise InvalidInput(
                f"export.quantize={self.export.quantize} is of subnets (ofa extract, ofa run): leave it out"
            )

    @property
    def network(self) -> NetworkRecipe:
        """The inputs of the dense network's training."""
        return part(self, NetworkRecipe)


class InspectRequest(Request, frozen=True, kw_only=True):
    """The request of `ofa inspect`.

    Attributes:
        start: what fills the model with weights; None for those of its class.
        input_shape: (C, H, W) in place of the data set's, which then is not loaded.
        classes: how many, where `input_shape` is given.
        output: a JSON file to write.
    """

    model: Target
    start: Target | None = None
    data: Data
    space: Target
    input_shape: (
        Annotated[tuple[Count, ...], Meta(min_length=1, max_length=4, title="sizes (C, H, W), such as [3,224,224]")]
        | None
    ) = None
    classes: Count = 1000
    output: Text | None = None


class DashboardRequest(Request, frozen=True, kw_only=True):
    """The request of `ofa dashboard`: the newest search, of a device or of a name, served at a port."""

    device: Device | None = None
    study: Name | None = None
    storage: Text | None = None
    port: Port = 8080

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.storage is not None:
            check_address(self.storage)


REQUESTS: Mapping[str, type[Request]] = {
    "run": RunRequest,
    "train": TrainRequest,
    "profile": ProfileRequest,
    "search": SearchRequest,
    "sweep": Request,
    "extract": ExtractRequest,
    "finetune": FinetuneRequest,
    "compare": CompareRequest,
    "prune": PruneRequest,
    "compress": CompressRequest,
    "report": Request,
    "inspect": InspectRequest,
    "dashboard": DashboardRequest,
    "studio": StudioRequest,
}
