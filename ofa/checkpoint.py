"""Checkpoints: tensors and the JSON that belongs to them in one safetensors file, written whole or not."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.paths import write_atomic

if TYPE_CHECKING:
    from ofa.supernet import Supernet

VERSION = 1


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Writes `tensors` and the JSON-able `meta` to `path` as one file.

    A kill at any moment leaves the old file or the new one. Give tied weights under one name (see `weights`).
    """
    held = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    header = {"ofa_version": str(VERSION), "ofa_meta": json.dumps(meta), "ofa_crc32": str(_checksum(held))}
    write_atomic(Path(path), save(held, header))


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the tensors (on `device`) and the meta that `save_checkpoint` wrote.

    Raises:
        InvalidInput: the file is missing, truncated, damaged, of another program or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInput(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidInput(f"{path} is truncated or not a checkpoint ({error}); delete it or restore it") from None
    if "ofa_version" not in header or "ofa_meta" not in header:
        raise InvalidInput(f"{path} was not written by ofa (it has no ofa_meta); give another file")
    if header["ofa_version"] != str(VERSION):
        raise InvalidInput(
            f"{path} has checkpoint version {header['ofa_version']}, this program reads {VERSION}; "
            f"use the program that wrote it, or delete it"
        )
    if header.get("ofa_crc32") != str(_checksum(tensors)):
        raise InvalidInput(f"{path} is damaged (its checksum does not fit its tensors); delete it or restore it")
    try:
        meta = json.loads(header["ofa_meta"])
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{path} is damaged ({error}); delete it or restore it") from None
    return {name: tensor.to(device) for name, tensor in tensors.items()}, meta


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Returns the state_dict without the second names of shared tensors."""
    first: dict[int, str] = {}
    state = model.state_dict(keep_vars=True)
    return {name: tensor.detach() for name, tensor in state.items() if first.setdefault(id(tensor), name) == name}


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], source: str = "the checkpoint") -> None:
    """Copies what `weights` returned into `model`, in place, so that views of the model see it.

    Raises:
        InvalidInput: a name or a shape is not the model's; the model is then untouched.
    """
    own = weights(model)
    for name in sorted(own.keys() ^ tensors.keys()):
        having, lacking = (source, "the model") if name in tensors else ("the model", source)
        raise InvalidInput(f"{having} has {name!r}, {lacking} has not: {source} is of another model")
    for name, tensor in own.items():
        if tensor.shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)}, the model's {tuple(tensor.shape)}"
            raise InvalidInput(f"{source}: {name!r} has shape {shapes}: it is of another model")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def save_supernet(supernet: Supernet, path: Path, meta: Mapping[str, Any] | None = None) -> None:
    """Writes the supernet's weights with its space's digest and `meta`."""
    save_checkpoint(path, weights(supernet.model), {"space": supernet.space.digest, "meta": dict(meta or {})})


def load_supernet(supernet: Supernet, path: Path) -> dict[str, Any]:
    """Returns the `meta` that was saved, after copying the weights in `path` into `supernet`.

    Raises:
        InvalidInput: the file is damaged, or of a supernet with other weights or another space; nothing is
            changed then.
    """
    tensors, held = load_checkpoint(path)
    if "space" not in held:
        raise InvalidInput(f"{path} holds no finished supernet (it may be a training checkpoint); train first")
    if held["space"] != supernet.space.digest:
        raise InvalidInput(
            f"{path} is of a supernet with another space "
            f"({held['space']}, this one is {supernet.space.digest}); "
            f"give the same model and space, or train into another folder"
        )
    load_weights(supernet.model, tensors, str(path))
    meta: dict[str, Any] = held["meta"]
    return meta


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 of names and bytes: finds damage that leaves the file's structure whole."""
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        flat = tensors[name].reshape(-1)
        if flat.numel():
            total = zlib.crc32(flat.view(torch.uint8).numpy().data, total)
    return total
