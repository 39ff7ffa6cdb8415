"""Stages in order: rehearsed first, kept one by one, and the same after a kill as without."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs

from ofa.errors import InvalidInput
from search.compression import finetune, low_rank, prune, reorder, share
from search.compression import training as stage_training
from search.compression.compressed import Compressed, StageContext
from search.compression.steps import NamedStage, checked, read_state, rehearse, run_stages, write_state
from search.run.compressed_cards import CompressedFolder, StageRow
from search.training.judging import judged
from tests.search.compression.small import begin, context


def layer_of(network: torch.nn.Module) -> str:
    """Returns the path of the first linear layer."""
    return next(path for path, module in network.named_modules() if isinstance(module, torch.nn.Linear))


LAYER = layer_of(begin().network)
STAGES = [
    NamedStage("low_rank", partial(low_rank, rank=0.25, layers=[LAYER])),
    NamedStage("prune", partial(prune, sparsity=0.5, epochs=1)),
    NamedStage("share", partial(share, bits=3)),
    NamedStage("finetune", partial(finetune, epochs=1)),
]


def run(folder: Path, stages: list[NamedStage] = STAGES) -> tuple[Compressed, tuple[StageRow, ...]]:
    folder.mkdir(exist_ok=True)
    shared = context(folder)
    before = judged(begin().network, shared.data, shared.task)
    return run_stages(begin(), stages, shared, CompressedFolder(folder), before, lambda done, name: None)


def content(compressed: Compressed) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in compressed.tensors.items()}


def without_times(rows: tuple[StageRow, ...]) -> list[StageRow]:
    return [structs.replace(row, seconds=0.0) for row in rows]


def test_a_kill_anywhere_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, rows = run(tmp_path / "whole")
    assert [row.stage for row in rows] == ["start", "low_rank", "prune", "share", "finetune"]
    assert rows[-1].bytes < rows[0].bytes and rows[0].density == 1 > rows[2].density
    original = stage_training.train_network
    kills = iter([1, 2, None, 3, None])  # steps after which a training ends, of one call each

    def killed(*arguments: Any, callbacks: Any = (), **options: Any) -> Any:
        last, seen = next(kills), [0]

        def stop(event: Any, state: Any) -> None:
            if event.name == "STEP":
                seen[0] += 1
                if last is not None and seen[0] > last:
                    raise KeyboardInterrupt

        return original(*arguments, callbacks=[*callbacks, stop], **options)

    monkeypatch.setattr(stage_training, "train_network", killed)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed")
    again, rows_again = run(tmp_path / "killed")
    assert content(again) == content(whole)
    assert without_times(rows_again) == without_times(rows)
    assert again.factors == whole.factors


def test_a_stage_is_compared_with_the_start_on_the_same_examples(tmp_path: Path) -> None:
    rows = run(tmp_path, STAGES[1:3])[1]
    assert rows[0].gain is None
    first = rows[0].scores.test["accuracy"]
    for row in rows[1:]:
        score, gain = row.scores.test["accuracy"], row.gain
        assert gain is not None and gain.test.value == pytest.approx(score.value - first.value)
    unchanged = NamedStage("unchanged", lambda compressed, context: compressed)
    (_, same) = run(tmp_path / "same", [unchanged])[1]
    assert same.gain is not None
    assert same.gain.test.value == same.gain.test.standard_error == 0.0  # as if of others, it was that of two networks


def test_what_is_kept_between_stages_is_all_of_it(tmp_path: Path) -> None:
    compressed, rows = run(tmp_path, STAGES[:3])
    write_state(compressed, rows, tmp_path / "state.safetensors")
    read, read_rows = read_state(begin(), tmp_path / "state.safetensors")
    assert content(read) == content(compressed) and read_rows == rows
    assert read.masks.keys() == compressed.masks.keys() and read.factors == compressed.factors
    assert read.sharing is not None and compressed.sharing is not None
    for name, tensor in compressed.sharing.tensors.items():
        assert torch.equal(read.sharing.tensors[name].indices, tensor.indices)
        assert torch.equal(read.sharing.tensors[name].codebook, tensor.codebook)
    whole = (tmp_path / "state.safetensors").read_bytes()
    (tmp_path / "state.safetensors").write_bytes(whole[:-9])
    with pytest.raises(InvalidInput, match=r"state\.safetensors"):
        read_state(begin(), tmp_path / "state.safetensors")


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([NamedStage("share", partial(share, bits=17))], r"compress\.stages\.0 \(share\): bits=17"),
        ([NamedStage("share", partial(share, levels=10**6))], r"compress\.stages\.0 \(share\): levels=1000000"),
        ([*STAGES[1:3], NamedStage("prune", partial(prune, sparsity=0.9))], r"stages\.2 \(prune\): .* before share"),
        ([NamedStage("odd", lambda compressed, context: None)], "the stage odd returned a NoneType"),
        ([NamedStage("finetune", partial(finetune, epochs=-1))], r"epochs=-1 of a stage"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(
    stages: list[NamedStage], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_training, "train_network", None)
    with pytest.raises(InvalidInput, match=words):
        rehearse(begin(), stages, context(tmp_path))


def test_a_rehearsal_leaves_the_network_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_training, "train_network", None)
    start = begin()
    before = content(start)
    rehearse(start, [*STAGES, NamedStage("reorder", reorder)], context(tmp_path))
    assert content(start) == before and not list(tmp_path.iterdir())


def test_a_stage_of_ones_own_is_given_what_others_are(tmp_path: Path) -> None:
    def biases_at_zero(compressed: Compressed, given: StageContext) -> Compressed:
        assert given.data.name and given.task.name
        after = compressed.copied()
        for name, parameter in after.network.named_parameters():
            if name.endswith("bias"):
                parameter.data.zero_()
        return after

    _, rows = run(tmp_path, [NamedStage("biases_at_zero", biases_at_zero)])
    assert rows[1].bytes < rows[0].bytes and rows[1].stage == "biases_at_zero"
    with pytest.raises(InvalidInput, match="returned a int"):
        checked(NamedStage("odd", biases_at_zero), 3)
