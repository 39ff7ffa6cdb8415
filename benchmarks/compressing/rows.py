"""The rows of a model: dense networks, each pruned level by level and shared at every level, and the controls."""

from __future__ import annotations

import copy
import lzma
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.compressing.baselines import baselines
from benchmarks.compressing.networks import make_network
from benchmarks.compressing.recipe import SETTINGS, Setting, control, pruned, shared
from benchmarks.pruning.cells import Cells
from benchmarks.pruning.setting import Ensemble, error, fit
from ofa.data import Dataset
from search.networks.quantized_network import in_bits


def measure(name: str, data: Dataset, seeds: range, cells: Cells, folder: Path) -> None:
    """Measures every seed of a setting: dense, each level, its shared networks, and the control."""
    setting = SETTINGS[name]
    folder.mkdir(parents=True, exist_ok=True)
    dense = {
        seed: _kept(setting, folder / f"dense_{name}_{seed}.pt", partial(_dense, setting, data, seed)) for seed in seeds
    }
    teacher = Ensemble(list(dense.values()))
    cells.run(partial(_judged, teacher, data), setting=name, stage="teacher")
    for seed, own in dense.items():
        cells.run(partial(_judged, own, data), setting=name, seed=seed, stage="dense")
    for seed, own in dense.items():
        net = own
        for level in setting.levels:
            file = folder / f"pruned_{name}_{seed}_{level}.pt"
            net = _kept(setting, file, partial(pruned, setting, net, teacher, data, seed, level))
            cells.run(partial(_judged, net, data), setting=name, seed=seed, stage="pruned", level=level)
            for levels in setting.shared.get(level, ()):
                file = folder / f"shared_{name}_{seed}_{level}_{levels}.pt"
                cells.run(
                    partial(_shared, setting, net, teacher, data, seed, levels, file),
                    **{"setting": name, "seed": seed, "stage": "shared", "level": level, "levels": levels},
                )
        made = partial(control, setting, own, teacher, data, seed)
        trained = _kept(setting, folder / f"control_{name}_{seed}.pt", made)
        cells.run(partial(_judged, trained, data), setting=name, seed=seed, stage="control")
        cells.run(partial(_int8, trained, data), setting=name, seed=seed, stage="int8")


def _dense(setting: Setting, data: Dataset, seed: int) -> nn.Module:
    net = make_network(setting.model, seed)
    fit(net, data, setting.terms(setting.dense, seed))
    return net


def _kept(setting: Setting, file: Path, make: Callable[[], nn.Module]) -> nn.Module:
    """The network of a file, made first if it is not there."""
    if file.exists():
        net = make_network(setting.model, 0)
        net.load_state_dict(torch.load(file, weights_only=True))
        return net
    net = make()
    torch.save(net.state_dict(), file)
    return net


def _judged(net: nn.Module, data: Dataset) -> dict[str, Any]:
    return {"error": error(net, data), **baselines(net.state_dict())}


def _int8(net: nn.Module, data: Dataset) -> dict[str, Any]:
    """The control as an ONNX file in int8, as the runtime computes it."""
    made = in_bits(copy.deepcopy(net).eval(), data.calibration(512), "int8")
    small = len(lzma.compress(made.model, preset=9))
    return {"error": error(made.network, data), "bytes": len(made.model), "xz": small}


def _shared(
    setting: Setting, net: nn.Module, teacher: nn.Module, data: Dataset, seed: int, levels: int, file: Path
) -> dict[str, Any]:
    made, before = shared(setting, net, teacher, data, seed, levels)
    torch.save(made.state_dict(), file)
    return {"shared_error": before, "error": error(made, data)}
