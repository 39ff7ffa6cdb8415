"""Files of the networks that were made, and what is read from them; quick, so they are written anew each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.compressing.baselines import baselines
from benchmarks.compressing.networks import make_network
from benchmarks.compressing.recipe import SETTINGS, Setting
from benchmarks.pruning.cells import Cells
from benchmarks.pruning.setting import error
from ofa.compress import load, save
from ofa.data import Dataset
from ofa.paths import write_json


def write_files(name: str, data: Dataset, cells: Cells, folder: Path) -> None:
    """Writes the file of every shared network of a setting, reads it, and keeps a row of each in place of the last."""
    setting = SETTINGS[name]
    others = [row for row in cells.rows() if (row["stage"], row["setting"]) != ("file", name)]
    rows = []
    for row in cells.find_all(setting=name, stage="shared"):
        stem = folder / f"shared_{name}_{row['seed']}_{row['level']}_{row['levels']}"
        net = make_network(setting.model, 0)
        net.load_state_dict(torch.load(stem.with_suffix(".pt"), weights_only=True))
        rows.append({**row, "stage": "file", **written(setting, net, data, stem.with_suffix(".ofaz"))})
    write_json(cells.file, [*others, *rows])


def written(setting: Setting, net: nn.Module, data: Dataset, file: Path) -> dict[str, Any]:
    """Returns the bytes of the file of a network, by what they are for, and the test error of what is read from it."""
    sizes = save(file, net.state_dict(), {"model": setting.model})
    tensors, _ = load(file)
    decoded = make_network(setting.model, 0)
    decoded.load_state_dict(tensors)
    assert all(torch.equal(value, tensors[name]) for name, value in net.state_dict().items())
    parts = {
        part: sum(getattr(tensor, part) for tensor in sizes.tensors.values())
        for part in ("positions", "values", "tables", "rest")
    }
    vectors = sum(sizes.tensors[name].total for name, value in net.state_dict().items() if value.dim() < 2)
    return {
        "bytes": file.stat().st_size,
        "error": error(decoded, data),
        "kept": sum(int((value != 0).sum()) for value in tensors.values() if value.dim() > 1),
        **parts,
        "vectors": vectors,
        "header": sizes.header + sizes.card,
        **baselines(tensors),
    }
