"""Networks as .ofaz files: `save`, `load`, and what a file would take.

The file is described in `ofa.compress.decoding.file`; `decoder_source` is what reads it without torch or this package.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from ofa.compress.blocks import Coding, blocks_of, shares_of
from ofa.compress.code import varint, varints
from ofa.compress.coding import deflated_text
from ofa.compress.decoding.file import LARGEST, MAGIC, VERSION, decode, digest_of
from ofa.compress.decoding.reader import Array
from ofa.compress.decoding.types import TYPES, Coded, Described
from ofa.compress.sizes import FileSizes, TensorSizes
from ofa.compress.tape import written
from ofa.errors import InvalidInput, nearest
from ofa.paths import write_atomic

KINDS = {getattr(torch, name): kind for kind, (name, _) in enumerate(TYPES) if hasattr(torch, name)}


def save(
    path: Path | str, tensors: Mapping[str, Tensor], card: Mapping[str, Any], *, coding: Coding = "best"
) -> FileSizes:
    """Returns what the file takes, after writing tensors and a card to it, in place of one that is there.

    Each tensor is coded by what it holds: zeros by where the others are, few different numbers by a table, floats by
    exponents and the rest. `load` returns the same bits.

    Args:
        path: whose name ends with .ofaz, by custom.
        tensors: dense, of any type that safetensors knows, on any device.
        card: what JSON can hold.
        coding: "huffman" takes relative positions and Huffman's code alone, as Deep Compression does (Han et al. 2016,
            1510.00149, section 4), to compare with.

    Raises:
        InvalidInput: a tensor of another type or layout, or a card that JSON cannot hold.
    """
    content, sizes = encoded(tensors, card, coding)
    write_atomic(Path(path), content)
    return sizes


def load(path: Path | str, *, largest: int = LARGEST) -> tuple[dict[str, Tensor], Any]:
    """Returns the tensors of a file, bit by bit as they were saved and in that order, on the CPU, and its card.

    Raises:
        InvalidInput: no such file, it is damaged, or its tensors have more than `largest` bytes.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInput(f"{path} {'is no file' if path.exists() else 'does not exist'}; give an .ofaz file")
    try:
        tensors, card = decode(path.read_bytes(), largest)
        return {name: as_tensor(each) for name, each in tensors.items()}, card
    except (ValueError, RecursionError, OverflowError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidInput(f"{path} cannot be read: {reason:.200}; restore it or compress the network again") from None


def coded_sizes(tensors: Mapping[str, Tensor], *, coding: Coding = "best") -> FileSizes:
    """Returns what a file of these tensors and an empty card would take, without writing it.

    Raises:
        InvalidInput: see `save`.
    """
    return encoded(tensors, {}, coding)[1]


def encoded(tensors: Mapping[str, Tensor], card: Mapping[str, Any], coding: Coding = "best") -> tuple[bytes, FileSizes]:
    """Returns the content of a file and what it is made of.

    Raises:
        InvalidInput: see `save`.
    """
    if coding not in get_args(Coding):
        raise InvalidInput(f"coding={coding!r} is unknown; {nearest(str(coding), get_args(Coding))}")
    arrays = [_patterns(name, tensor) for name, tensor in tensors.items()]
    types = [tensor.dtype for tensor in tensors.values()]
    described = [_described(*each) for each in tensors.items()]
    rows = [tensor.shape[0] if tensor.dim() > 1 and tensor.numel() else 0 for tensor in tensors.values()]
    blocks = blocks_of(arrays, types, rows, coding)
    entries = [varints(len(block.members), *block.members) + block.code.directory for block in blocks]
    directory = deflated_text(varint(len(arrays)) + b"".join((*described, *entries)))
    checksums = b"".join(zlib.crc32(array.data).to_bytes(4, "little") for array in arrays)
    text = deflated_text(_json(card))
    words = written([piece for block in blocks for piece in block.code.bits]).tobytes()
    plain = b"".join(piece for block in blocks for piece in block.code.plain)
    total = sum(array.nbytes for array in arrays)
    head = MAGIC + bytes((VERSION,)) + varints(len(directory), len(text), len(plain), len(words) // 4, total)
    content = b"".join((head, directory, checksums, text, plain, words))
    content += digest_of(content)
    shares = shares_of(blocks, [array.nbytes for array in arrays])
    rests = [len(each) + share[1] for each, share in zip(described, shares, strict=True)]
    ratio = len(directory) / max(1.0, sum(rests))
    sizes = {
        name: TensorSizes(arrays[at].nbytes, *share[0], 4 + round(ratio * rests[at]), share[2])
        for at, (name, share) in enumerate(zip(tensors, shares, strict=True))
    }
    rest = len(content) - len(text) - sum(each.total for each in sizes.values())
    return content, FileSizes(sizes, len(text), rest)


def _described(name: str, tensor: Tensor) -> bytes:
    text = name.encode()
    return varint(len(text)) + text + varints(KINDS[tensor.dtype], tensor.dim(), *tensor.shape)


def _patterns(name: str, tensor: Tensor) -> Array:
    """A tensor's bits as unsigned integers, one dimension."""
    if tensor.dtype not in KINDS or tensor.layout != torch.strided or tensor.is_meta:
        known = ", ".join(str(kind).removeprefix("torch.") for kind in KINDS)
        raise InvalidInput(f"{name} is {tensor.layout} of {tensor.dtype}: dense tensors of {known} can be saved")
    dense = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    unit = Described(name, KINDS[tensor.dtype], tuple(tensor.shape)).unit
    patterns: Array = dense.reshape(-1).view(torch.uint8).numpy().view(unit)
    return patterns


def as_tensor(coded: Coded) -> Tensor:
    """Returns what was decoded as a tensor, which shares its memory."""
    numbers = torch.from_numpy(coded.patterns.view(np.uint8))
    return numbers.view(getattr(torch, coded.type)).reshape(coded.shape)


def _json(card: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(dict(card), separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"the card is not JSON ({str(error)[:120]}); give numbers, texts, lists and mappings"
        ) from None
