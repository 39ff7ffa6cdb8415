"""Networks in fewer bits, judged by the metrics of their task beside the float32 ones that they were made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnxruntime
import torch
from msgspec import structs
from torch import Tensor, nn

from ofa.data import Dataset
from ofa.inputs import Example, Inputs, as_inputs, map_tensors
from ofa.precisions import Int8Layers
from ofa.quantization import RANGE_EXAMPLES
from ofa.records import read_record
from ofa.task import Replicates, Task, paired_difference, replicates
from search.candidates.figures import is_int8
from search.candidates.search_files import Finalists
from search.config.rules import AUTO
from search.config.verbs import Export
from search.device import read_profile
from search.device.export import OPSET, onnx_bytes
from search.device.flat import named_inputs, output_names, run
from search.device.profile import Profile
from search.device.quantization import INT8, int4, int8, peak_bytes
from search.run.cards import Quantized, TunedCard
from search.run.paths import SearchFolder
from search.run.scores import NOISE, Gain, Scores, metrics_of
from search.text import bytes_text

BATCH = 64

Split = Literal["validation", "test"]
Precision = Literal["int8", "int4"]


class OnnxNetwork(nn.Module):
    """An ONNX file in the place of the network that it was written of: called alike, it returns outputs alike.

    Args:
        model: the file.
        net: the network, whose forward names the inputs, and whose output for `example` shows what to return.
    """

    def __init__(self, model: bytes, net: nn.Module, example: Example) -> None:
        super().__init__()
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        settings.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        self._taken = [value.name for value in self._session.get_inputs()]
        self._named = (net,)  # in a tuple: it is no part of this module
        self._answer = run(net, as_inputs(example))
        self._returned = output_names(self._answer, named_inputs(net, example))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the file's outputs as the network returns them."""
        given = arrays_by_name(self._named[0], Inputs(*args, **kwargs))
        arrays = iter(self._session.run(self._returned, {name: given[name] for name in self._taken}))
        return map_tensors(self._answer, lambda tensor: torch.from_numpy(next(arrays)).to(tensor.dtype))


def arrays_by_name(net: nn.Module, inputs: Example) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the inputs of a network as ONNX Runtime takes them."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in named_inputs(net, inputs).items()}


@dataclass(frozen=True, eq=False)
class InBits:
    """A network in fewer bits: the ONNX file, that in float32 which it was made of, and it as a module to be judged."""

    precision: Precision
    model: bytes
    float_model: bytes
    network: nn.Module


def in_bits(
    net: nn.Module,
    calibration: Tensor | Inputs,
    precision: Precision,
    opset: int = OPSET,
    layers: Int8Layers | None = None,
) -> InBits:
    """Returns a network in int8 or int4.

    Args:
        net: plain, on the CPU, in eval mode.
        calibration: training inputs, preprocessed, at the network's resolution; the first 512 give int8 its scales.
        precision: "int8" or "int4".
        layers: those in int8; None: all.

    Raises:
        InvalidInput: the network cannot be exported or quantized.
    """
    inputs = as_inputs(calibration)
    example = inputs.rows(0, 1)
    float_model = onnx_bytes(net, example, opset)
    model = int8(float_model, _batches(net, inputs), layers) if precision == INT8 else int4(float_model)
    return InBits(precision, model, float_model, OnnxNetwork(model, net, example))


def _batches(net: nn.Module, inputs: Inputs) -> Iterator[Mapping[str, np.ndarray[Any, Any]]]:
    for start in range(0, min(len(inputs), RANGE_EXAMPLES), BATCH):
        yield arrays_by_name(net, inputs.rows(start, min(start + BATCH, RANGE_EXAMPLES)))


def judged_in_bits(
    net: nn.Module, low: InBits, data: Dataset, task: Task, split: Split
) -> tuple[Replicates, Replicates]:
    """Returns what is known of a network on one split, in float32 and in fewer bits, on the same examples."""
    part = getattr(data, split)
    full, other = (replicates(each, part.in_order(), task) for each in (net, low.network))
    return full, other


def quantized_facts(net: nn.Module, low: InBits, data: Dataset, task: Task, max_drop: float | None) -> Quantized:
    """Returns the part of a card about a network in fewer bits.

    Args:
        data: at the network's resolution.
        max_drop: by how much its objective on validation may be worse, in the metric's own unit, of a share as a
            fraction; None: nothing is refused.
    """
    metric = metrics_of(task)[0]
    judged = {split: judged_in_bits(net, low, data, task, split) for split in ("validation", "test")}
    gain = Gain(**{split: paired_difference(after, before) for split, (before, after) in judged.items()})
    scores = Scores(**{split: dict(after.scores) for split, (_, after) in judged.items()})
    example = arrays_by_name(net, next(data.test.in_order(1))[0])
    drop = -metric.quality(gain.validation.value)
    refused = None
    if max_drop is not None and drop > max_drop:
        refused = (
            f"validation {metric.title} is {metric.gain_text(gain.validation)} from float32, which is more than "
            f"export.max_drop={max_drop:g} allows"
        )
    return Quantized(
        precision=low.precision,
        bytes=len(low.model),
        float_bytes=len(low.float_model),
        peak_bytes=peak_bytes(low.model, example),
        float_peak_bytes=peak_bytes(low.float_model, example),
        scores=scores,
        gain=gain,
        refused=refused,
    )


def quantized_text(quantized: Quantized, task: Task) -> str:
    """Returns what a network in fewer bits has, in words: its score, its file and its memory beside float32."""
    metric, score = metrics_of(task)[0], quantized.scores.validation[task.objective.name]
    return (
        f"in {quantized.precision} validation {metric.named_text(score)}, "
        f"{metric.gain_text(quantized.gain.validation)} from float32; "
        f"a file of {bytes_text(quantized.bytes)}, in float32 {bytes_text(quantized.float_bytes)}, and at most "
        f"{bytes_text(quantized.peak_bytes)} between layers, in float32 {bytes_text(quantized.float_peak_bytes)}"
    )


def runs_int8(profile: Profile) -> bool:
    """Whether a device's runtime computes in int8."""
    return profile.runtime.get("precision") == INT8


def with_precision(export: Export, files: SearchFolder) -> Export:
    """Returns an export that says which precision a search's subnets are written in, where it was "auto"."""
    if export.quantize != AUTO:
        return export
    paths = map(files.profile, read_record(files.finalists, Finalists).devices.values())
    computes = any(runs_int8(read_profile(path)) for path in paths if path.is_file())
    return structs.replace(export, quantize=INT8 if computes else None)


def as_computed(export: Export, tuned: TunedCard) -> tuple[Export, Int8Layers | None]:
    """Returns an export of a candidate of a joint search, in int8 where it is for int8 and nothing is asked.

    With it come the layers in int8; None: all.
    """
    layers = Int8Layers(tuned.int8_layers) if tuned.int8_layers else None
    chosen = export.quantize is not None or not is_int8(tuned.settings)
    return export if chosen else structs.replace(export, quantize=INT8), layers


def quantized_parts(
    net: nn.Module,
    calibration: Tensor | Inputs,
    data: Dataset,
    task: Task,
    export: Export,
    layers: Int8Layers | None = None,
) -> tuple[Quantized, dict[str, bytes], tuple[str, ...]]:
    """Returns what a card says of a network in the bits of an export, its ONNX file by precision, and warnings.

    Args:
        net: plain, on the CPU, in eval mode.
        calibration: training inputs at its resolution, as is `data`.
        layers: those in int8; None: all.

    Raises:
        InvalidInput: the network cannot be quantized.
    """
    assert export.quantize == "int8" or export.quantize == "int4"  # see `with_precision`
    low = in_bits(net, calibration, export.quantize, export.opset, layers)
    facts = quantized_facts(net, low, data, task, export.max_drop)
    return facts, {} if facts.refused else {low.precision: low.model}, _drop_warning(facts, task)


def _drop_warning(quantized: Quantized, task: Task) -> tuple[str, ...]:
    """A line where a network in fewer bits was refused, or is worse than in float32 beyond luck."""
    if quantized.refused is not None:
        return (f"{quantized.precision}: {quantized.refused}: the file is left out",)
    metric, gain = metrics_of(task)[0], quantized.gain.validation
    if gain.standard_error is None or -metric.quality(gain.value) <= NOISE * gain.standard_error:
        return ()
    text = metric.gain_text(gain)
    return (f"{quantized.precision}: validation {metric.title} is {text} from float32, beyond two standard errors",)
