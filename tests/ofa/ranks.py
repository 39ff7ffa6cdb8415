"""Functions run by several processes that form a group, forked from this one: quick, since nothing is imported anew."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch


def on_ranks(count: int, work: Callable[[int], Any], *, seconds: float = 60.0) -> list[Any]:
    """Returns what `work(rank)` returns in each of `count` processes of a gloo group: tensors and plain values."""
    with tempfile.TemporaryDirectory() as folder:
        children = [_fork(rank, count, work, Path(folder), seconds) for rank in range(count)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert not any(codes), codes
        return [torch.load(Path(folder, f"{rank}.pt")) for rank in range(count)]


def _fork(rank: int, count: int, work: Callable[[int], Any], folder: Path, seconds: float) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        torch.distributed.init_process_group(
            "gloo",
            init_method=f"file://{folder}/group",
            rank=rank,
            world_size=count,
            timeout=timedelta(seconds=seconds),
        )
        torch.save(work(rank), folder / f"{rank}.pt")
        torch.distributed.barrier()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)
