"""Mutators of files with a structure of their own: safetensors, npz and YAML."""

from __future__ import annotations

import io
import json
import random
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.mutated.json_mutators import edited_value
from benchmarks.mutated.mutation import Mutation, Mutator, Source
from ofa.checkpoint import load_checkpoint, save_checkpoint

HUGE = 2**40


def edit_header(source: Source, rng: random.Random) -> Mutation | None:
    """Returns a safetensors file with an edit in its header: names, types, shapes, offsets, meta."""
    header, tensors = _safetensors(source.content)
    done = edited_value(header, rng)
    return None if done is None else Mutation(f"{done[0]} in the header", _whole(header, tensors))


def odd_header(source: Source, rng: random.Random) -> Mutation | None:
    """Returns a safetensors file whose header has a length or sizes that it cannot have."""
    header, tensors = _safetensors(source.content)
    text = json.dumps(header).encode()
    name = rng.choice([key for key in header if key != "__metadata__"] or [""])
    kind = rng.choice(("length", "shape", "offsets", "deep", "doubled", "swapped"))
    if kind == "length" or not name:
        size = rng.choice((0, 1, 7, len(text) - 1, 2**31, 2**63 - 1, 2**64 - 1))
        return Mutation("header's length", struct.pack("<Q", size) + text + tensors)
    if kind == "shape":
        header[name]["shape"] = rng.choice(([HUGE, HUGE], [2**63], [-1], [0], [[1]], "x", None))
    elif kind == "offsets":
        header[name]["data_offsets"] = rng.choice(([0, HUGE], [HUGE, 0], [0, 0], [5, 3], [1], [-4, 0]))
    elif kind == "deep":
        text = text[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        return Mutation("header nested", struct.pack("<Q", len(text)) + text + tensors)
    elif kind == "doubled":
        text = b'{"' + name.encode() + b'":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' + text[1:]
        return Mutation("tensor doubled", struct.pack("<Q", len(text)) + text + tensors)
    else:
        other = rng.choice([key for key in header if key != "__metadata__"])
        header[name], header[other] = header[other], header[name]
    return Mutation(f"header's {kind}", _whole(header, tensors))


def edit_and_seal(source: Source, rng: random.Random) -> Mutation | None:
    """Returns a safetensors file with an edit in its meta or a tensor, and a checksum that fits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / source.name
        path.write_bytes(source.content)
        tensors, meta = load_checkpoint(path)
        names = list(tensors)
        kind = rng.choice(("meta", "meta", "type", "shape", "missing", "renamed", "not a number"))
        if kind == "meta" or not names:
            if (done := edited_value(meta, rng)) is None:
                return None
            kind = f"meta {done[0]}"
        else:
            name = rng.choice(names)
            tensor = tensors.pop(name)
            if kind == "type":
                tensors[name] = tensor.to(rng.choice((torch.float64, torch.int64, torch.bool, torch.bfloat16)))
            elif kind == "shape":
                tensors[name] = rng.choice((tensor.reshape(-1), tensor[None], tensor.reshape(-1)[:0]))
            elif kind == "renamed":
                tensors[rng.choice((f"{name}x", "", "../x", name.upper()))] = tensor
            elif kind == "not a number":
                tensors[name] = torch.full_like(tensor.float(), float("nan"))
        save_checkpoint(path, tensors, meta)
        return Mutation(f"{kind}, sealed", path.read_bytes(), sealed=True)


def edit_archive(source: Source, rng: random.Random) -> Mutation | None:
    """Returns an npz file whose members are others: a bomb, a header that lies, odd names, links."""
    with zipfile.ZipFile(io.BytesIO(source.content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    kind = rng.choice(("bomb", "shape", "dtype", "object", "missing", "doubled", "path", "link", "noise"))
    extra: list[tuple[Any, bytes]] = []
    if kind == "bomb":
        members[name] = members[name][:128] + bytes(300 * 2**20)
    elif kind == "shape":
        members[name] = members[name].replace(b"(", b"(" + rng.choice((b"99999999999,", b"-1,", b"0,")), 1)
    elif kind == "dtype":
        members[name] = members[name].replace(b"<f4", rng.choice((b"<f8", b"|O ", b"<U9", b">f4", b"<c8")), 1)
    elif kind == "object":
        members[name] = b"\x93NUMPY\x01\x00\x10\x00{'descr': '|O'}" + rng.randbytes(64)
    elif kind == "missing":
        del members[name]
    elif kind == "doubled":
        extra.append((name, rng.randbytes(200)))
    elif kind == "path":
        extra.append((f"../../{name}", members[name]))
    elif kind == "link":
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o120777 << 16
        extra.append((info, b"/etc/passwd"))
    else:
        members[name] = rng.randbytes(len(members[name]))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key, content in [*members.items(), *extra]:
            if isinstance(key, str) and key in archive.NameToInfo:
                archive.NameToInfo.pop(key)  # no warning: twice is what is wanted
            archive.writestr(key, content)
    return Mutation(f"archive's {kind}", buffer.getvalue())


def edit_yaml(source: Source, rng: random.Random) -> Mutation | None:
    """Returns YAML with an odd line, or one deleted, doubled, moved or changed."""
    lines = source.content.decode().splitlines()
    place = rng.randrange(len(lines))
    kind = rng.choice(("delete", "double", "indent", "value", "odd", "odd"))
    if kind == "delete":
        del lines[place]
    elif kind == "double":
        lines.insert(place, lines[place])
    elif kind == "indent":
        lines[place] = rng.choice((" ", "\t", "    ")) + lines[place]
    elif kind == "value":
        key = lines[place].partition(":")[0]
        lines[place] = f"{key}: {rng.choice(('null', '-1', '.nan', '1e308', '[]', '{}', 'x', '???', '99999999999'))}"
    else:
        lines.insert(place, rng.choice(ODD_YAML))
    return Mutation(f"YAML: {kind}", ("\n".join(lines) + "\n").encode())


_NINE = ",".join(["*{0}"] * 9)
_BOMB = "\n".join(
    ["a0: &a0 [x,x,x,x,x,x,x,x,x]", *(f"a{n}: &a{n} [{_NINE.format(f'a{n - 1}')}]" for n in range(1, 10))]
)
ODD_YAML = (
    *(_BOMB, "a: &a [*a]", "a: &a {b: *a}", "<<: &a {<<: *a}", "a: " + "[" * 3000 + "]" * 3000, "a: " + "{a: " * 2000),
    *("a: !!python/object/apply:os.system [touch /tmp/mutated]", "a: !!python/name:os.system ''", "a: ${a}"),
    *("a: ${oc.env:HOME}", "a: ${.b}\nb: ${.a}", "a: !!binary x", "? [a, b]\n: c", "a: " + "x" * 2**20, "%YAML 9.9"),
    *("---", "...", "a: 'open", "a: 0o17", "a: 2026-13-45", "\x00", "model: ", "seed: x", "a: " + "9" * 5000),
)

SAFETENSORS: tuple[Mutator, ...] = (edit_header, odd_header, edit_and_seal)
NPZ: tuple[Mutator, ...] = (edit_archive,)
YAML: tuple[Mutator, ...] = (edit_yaml, edit_yaml)


def _safetensors(content: bytes) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def _whole(header: Any, tensors: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors
