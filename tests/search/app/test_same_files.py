"""Equal trainings give equal files: nothing of the time, the folder or the process is in the weights."""

from __future__ import annotations

from pathlib import Path

from ofa.checkpoint import load_checkpoint
from search.app.main import main

TINY = ["train", "experiment=tiny", "train.epochs=1"]


def test_equal_trainings_give_equal_weights_config_and_data_byte_by_byte(tmp_path: Path) -> None:
    folders = [tmp_path / "first/tiny/supernet", tmp_path / "elsewhere/deeper/other/supernet"]
    for folder in folders:
        assert main([*TINY, f"run={folder.parent.name}", f"outputs={folder.parent.parent}"]) == 0
    for name in ("model.safetensors", "data.safetensors", "config.yaml", "stage.json"):
        first, second = (folder.joinpath(name).read_bytes() for folder in folders)
        assert first == second, name
    other = tmp_path / "seed/tiny"
    assert main([*TINY, "run=tiny", f"outputs={other.parent}", "seed=1"]) == 0
    one, another = (load_checkpoint(folder / "model.safetensors")[0] for folder in (folders[0], other / "supernet"))
    assert any(not one[name].equal(another[name]) for name in one)
