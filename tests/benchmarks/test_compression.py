"""The benchmark of bytes against error: what its tables say, and what it compares with."""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks import bit_price
from benchmarks.compressing import page
from benchmarks.compressing.baselines import baselines
from benchmarks.compressing.networks import SHAPE, make_network
from benchmarks.compressing.recipe import NORM_LEVELS, share_norms_
from benchmarks.pruning.cells import Cells
from ofa.paths import write_json
from ofa.randomize import randomize_


def rows(seed: int, control: float, error: float, size: int) -> list[dict[str, Any]]:
    keys = {"setting": "lenet300", "seed": seed}
    plain = {"float32": 1000, "xz": 900, "bitmask": 950}
    parts = {"positions": 10, "values": 20, "tables": 5, "rest": 3, "header": 2, "kept": 70, "vectors": 4}
    return [
        {**keys, "stage": "dense", "error": 1.6, **plain},
        {**keys, "stage": "control", "error": control, **plain},
        {**keys, "stage": "int8", "error": control + 0.02, "bytes": 300, "xz": 250},
        {**keys, "stage": "pruned", "level": 12, "error": 1.5, **plain},
        {**keys, "stage": "shared", "level": 12, "levels": 16, "error": 9.0, "shared_error": 1.9},
        {
            **keys,
            **{"stage": "file", "level": 12, "levels": 16, "error": error, "bytes": size, "shared_error": 1.9},
            **parts,
            **plain,
        },
    ]


def test_the_page_has_means_ratios_and_paired_differences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "DOCS", tmp_path / "page.md")
    cells = Cells(tmp_path / "rows.json")
    write_json(cells.file, [*rows(0, 1.4, 1.5, 8), *rows(1, 1.6, 1.62, 12)])
    page.write_page(cells)
    text = (tmp_path / "page.md").read_text()
    assert "| **12x pruned, 16 values, .ofaz** | 10 | 100x | 1.560 ± 0.085 | +0.060 (0.040) | 2 |" in text
    assert "| control, float32 | 1,000 | 1x | 1.500 ± 0.141 | - | 2 |" in text
    assert "| 12x, 16 values | 70 | 10 | 20 | 5 | 3 | 2 | 10 | 900 | 950 | 1.900 |" in text
    assert "| control in int8, ONNX | 300 | 3x | 1.520 ± 0.141 | +0.020 (0.000) | 2 |" in text
    assert "| dense, xz | 900 | 1x | 1.600 ± 0.000 | +0.100 (0.100) | 2 |" in text
    assert "LeNet-5" not in text


def test_one_seed_has_no_standard_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "DOCS", tmp_path / "page.md")
    cells = Cells(tmp_path / "rows.json")
    write_json(cells.file, rows(0, 1.4, 1.5, 8))
    page.write_page(cells)
    assert "| **12x pruned, 16 values, .ofaz** | 8 | 125x | 1.500 | +0.100 | 1 |" in (tmp_path / "page.md").read_text()


def test_a_price_makes_a_smaller_file_and_has_a_line_in_the_table() -> None:
    net = make_network("lenet300", 0).eval()
    for parameter in net.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(0)).mul_(parameter.abs() > 1)
    images = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    keys = {"setting": "lenet300_short", "seed": 0, "level": 2, "levels": 8}
    rows = [{**keys, "price": price, **bit_price.figures(net, images, 8, price)} for price in (0.0, 0.02)]
    assert rows[1]["bytes"] < rows[0]["bytes"] and min(row["divergence"] for row in rows) > 0
    text = bit_price.table(rows)
    assert "| price | lenet300_short, 2x, 8 values |" in text
    assert f"| 0.02 | {rows[1]['bytes']:,}, {rows[1]['divergence']:.4f} |" in text


def test_norms_take_few_values_in_all_and_answer_nearly_the_same() -> None:
    net = randomize_(make_network("resnet20", 0)).eval()
    images = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(0))
    before = net(images)
    share_norms_(net)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(torch.cat([parameter for norm in norms for parameter in norm.parameters()]).unique()) <= NORM_LEVELS
    assert all((norm.running_var == 1).all() for norm in norms)
    assert (net(images) - before).norm() < 0.05 * before.norm()


def test_baselines_hold_everything_that_is_needed_to_read_them() -> None:
    tensor = torch.zeros(8, 16)
    tensor[0, :3] = torch.tensor([1.0, 2.0, 3.0])
    found = baselines({"weight": tensor, "bias": torch.ones(4)})
    raw = tensor.numpy().tobytes() + torch.ones(4).numpy().tobytes()
    assert found == {"float32": 4 * 132, "xz": len(lzma.compress(raw, preset=9)), "bitmask": 16 + 12 + 1 + 16}
