from pathlib import Path

import pytest
import torch

from ofa.compress import coded_sizes, load, save, share


@pytest.mark.parametrize("levels", [8, 16, 64])
def test_tables_of_rounded_values_take_half_and_are_read_as_they_were(levels: int, tmp_path: Path) -> None:
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    sharing = share({"w": weight}, levels=levels)
    exact = sharing.values()
    sharing.tensors["w"].codebook.copy_(sharing.tensors["w"].codebook.bfloat16())
    rounded = sharing.values()
    whole, half = (coded_sizes(tensors).tensors["w"].tables for tensors in (exact, rounded))
    assert half <= 2 * levels + 16 < 4 * levels + 1 and half < whole
    save(tmp_path / "w.ofaz", rounded, {})
    assert torch.equal(load(tmp_path / "w.ofaz")[0]["w"], rounded["w"])
