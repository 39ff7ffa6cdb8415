"""Equal trainings give equal files: nothing of the time, the folder or the process is in the weights."""

from __future__ import annotations

from pathlib import Path

from ofa.checkpoint import load_checkpoint
from search.app.main import main
from tests.record_files import content_of

TINY = ["train", "experiment=tiny", "train.epochs=1"]


def test_equal_trainings_give_equal_weights_config_and_data_byte_by_byte(tmp_path: Path) -> None:
    folders = [tmp_path / "first/tiny/supernet", tmp_path / "elsewhere/deeper/other/supernet"]
    for folder in folders:
        assert main([*TINY, f"run={folder.parent.name}", f"outputs={folder.parent.parent}"]) == 0
    for name in ("model.safetensors", "data.safetensors", "config.yaml"):
        first, second = (folder.joinpath(name).read_bytes() for folder in folders)
        assert first == second, name
    one, another = (content_of(folder / "stage.json") for folder in folders)
    assert one.pop("command") != another.pop("command")  # they name their runs
    assert one.pop("date_utc") < another.pop("date_utc")
    assert one == another
    other = tmp_path / "seed/tiny"
    assert main([*TINY, "run=tiny", f"outputs={other.parent}", "seed=1"]) == 0
    first_weights, others = (
        load_checkpoint(folder / "model.safetensors")[0] for folder in (folders[0], other / "supernet")
    )
    assert any(not first_weights[name].equal(others[name]) for name in first_weights)
