"""The files of a finished network: weights, ONNX, source, Arch, verification inputs, and their part of its card."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import structs
from torch import Tensor, nn

from ofa.arch import Arch, write_arch
from ofa.checkpoint import save_checkpoint
from ofa.collapse import same_logits, thin_layers
from ofa.errors import InvalidInput
from ofa.input_record import inputs_to_json
from ofa.inputs import Example, Inputs, as_inputs, call
from ofa.paths import write_atomic
from ofa.records import Object
from ofa.rules import SpaceRules
from search.config.rules import Target
from search.device.export import onnx_bytes, onnx_difference, tolerated
from search.device.flat import OUTPUT, answer_of, first_shape, named_inputs, output_by_name, run
from search.device.profile_device import tool_version
from search.networks.folder import SubnetFolder
from search.networks.source import network_source
from search.run.cards import NetworkCard, Onnx, PlainSource, Rebuild

VERIFY_IMAGES = 8


@dataclasses.dataclass(frozen=True)
class Origin:
    """How a network is rebuilt before its weights are loaded.

    Attributes:
        arch: its choices in the supernet of the full model; without choices it is the full model itself.
        model: the resolved config that built the full model, with `_target_`; None: only the user can build it.
        space_rules: the rules that the supernet was built with; None: the defaults.
        input_shape: that the full model was built for; None: that of the network's inputs.
        num_classes: that it was built for; None: as many as there are logits.
    """

    arch: Arch
    model: Target | None = None
    space_rules: SpaceRules | None = None
    input_shape: tuple[int, ...] | None = None
    num_classes: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkFiles:
    """The files of a network in memory, checked, before any is written.

    Attributes:
        tensors: the state_dict, with separate memory under every name.
        masks: boolean masks of its weights by name, True keeps a weight; None where nothing is pruned.
        meta: metadata for the headers of both files.
        onnx: the ONNX file; None where it could not be written.
        source: the text of network.py; None where it could not be written.
        arch: the network's choices.
        verify: inputs and logits.
        card: the part of the card about these files, without their digests.
        quantized: ONNX files in fewer bits by precision.
    """

    tensors: Mapping[str, Tensor]
    masks: Mapping[str, Tensor] | None
    meta: Object
    onnx: bytes | None
    source: str | None
    arch: Arch
    verify: bytes
    card: NetworkCard
    quantized: Mapping[str, bytes] = dataclasses.field(default_factory=dict)

    def write(self, files: SubnetFolder) -> NetworkCard:
        """Returns `card` with the digest of each file, after writing all files except the card itself."""
        save_checkpoint(files.weights, self.tensors, self.meta)
        if self.masks is not None:
            save_checkpoint(files.masks, self.masks, self.meta)
        if self.onnx is not None:
            write_atomic(files.onnx, self.onnx)
        low = {files.quantized(precision): content for precision, content in self.quantized.items()}
        for path, content in low.items():
            write_atomic(path, content)
        if self.source is not None:
            write_atomic(files.source, self.source.encode())
        write_arch(files.arch, self.arch)
        write_atomic(files.verify, self.verify)
        written = (path for path in (*files.files, files.masks, *low) if path != files.card and path.is_file())
        return structs.replace(self.card, files={path.name: file_digest(path) for path in written})


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def network_files(
    net: nn.Module,
    images: Example,
    origin: Origin,
    *,
    opset: int,
    masks: Mapping[str, Tensor] | None = None,
    meta: Object | None = None,
    needs_onnx: bool = True,
) -> NetworkFiles:
    """Returns the files of a finished network, each checked against it.

    Args:
        net: a plain network in eval mode on the CPU.
        images: real inputs, (N, C, H, W) or of any form, preprocessed; the first 8 go into verify.npz.
        origin: how `search.networks.rebuild.load` rebuilds the network.
        opset: the opset of the ONNX file.
        masks: boolean masks of its weights by name, True keeps a weight; None without masks.
        meta: metadata for the headers of weights and masks; the Arch where None.
        needs_onnx: whether a network without a correct ONNX file is refused; otherwise the card records the reason.

    Raises:
        InvalidInput: logits that are not finite, or an ONNX file that is needed and fails or differs from the network.
    """
    inputs = as_inputs(images).rows(0, VERIFY_IMAGES).to("cpu").map(_numbers)
    named, several = named_inputs(net, inputs), inputs.only is None
    logits = logits_of(net, inputs)
    model, onnx = _onnx(net, inputs, logits, opset, needs_onnx)
    source, plain_source = _source(net, inputs)
    input_shape = first_shape(inputs)[1:]
    rules = origin.space_rules
    card = NetworkCard(
        files={},
        rebuild=Rebuild(
            model=None if origin.model is None else plain(origin.model),
            input_shape=origin.input_shape or input_shape,
            num_classes=int(logits.shape[-1]) if logits.dim() == 2 else origin.num_classes or int(logits.shape[-1]),
            space_rules=None if rules is None else plain(dataclasses.asdict(rules)),
            example=inputs_to_json(inputs.rows(0, 1)) if several else None,
            names=tuple(named) if several else None,
        ),
        input_shape=input_shape,
        output_shape=tuple(logits.shape[1:]),
        onnx=onnx,
        plain_pytorch=plain_source,
        versions={
            "ofa-search": tool_version(),
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
        warnings=(
            *(same_logits(logits) if _differ(inputs) else []),
            *thin_layers({name: mask for name, mask in (masks or {}).items() if mask.dim() > 1}),
        ),
    )
    return NetworkFiles(
        tensors={name: tensor.clone() for name, tensor in net.state_dict().items()},
        masks=masks,
        meta={"arch": origin.arch.to_dict()} if meta is None else meta,
        onnx=model,
        source=source,
        arch=origin.arch,
        verify=_npz({**named, OUTPUT: logits}),
        card=card,
    )


def logits_of(net: nn.Module, images: Example) -> Tensor:
    """Returns the logits (N, ...) of a network in eval mode (see `answer_of`).

    Raises:
        InvalidInput: they are not finite.
    """
    with torch.no_grad():
        logits = answer_of(call(net, images), as_inputs(images).batch)
    if not torch.isfinite(logits).all():
        raise InvalidInput(f"{type(net).__name__} returns NaN or infinite outputs: it cannot be extracted")
    return logits


def plain(value: Any) -> Any:
    """Returns a config's value as JSON-able dictionaries, lists and scalars."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def _onnx(net: nn.Module, inputs: Inputs, logits: Tensor, opset: int, needed: bool) -> tuple[bytes | None, Onnx]:
    """The ONNX file (None if it is refused), and the card's entry about it."""
    outputs = output_by_name(run(net, inputs), named_inputs(net, inputs))
    try:
        model = onnx_bytes(net, inputs.rows(0, 1), opset)
        absolute, relative = tolerated(*onnx_difference(model, inputs, outputs, net))
    except InvalidInput as error:
        if needed:
            raise
        return None, Onnx(refused=str(error))
    answer = OUTPUT if OUTPUT in outputs else next(iter(outputs))
    first = next(iter(named_inputs(net, inputs)))
    return model, Onnx(
        opset=opset, input=first, output=answer, max_abs_difference=absolute, max_relative_difference=relative
    )


def _source(net: nn.Module, inputs: Inputs) -> tuple[str | None, PlainSource]:
    """The network's source (None if it cannot be written), and the card's entry about it."""
    if inputs.only is None:
        name = type(net).__name__
        return None, PlainSource(refused=f"{name} takes {inputs.shapes}; networks of one tensor are written as source")
    try:
        return network_source(net, inputs.only), PlainSource(class_name="Network")
    except InvalidInput as error:
        return None, PlainSource(refused=str(error))


def _differ(inputs: Inputs) -> bool:
    """Whether the examples are not all the same."""
    batched = [tensor for tensor in inputs.tensors().values() if inputs.is_batched(tensor)]
    return any(bool((tensor != tensor[:1]).any()) for tensor in batched)


def _numbers(tensor: Tensor) -> Tensor:
    """The tensor in float32, or as it is where it holds whole numbers, such as token ids."""
    return tensor.float() if tensor.is_floating_point() else tensor


def _npz(tensors: Mapping[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: _numbers(tensor).numpy() for name, tensor in tensors.items()}
    np.savez(buffer, **arrays)
    return buffer.getvalue()
