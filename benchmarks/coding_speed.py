"""How small, and how fast, tensors are coded: .ofaz beside Deep Compression's own coding, xz and deflate.

    python -m benchmarks.coding_speed

Ten million weights each: dense, of 16 levels, pruned to a tenth, and pruned to 3 % with 16 levels; then a pruned matrix
of 784 x 300 that looks at an image. Bytes, and megabytes of float32 a second of processor time; and every model of the
any-model collection that is written by hand or can be imported is coded, decoded and compared bit by bit.
"""

from __future__ import annotations

import argparse
import lzma
import time
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.collection import all_entries
from ofa.compress.ofaz import as_tensor, decode, encoded
from ofa.paths import write_json
from search.device.standalone.machine import describe_machine

SIDE = 3163  # of a square matrix of ten million weights
MODELS_BYTES = 64 * 2**20  # of a model, at most


def tensors_of(seed: int) -> dict[str, Tensor]:
    """Returns what is coded, by what it is."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randn(16, generator=generator)

    def shared(*shape: int) -> Tensor:
        return levels[torch.randint(0, 16, shape, generator=generator)]

    def kept(density: Tensor | float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) < density

    zero = torch.zeros(())
    middle = torch.arange(28.0) - 13.5
    inside = torch.exp(-(middle[:, None] ** 2 + middle**2) / 80).reshape(1, -1) * torch.rand(
        300, 1, generator=generator
    )
    return {
        "dense": torch.randn(SIDE, SIDE, generator=generator),
        "16 levels": shared(SIDE, SIDE),
        "pruned to 10 %": torch.where(kept(0.1, SIDE, SIDE), torch.randn(SIDE, SIDE, generator=generator), zero),
        "pruned to 3 %, 16 levels": torch.where(kept(0.03, SIDE, SIDE), shared(SIDE, SIDE), zero),
        "784 x 300, pruned to 3 %, 16 levels": torch.where(
            kept(inside / inside.mean() * 0.03, 300, 784), shared(300, 784), zero
        ),
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Returns what came of it, and seconds of the processor."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def row_of(name: str, tensor: Tensor) -> dict[str, Any]:
    """Returns sizes in bytes and speeds of one tensor."""
    plain = tensor.numpy().tobytes()
    row: dict[str, Any] = {"tensor": name, "float32": len(plain)}
    for coding in ("best", "huffman"):
        (content, _), seconds = timed(lambda coding=coding: encoded({"w": tensor}, {}, coding))
        decoded, decoding = timed(lambda content=content: decode(content))
        assert decoded[0]["w"].patterns.tobytes() == plain
        label = "ofaz" if coding == "best" else "ofaz, coding=huffman"
        row[label] = {"bytes": len(content), **_speeds(len(plain), seconds, decoding)}
    for label, pack, unpack in (
        ("xz -1", lambda: lzma.compress(plain, preset=1), lzma.decompress),
        ("deflate -6", lambda: zlib.compress(plain, 6), zlib.decompress),
    ):
        content, seconds = timed(pack)
        _, decoding = timed(lambda content=content, unpack=unpack: unpack(content))
        row[label] = {"bytes": len(content), **_speeds(len(plain), seconds, decoding)}
    return row


def _speeds(size: int, coding: float, decoding: float) -> dict[str, float]:
    return {
        "MB a second": round(size / 1e6 / coding, 1),
        "decoding seconds": round(decoding, 3),
        "decoding seconds for 10 M weights": round(decoding * 4e7 / size, 2),
    }


def round_trips() -> dict[str, str]:
    """Returns, by model, "equal" where all its tensors came back bit by bit, as they are and pruned to 16 levels."""
    told = {}
    for entry in all_entries():
        torch.manual_seed(0)
        try:
            state = entry.make()[0].state_dict()
        except Exception as error:  # a library that is not installed, or of another version
            told[entry.name] = f"not made: {type(error).__name__}"
            continue
        if sum(each.nbytes for each in state.values()) <= MODELS_BYTES:
            told[entry.name] = "equal" if _is_equal(state) and _is_equal(_pruned(state)) else "DIFFERS"
    return told


def _is_equal(state: Mapping[str, Tensor]) -> bool:
    tensors = {name: as_tensor(each) for name, each in decode(encoded(state, {})[0])[0].items()}
    return list(tensors) == list(state) and all(
        tensors[name].dtype == each.dtype
        and tensors[name].shape == each.shape
        and tensors[name].numpy().tobytes() == each.contiguous().numpy().tobytes()
        for name, each in state.items()
    )


def _pruned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: torch.where(each.abs() > each.abs().float().quantile(0.9), (each * 8).round() / 8, 0.0)
        if each.is_floating_point() and each.dim() > 1 and 0 < each.numel() < 2**24
        else each
        for name, each in state.items()
    }


def main() -> int:
    """Returns 0 where every model came back."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/coding_speed.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row_of(*each) for each in tensors_of(options.seed).items()]
    print("| tensor | coding | bytes | MB a second | seconds to decode 10 M weights |\n|---|---|---|---|---|")
    for row in rows:
        for label, found in row.items():
            if isinstance(found, dict):
                speed, decoding = found["MB a second"], found["decoding seconds for 10 M weights"]
                print(f"| {row['tensor']} | {label} | {found['bytes']:,} | {speed} | {decoding} |")
    told = round_trips()
    equal = sum(each == "equal" for each in told.values())
    print(f"\n{equal} models came back bit by bit, {sum(each == 'DIFFERS' for each in told.values())} did not")
    date = datetime.now(UTC).date().isoformat()
    content = {"date": date, "machine": describe_machine(), "rows": rows, "models equal": equal, "models": told}
    write_json(options.output, content)
    return int("DIFFERS" in told.values())


if __name__ == "__main__":
    raise SystemExit(main())
