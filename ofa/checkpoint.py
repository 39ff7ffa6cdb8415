"""Checkpoints: tensors and the JSON that belongs to them in one safetensors file, written whole or not."""

from __future__ import annotations

import errno
import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.paths import write_atomic
from ofa.records import parse_json

if TYPE_CHECKING:
    from ofa.supernet import Supernet

VERSION = 2
REMEDY = "delete it or restore it"
ALIGNMENT = 8  # bytes, of where the tensors begin
# Faults of the machine: the file itself may be intact and must not be deleted.
CANNOT_READ = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Writes `tensors` and the JSON-able `meta` to `path` as one file.

    A kill at any moment leaves the old file or the new one. Equal tensors and meta give equal bytes. Give tied weights
    under one name (see `weights`).
    """
    copies = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    text = json.dumps(meta)
    header = {"ofa_version": str(VERSION), "ofa_meta": text, "ofa_sha256": _checksum(copies, text)}
    write_atomic(Path(path), *_in_order(save(copies, header)))


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
            # Copies: the file is memory-mapped, and what was checked must not change with it later.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in CANNOT_READ:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise InvalidInput(f"{path} is truncated or not a checkpoint ({str(error)[:200]}); {REMEDY}") from None
    meta = _meta_in(header, path)
    if header.get("ofa_sha256") != _checksum(tensors, header["ofa_meta"]):
        raise InvalidInput(f"{path} is damaged or was edited (its checksum does not fit what it holds); {REMEDY}")
    return {name: tensor.to(device) for name, tensor in tensors.items()}, meta


def _meta_in(header: Mapping[str, str], path: Path) -> dict[str, Any]:
    """The meta in a header, once it is one of this program."""
    if "ofa_version" not in header or "ofa_meta" not in header:
        raise InvalidInput(f"{path} was not written by ofa (it has no ofa_meta); give another file")
    if header["ofa_version"] != str(VERSION):
        raise InvalidInput(
            f"{path} has checkpoint version {header['ofa_version']:.20}, this program reads {VERSION}; "
            f"use the program that wrote it, or delete it"
        )
    meta = parse_json(header["ofa_meta"], path, REMEDY, finite=False)  # the losses of a training may be infinite
    if not isinstance(meta, dict):
        raise InvalidInput(f"{path} is damaged (its ofa_meta is not an object); {REMEDY}")
    return meta


def checkpoint_meta(path: Path) -> dict[str, Any]:
    """Returns the meta alone, without reading the tensors; whether these are whole is not known then.

    Raises:
        InvalidInput: the file is missing, truncated, of another program or of a newer version.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidInput(f"{path} is missing or not a checkpoint ({str(error)[:200]}); {REMEDY}") from None
    return _meta_in(header, path)


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
    present = weights(model)
    for name in sorted(present.keys() ^ tensors.keys()):
        having, lacking = (source, "the model") if name in tensors else ("the model", source)
        raise InvalidInput(f"{having} has {name!r}, {lacking} does not: {source} is of another model")
    for name, tensor in present.items():
        if tensor.shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)}, the model's {tuple(tensor.shape)}"
            raise InvalidInput(f"{source}: {name!r} has shape {shapes}: it is of another model")
    with torch.no_grad():
        for name, tensor in present.items():
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
    tensors, recorded = load_checkpoint(path)
    if "space" not in recorded:
        raise InvalidInput(f"{path} holds no finished supernet (it may be a training checkpoint); train first")
    if recorded["space"] != supernet.space.digest:
        raise InvalidInput(
            f"{path} is of a supernet with another space "
            f"({recorded['space']}, this one is {supernet.space.digest}); "
            f"give the same model and space, or train into another folder"
        )
    meta = recorded.get("meta")
    if not isinstance(meta, dict):
        raise InvalidInput(f"{path} is damaged (its meta is not an object); {REMEDY}")
    load_weights(supernet.model, tensors, str(path))
    return meta


def _checksum(tensors: Mapping[str, Tensor], meta: str) -> str:
    """SHA-256 of the meta and of every tensor's name, type, shape and bytes."""
    total = hashlib.sha256(json.dumps(meta).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        flat = tensor.reshape(-1)
        if flat.numel():
            total.update(flat.view(torch.uint8).numpy().data)
    return total.hexdigest()


def _in_order(content: bytes) -> tuple[bytes, memoryview]:
    """A safetensors file with its header's metadata sorted: the library orders it differently each time."""
    (size,) = struct.unpack_from("<Q", content)
    start = struct.calcsize("<Q")
    header = json.loads(content[start : start + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text, memoryview(content)[start + size :]
