"""Cards: what is known of a network, beside its weights, as JSON that is validated when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from ofa.arch import Arch
from ofa.precisions import LayerPrecision
from ofa.records import Count, Fraction, Hex, Name, NotNegative, Object, Part, Positive, Record, Text
from ofa.task import Score
from search.run.scores import Gain, MetricFacts, Scores

Setting = bool | int | float | str  # of a candidate's fine-tuning

Limits = Mapping[str, Positive]  # by figure, latencies in ms
Times = Mapping[str, NotNegative]  # ms by the name of a device's latency figure
Size = Annotated[int, Meta(ge=1, le=2**31)]


class Onnx(Part, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an ONNX file, or why there is none.

    Attributes:
        input, output: names of its input and output.
        max_abs_difference: largest absolute difference between its logits and the network's.
        max_relative_difference: the same, as a fraction of the largest logit.
    """

    opset: Count | None = None
    input: Text | None = None
    output: Text | None = None
    max_abs_difference: NotNegative | None = None
    max_relative_difference: NotNegative | None = None
    refused: Text | None = None


class PlainSource(Part, frozen=True, kw_only=True, omit_defaults=True):
    """The class in network.py, or why there is no such file."""

    class_name: Text | None = msgspec.field(name="class", default=None)
    refused: Text | None = None


class Quantized(Part, frozen=True, kw_only=True, omit_defaults=True):
    """A network in fewer bits, as an ONNX file, judged beside the same network in float32.

    Attributes:
        bytes, float_bytes: of the ONNX file, and of that in float32: what it takes in flash.
        peak_bytes, float_peak_bytes: the most bytes of tensors beside the weights that one example needs at once, as
            ONNX Runtime joins the layers.
        scores: of the file in fewer bits.
        gain: by which its objective is from that in float32, on the same examples.
        refused: why the file was not kept; None where it was.
    """

    precision: Literal["int8", "int4"]
    bytes: Count
    float_bytes: Count
    peak_bytes: Count
    float_peak_bytes: Count
    scores: Scores
    gain: Gain
    refused: Text | None = None


class Rebuild(Part, frozen=True, kw_only=True):
    """What is needed to rebuild the network of a card.

    Attributes:
        model: the resolved configuration of the full model; None: only the user can build it.
        input_shape: of one example of the full model, such as (channels, height, width).
        space_rules: the rules that its supernet was built with.
        example: the form of its inputs (see `ofa.input_record`), where they are not one tensor of images.
        names: of those in verify.npz and in the ONNX file, in order.
    """

    model: Object | None = None
    input_shape: Annotated[tuple[Size, ...], Meta(max_length=8)] | None = None
    num_classes: Size | None = None
    space_rules: Object | None = None
    example: Object | None = None
    names: tuple[Name, ...] | None = None


class NetworkCard(Record, frozen=True, kw_only=True):
    """The fields of every finished network's card: of an extracted subnet, a pruned network and a slim one.

    Attributes:
        files: SHA-256 by name of the file.
        input_shape, output_shape: of one example.
        versions: of the tools that wrote the files, by name.
    """

    KIND: ClassVar[str] = "network"
    REMEDY: ClassVar[str] = "restore it, or extract or prune again with force=true"

    files: Mapping[str, Hex]
    rebuild: Rebuild
    input_shape: tuple[Count, ...]
    output_shape: tuple[Count, ...]
    onnx: Onnx
    plain_pytorch: PlainSource
    versions: Mapping[str, Text]
    warnings: tuple[Text, ...]


class InputPreprocessing(Part, frozen=True, kw_only=True):
    """How stored pixels become a network's input; `mean` and `std` are per channel, `formula` describes it in words."""

    formula: Text
    pixels: Text
    scale: Positive
    mean: tuple[float, ...]
    std: tuple[Positive, ...]
    resize: Text


class SubnetFacts(Record, frozen=True, kw_only=True):
    """Facts about a subnet that only the caller of `search.subnets.extract.extract_subnet` knows; None is unknown.

    Attributes:
        device: the first device of the search.
        devices: all devices of the search.
        runtime: the runtime that it was measured on.
        trial: its number in the search.
        limit_ms: of the first device that has a latency limit.
        margin: how far its measurement lies below its limits, a fraction.
        predicted_ms, measured_ms: latency on the first device.
        settings: of its fine-tuning.
        density: fraction of the weights that are kept.
        sparse_bytes: predicted size on disk, zeros left out.
        finetuned: the digest of its weights, where those of a fine-tuning have taken the place of the supernet's.
        raw: the scores that it had with the supernet's weights; None where it has these.
        gain: of the objective by fine-tuning, where it is known example by example.
        from_largest: the objective less that of the largest subnet, on the same examples; None of that itself.
        quantized: the same network in int8 or int4; None where it was not asked for.
        bytes_on_disk: of its coded file, counted by the search; None where bytes on disk did not matter.
        metrics: that its scores are of, the objective first.
        metric_limits: that it was chosen under: the worst value allowed, by metric.
        data: the data set's name.
        postprocessing: how outputs become what people read, in words; None where they are it.
        config_hash: of the supernet's configuration.
    """

    device: Text | None = None
    devices: tuple[Text, ...] | None = None
    runtime: Text | None = None
    search: Text | None = None
    trial: Count | None = None
    limit_ms: Positive | None = None
    limits: Limits | None = None
    margin: float | None = None
    predicted_ms: NotNegative | None = None
    measured_ms: Positive | None = None
    predicted: Times | None = None
    measured: Times | None = None
    peak_activation_bytes: Count | None = None
    settings: Mapping[str, Setting] | None = None
    density: Fraction | None = None
    sparse_bytes: Count | None = None
    metrics: tuple[MetricFacts, ...] = ()
    scores: Scores | None = None
    finetuned: Hex | None = None
    raw: Scores | None = None
    gain: Gain | None = None
    from_largest: Gain | None = None
    quantized: Quantized | None = None
    bytes_on_disk: Count | None = None
    metric_limits: Mapping[str, float] = {}
    data: Text | None = None
    num_classes: Count | None = None
    class_names: tuple[Text, ...] | None = None
    preprocessing: InputPreprocessing | None = None
    postprocessing: Text | None = None
    config_hash: Hex | None = None


class SubnetCard(SubnetFacts, frozen=True, kw_only=True):
    """The card of an extracted subnet: the facts, its figures, and all that a `NetworkCard` has.

    Attributes:
        supernet, space: digests.
        macs: multiply-accumulates of one example.
        bytes: parameters and buffers as stored.
        activations: how many numbers its layers write for one example.
        layers: how many layers run.
        depthwise_macs: the part of `macs` in convolutions with one input channel per group.
    """

    KIND: ClassVar[str] = NetworkCard.KIND
    REMEDY: ClassVar[str] = NetworkCard.REMEDY

    arch_digest: Hex
    supernet: Hex
    space: Hex
    macs: Count
    params: Count
    bytes: Count
    activations: Count
    layers: Count
    depthwise_macs: Count
    date_utc: Text
    files: Mapping[str, Hex]
    rebuild: Rebuild
    input_shape: tuple[Count, ...]
    output_shape: tuple[Count, ...]
    onnx: Onnx
    plain_pytorch: PlainSource
    versions: Mapping[str, Text]
    warnings: tuple[Text, ...]


class TunedCard(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The card of a candidate, or of a chosen subnet, whose fine-tuning is complete.

    Attributes:
        bytes: predicted size on disk, zeros left out.
        density: fraction of the weights that are kept.
        seconds: how long the fine-tuning took.
        raw: the scores before it.
        gain: what it changed of the objective.
        int8: the scores on validation as it computes in int8, simulated, of a candidate that is for int8.
        int8_layers: those in int8 where some stay in float32; the last entry that names a layer counts.
    """

    KIND: ClassVar[str] = "tuned candidate"
    REMEDY: ClassVar[str] = "delete its folder, and run the same ofa search or ofa finetune again"

    arch: Arch
    settings: Mapping[str, Setting]
    digest: Hex
    scores: Scores
    bytes: Count
    density: Fraction
    seconds: NotNegative
    raw: Scores | None = None
    gain: Gain | None = None
    int8: Mapping[Name, Score] = {}
    int8_layers: tuple[LayerPrecision, ...] = ()
