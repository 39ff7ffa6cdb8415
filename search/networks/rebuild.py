"""Loading the folder of a subnet or a pruned network as a plain PyTorch network."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ofa.arch import Arch, read_arch
from ofa.arrays import read_arrays
from ofa.checkpoint import load_checkpoint
from ofa.errors import InvalidArch, InvalidInput
from ofa.input_record import LARGEST, inputs_from_json
from ofa.inputs import Example, Inputs, as_inputs, call
from ofa.records import Object, convert, read_record
from ofa.resolution import resized
from ofa.rules import SpaceRules
from ofa.supernet import Supernet
from search.device.export import TOLERANCE
from search.device.flat import INPUT, OUTPUT, answer_of, first_shape
from search.networks.compressed_file import compressed_file, load_compressed
from search.networks.folder import SubnetFolder
from search.networks.network_files import file_digest
from search.objects import make_model
from search.run.cards import NetworkCard, Rebuild
from search.run.trust import Trust, check_stored
from search.training.starts import check_settled


def load(
    folder: Path | str, *, model: nn.Module | None = None, rules: SpaceRules | None = None, trust: Sequence[str] = ()
) -> nn.Module:
    """Returns the network of a folder as a plain PyTorch network in eval mode, checked against its verify.npz.

    Accepts what `ofa extract` and `ofa prune` write: the full-size network, and the slim one in `slim`; and what
    `ofa compress` writes: a folder with a model.ofaz, or the path of an .ofaz file, whose tensors are checked by
    digest. A folder may come from anybody: its card calls only this toolkit, `torch.nn` and what `trust` names, and its
    network.py is not run.

    Args:
        folder: the folder of the network, or the .ofaz file.
        model: the full model that it came from, if that is not one of the toolkit's; its weights do not matter.
        rules: the rules that the supernet was built with, if the card has none.
        trust: packages whose classes and functions the card may call, such as "my_package".

    Raises:
        InvalidInput: a file is missing or damaged, the card calls what is not trusted and no model was given, the given
            model is a different one, or the network does not compute the logits of verify.npz.
    """
    folder = Path(folder)
    if (compressed := compressed_file(folder)) is not None:
        return load_compressed(compressed, model=model, rules=rules, trust=trust)
    files = SubnetFolder(folder)
    files.restore()
    if missing := [path.name for path in files.needed if not path.is_file()]:
        raise InvalidInput(f"{folder} is not a subnet's folder: {', '.join(missing)} missing")
    card = read_record(files.card, NetworkCard)
    rebuild = card.rebuild
    _check_files(files, card.files)
    arch = read_arch(files.arch)
    tensors, _ = load_checkpoint(files.weights)
    images, logits = _verified(files, rebuild)
    example = _example(images, arch, rebuild, files)
    classes = logits.shape[-1] if logits.dim() == 2 else rebuild.num_classes  # other outputs do not say how many
    sizes = {"input_shape": first_shape(example)[1:], "num_classes": classes}
    full = _model(files.card, rebuild, sizes, trust) if model is None else model
    net = _shaped(full, arch, example, rules or _rules(files.card, rebuild.space_rules), files)
    expected = net.state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        raise InvalidInput(f"{files.weights} is of another model: {name} is in one of them only")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise InvalidInput(
                f"{files.weights} is of another model: {name} is {list(tensor.shape)} in the file and "
                f"{list(expected[name].shape)} in the model"
            )
    net.load_state_dict(tensors)
    net = net.float().eval()
    _check_masks(net, files)
    worst = float((_logits(net, images, folder) - logits).abs().max()) / max(float(logits.abs().max()), 1e-12)
    if not worst <= TOLERANCE:
        raise InvalidInput(f"{folder}: the rebuilt network's outputs are {worst:.2g} off verify.npz's: another model?")
    return net


def _logits(net: nn.Module, images: Example, folder: Path) -> Tensor:
    try:
        with torch.no_grad():
            logits = answer_of(call(net, images), as_inputs(images).batch)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidInput(
            f"{folder}: the rebuilt network does not run on the inputs of verify.npz: {reason}"
        ) from None
    return logits


def _check_files(files: SubnetFolder, digests: Mapping[str, str]) -> None:
    """Raises InvalidInput where a file is not the one that the card lists."""
    for path in (*files.files, files.masks):
        if path != files.card and path.is_file() and file_digest(path) != digests.get(path.name):
            raise InvalidInput(
                f"{path} is not the file that {files.card.name} lists: it was damaged, edited or exchanged"
            )


def _example(images: Tensor | Inputs, arch: Arch, rebuild: Rebuild, files: SubnetFolder) -> Inputs:
    """One example of the full model: an input of verify.npz, or noise where the network's resolution is another."""
    example = as_inputs(images).rows(0, 1)
    full, shape = rebuild.input_shape, first_shape(example)[1:]
    if not arch.resolution or full is None or full == shape:
        return example
    if len(full) != 3 or math.prod(full) > LARGEST:
        raise InvalidInput(f"{files.card} has input_shape={_text(full)}, which is no shape of images; restore it")
    noise = torch.randn(1, *full, generator=torch.Generator().manual_seed(0))
    if first_shape(Inputs(resized(noise, arch)))[1:] != shape:
        raise InvalidInput(
            f"{files.verify} holds images of shape {_text(shape)}, not at the resolution of {files.arch}"
        )
    return Inputs(noise)


def _shaped(full: nn.Module, arch: Arch, example: Inputs, rules: SpaceRules, files: SubnetFolder) -> nn.Module:
    """A copy of the full model in the shape of an Arch; without choices, of the full model itself."""
    if not arch.values:
        return copy.deepcopy(full)
    try:
        return Supernet(full, example, rules).extract(arch)
    except InvalidArch as error:
        raise InvalidInput(f"{files.arch} is of another model or other rules: {error}") from None


def _check_masks(net: nn.Module, files: SubnetFolder) -> None:
    """Raises InvalidInput where a weight that the masks remove is not zero."""
    if not files.masks.is_file():
        return
    parameters = dict(net.named_parameters())
    for name, mask in load_checkpoint(files.masks)[0].items():
        if name not in parameters or mask.shape != parameters[name].shape or mask.dtype != torch.bool:
            raise InvalidInput(f"{files.masks} is of another network: {name} does not fit")
        if bool(parameters[name].detach()[~mask].any()):
            raise InvalidInput(f"{files.masks} is of another network: it removes weights of {name} that are not zero")


def _verified(files: SubnetFolder, rebuild: Rebuild) -> tuple[Tensor | Inputs, Tensor]:
    """The inputs and logits of verify.npz, in the form that the card says the network is called with."""
    if rebuild.example is None:
        return read_verify(files.verify)
    try:
        form = inputs_from_json(rebuild.example)
    except InvalidInput as error:
        raise InvalidInput(f"{files.card}: {error}") from None
    template, names = form.tensors(), rebuild.names or ()
    if len(names) != len(template):
        raise InvalidInput(f"{files.card} names {len(names)} inputs and has the form of {len(template)}; restore it")
    arrays = read_arrays(files.verify, (*names, OUTPUT))
    for name, tensor in zip(names, template.values(), strict=True):
        if arrays[name].shape[1:] != tuple(tensor.shape)[1:]:
            raise InvalidInput(f"{files.verify} holds {name} of shape {arrays[name].shape}, not as the card says")
    tensors = [
        torch.from_numpy(arrays[name]).to(tensor.dtype) for name, tensor in zip(names, template.values(), strict=True)
    ]
    args, kwargs = form.filled(tensors)
    return Inputs(*args, **kwargs), torch.from_numpy(arrays[OUTPUT].astype(np.float32))


def read_verify(path: Path) -> tuple[Tensor, Tensor]:
    """Returns the inputs, (N, C, H, W) or token ids (N, T), and logits (N, ...) of a verify.npz.

    Raises:
        InvalidInput: the file is damaged, or holds more than any subnet's.
    """
    arrays = read_arrays(path, (INPUT, OUTPUT))
    images, logits = arrays[INPUT], arrays[OUTPUT]
    if images.ndim < 2 or logits.ndim < 1 or len(images) != len(logits) or not images.size or not logits.size:
        raise InvalidInput(f"{path} is damaged: inputs {images.shape} and logits {logits.shape} do not fit; restore it")
    whole = np.issubdtype(images.dtype, np.integer)
    given = torch.from_numpy(images.astype(np.int64 if whole else np.float32))
    return given, torch.from_numpy(logits.astype(np.float32))


def _model(card: Path, rebuild: Rebuild, sizes: Mapping[str, Any], trust: Sequence[str]) -> nn.Module:
    """The full model of the card's config, if all that it calls is trusted; `sizes` are those of verify.npz."""
    config = rebuild.model
    if config is None:
        raise InvalidInput(f"{card} has no model config: give the full model, load(folder, model=...)")
    try:
        check_stored(config, Trust(tuple(trust)), card)
        check_settled(config, card)
    except InvalidInput as error:
        raise InvalidInput(f"{error}; or build the full model yourself: load(folder, model=...)") from None
    for name, size in sizes.items():
        if (stored := getattr(rebuild, name)) != size:
            raise InvalidInput(f"{card} has {name}={_text(stored)}, but verify.npz is of {_text(size)}")
    try:
        with torch.random.fork_rng(devices=[]):
            model = make_model(config, **sizes)
    except Exception as error:  # Hydra wraps whatever the model raised
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InvalidInput(f"{card}: the model cannot be built: {reason}") from error
    if not isinstance(model, nn.Module):
        raise InvalidInput(f"{card}: {config.get('_target_')!r} gave no network")
    return model


def _text(size: Any) -> str:
    return str(list(size) if isinstance(size, tuple) else size)[:80]


def _rules(card: Path, value: Object | None) -> SpaceRules:
    if value is None:
        return SpaceRules()
    known = set(SpaceRules.__dataclass_fields__)
    if not set(value) <= known:
        raise InvalidInput(f"{card} is damaged: space_rules must be an object with {', '.join(sorted(known))}")
    rules: SpaceRules = convert(value, SpaceRules, f"{card}: space_rules")
    return rules
