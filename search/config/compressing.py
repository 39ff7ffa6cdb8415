"""The request of `ofa compress`, a network and the stages that make a small file of it; and a setting of the studio."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ofa.errors import InvalidInput
from search.config.request import Device, Request, plain
from search.config.rules import (
    MOST,
    CalibrationExamples,
    FromZero,
    Name,
    Port,
    Positive,
    ShareAboveZero,
    ShareBelowOne,
    Target,
    Text,
    check_plain_name,
    short,
)
from search.config.training import Finetuning, Training, check_taught
from search.config.tuning import Data

MOST_BITS = 16
Bits = Annotated[int, Meta(ge=1, le=MOST_BITS, title=f"a whole number from 1 to {MOST_BITS}")]


class Compression(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipe of compression, see conf/compress/deep_compression.yaml.

    Attributes:
        stages: functions of a `Compressed` and a `StageContext`, in order.
        sparsity: and all the others: what stages of the recipe refer to, in one place; a recipe has those that it uses.
    """

    stages: tuple[Target, ...] = ()
    sparsity: ShareBelowOne | None = None
    bits: Bits | None = None
    energy: ShareAboveZero | None = None
    epochs: FromZero | None = None
    codebook_epochs: FromZero | None = None

    def __post_init__(self) -> None:
        for number, stage in enumerate(self.stages):
            if not isinstance(stage.get("_target_"), str):
                raise InvalidInput(
                    f"compress.stages.{number}={short(stage)} must be a mapping with _target_, such as "
                    "{_target_: search.compression.share, _partial_: true, bits: 5}"
                )


class CompressRequest(Request, frozen=True, kw_only=True):
    """The request of `ofa compress`: the subnets that the last search chose, a pruned network, or a model with weights.

    Attributes:
        device, study: whose search; None: the last one.
        limit: the latency limit in ms of one subnet; None for all.
        pruned: the name of a pruned network of the run.
        model, data, start: a network of another program.
        task, dense: what that one learned, and how it is trained.
        name: of the folder; None for the network's and the recipe's.
    """

    device: Device | None = None
    study: Name | None = None
    limit: Positive | None = None
    pruned: Name | None = None
    model: Target | None = None
    start: Target | None = None
    data: Data | None = None
    task: Target
    dense: Training
    finetune: Finetuning
    compress: Compression
    name: Name | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is not None:
            check_plain_name("name", self.name, "name=small")
        if self.pruned is not None:
            check_plain_name("pruned", self.pruned, "pruned=lenet300-mnist-cubic")
        searched = {"study": self.study, "limit": self.limit, "device": self.device}
        given = [key for key, value in searched.items() if value is not None]
        if given and (self.pruned is not None or self.model is not None):
            other = "pruned" if self.pruned is not None else "model"
            raise InvalidInput(f"{given[0]} names a subnet of a search, and {other} another network: give one of them")
        if self.pruned is not None and self.model is not None:
            raise InvalidInput("pruned and model name two networks: give one of them")

    @property
    def decides(self) -> dict[str, Any]:
        """The keys that decide the file of a network, as plain values."""
        return {"stages": plain(self.compress)["stages"], "finetune": self.finetune.decides, "seed": self.seed}


MOST_EPOCHS = 1000


class StudioSetting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One setting of the studio's controls: from it a network follows, and the same one each time.

    Attributes:
        arch: values by choice, such as "width.stem.conv"; what is left out is the largest.
        sparsity: fraction of the weights that is removed, of all layers that `layers` does not name.
        layers: of single layers, by the name of their weight.
        criterion, allocation, granularity, schedule: options of these groups of conf/prune. The schedule is that of a
            fine-tuning; without one, everything goes at once.
        bits: a layer's weights take at most 2 ** bits values; None: as they are.
        layer_bits: of single layers, by the name of their weight.
        epochs: of fine-tuning, after shape and sparsity and before the weights are shared.
        teacher: none, largest, start, or that of the command line by the name of its function; None: the last, where
            one is given, else none.
    """

    arch: dict[str, Annotated[int, Meta(ge=0, le=MOST)]] = {}
    sparsity: ShareBelowOne = 0.0
    layers: dict[str, ShareBelowOne] = {}
    criterion: Text = "magnitude"
    allocation: Text = "global"
    granularity: Text = "weight"
    schedule: Text = "one_shot"
    bits: Bits | None = None
    layer_bits: dict[str, Bits] = {}
    epochs: Annotated[int, Meta(ge=0, le=MOST_EPOCHS)] = 0
    teacher: Text | None = None

    @property
    def prunes(self) -> bool:
        """Whether any weight is removed."""
        return self.sparsity > 0 or any(self.layers.values())

    @property
    def changes(self) -> dict[str, Any]:
        """What differs from the network as it was opened, as plain values."""
        usual = plain(StudioSetting())
        return {key: value for key, value in plain(self).items() if value != usual[key]}


class StudioRequest(CompressRequest, frozen=True, kw_only=True):
    """The request of `ofa studio`: a run's supernet, one of its subnets or pruned networks, or a model with weights.

    Attributes:
        path: a folder or file of one of these, in place of its names.
        teacher: what a fine-tuning learns from beside those that the page knows; None: nothing.
        setting: what the controls begin with.
        extract: the name of a folder that the setting's network is written to; nothing is served then.
        sample: validation examples that scores are of.
        calibration_images: training examples that norm statistics are measured on.
        opset: of the ONNX file.
        port: 0 for any that is free.
    """

    path: Text | None = None
    teacher: Target | None = None
    setting: StudioSetting | None = None
    extract: Name | None = None
    sample: Annotated[int, Meta(ge=1, le=MOST)] = 1000
    port: Port = 8090
    calibration_images: CalibrationExamples = 1024
    opset: Annotated[int, Meta(ge=9, le=20, title="a whole number from 9 to 20; 18 is usual")] = 18
    compress: Compression = msgspec.field(default_factory=Compression)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_taught(self.teacher, self.finetune.distill, "finetune.distill")
        if self.extract is not None:
            check_plain_name("extract", self.extract, "extract=by-hand")
        if self.path is not None and (given := self.named):
            raise InvalidInput(f"path={self.path} and {given} both name what is opened: give one of them")

    @property
    def begun(self) -> StudioSetting:
        """Where the controls stand at first."""
        return self.setting or StudioSetting()

    @property
    def named(self) -> str | None:
        """The key that names another network than the run's supernet; None: that is opened."""
        return next((key for key in ("pruned", "model", "start") if getattr(self, key)), None)
