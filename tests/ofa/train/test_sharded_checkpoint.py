"""Checkpoints of sharded weights: written by two processes beside their steps, read by one, two and three."""

from __future__ import annotations

import copy
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributed.fsdp import fully_shard

from ofa import SpaceRules, Supernet
from ofa.errors import InvalidInput
from ofa.models import ViT
from ofa.processes import processes
from ofa.task import Batch, classification
from ofa.train import sandwich
from ofa.train.sharded import ShardedStep, step_context
from ofa.train.sharded_checkpoint import ShardedCheckpoint
from ofa.train.shards import RECORD, ShardWriter
from tests.ofa.ranks import on_ranks

IMAGES = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 4
TASK = classification(num_classes=4)
STEPS, STOP = 6, 3


def vision_transformer(width: int = 16) -> Supernet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = ViT((1, 8, 8), 4, patch=4, width=width, depth=1, heads=2)
    return Supernet(net, torch.zeros(2, 1, 8, 8), SpaceRules(width_ratios=(0.5, 1.0), multiple_of=2))


def whole(step: ShardedStep) -> dict[str, Tensor]:
    parameters = step.model.named_parameters()
    return {
        name: (value.full_tensor() if hasattr(value, "full_tensor") else value).detach().clone()
        for name, value in parameters
    }


def learned(
    rank: int, supernet: Supernet, folder: Path, stop: int, begun: Callable[[int], None] = lambda number: None
) -> list[dict[str, Tensor]]:
    """The weights at the beginning, after `STOP` steps and at the end; a checkpoint is begun after `STOP` steps."""
    group = processes()
    step = ShardedStep(copy.deepcopy(supernet), partial(sandwich, label_weight=0.5))
    if not group.alone:
        fully_shard(step)
    optimizer = torch.optim.AdamW(step.parameters(), lr=1e-2)
    checkpoint = ShardedCheckpoint(folder, step, optimizer)
    first = checkpoint.resume()
    seen = [whole(step)]
    batch = Batch(group.rows(IMAGES), group.rows(LABELS))
    for number in range(first, stop):
        loss, _ = step(batch, step_context(number, STEPS, TASK, optimizer))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        checkpoint.after(number + 1)  # not due before ten minutes
        if number + 1 == STOP:
            seen.append(whole(step))
            checkpoint.save(STOP)
        begun(number)
    seen.append(whole(step))
    if begun.__name__ != "hold":
        checkpoint.close(stop)
    else:
        checkpoint.wait()
    return seen


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(tensor.equal(other[name]) for name, tensor in one.items())


def held_until_the_end(rank: int, supernet: Supernet, folder: Path) -> list[dict[str, Tensor]]:
    """As `learned`, whose checkpoint is written only after all steps."""
    over, write = threading.Event(), ShardWriter.write_data

    def held(self: ShardWriter, plan: object, planner: object) -> object:
        over.wait()
        return write(self, plan, planner)

    def hold(number: int) -> None:
        if number + 1 == STEPS:
            over.set()

    ShardWriter.write_data = held  # type: ignore[method-assign]  # in a process of its own
    return learned(rank, supernet, folder, STEPS, hold)


@pytest.mark.slow
def test_two_processes_write_and_any_number_resumes(tmp_path: Path) -> None:
    supernet = vision_transformer()
    _, stopped, ended = on_ranks(2, partial(held_until_the_end, supernet=supernet, folder=tmp_path / "two"))[0]
    (folder,) = (tmp_path / "two").iterdir()
    assert folder.name == "step-000000000003"
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"} and len(list(folder.iterdir())) == 3
    for count in (1, 2, 3):
        shutil.copytree(tmp_path / "two", tmp_path / str(count))
        work = partial(learned, supernet=supernet, folder=tmp_path / str(count), stop=STEPS)
        begun, last = work(0) if count == 1 else on_ranks(count, work)[0]
        assert same(begun, stopped)
        assert same(last, ended) or count != 2
        assert max(float((last[name] - tensor).abs().max()) for name, tensor in ended.items()) < 1e-3
        assert [path.name for path in (tmp_path / str(count)).iterdir()] == ["step-000000000006"]
    assert not same(stopped, ended)


def written(tmp_path: Path) -> Path:
    """The folder of a checkpoint that a process wrote alone."""
    learned(0, vision_transformer(), tmp_path, STOP)
    (folder,) = tmp_path.glob("step-*")
    return folder


def test_what_is_damaged_or_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    with pytest.raises(InvalidInput, match=r"of another model or optimizer: model/model\.\S+ is \(.*\) in it and"):
        learned(0, vision_transformer(width=8), tmp_path, STOP)
    (shard,) = folder.glob("*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InvalidInput, match=f"{shard.name} is damaged .its checksum differs.; delete its folder"):
        learned(0, vision_transformer(), tmp_path, STOP)
    shard.unlink()
    with pytest.raises(InvalidInput, match="lacks files"):
        learned(0, vision_transformer(), tmp_path, STOP)
    (folder / RECORD).write_text("{}")
    with pytest.raises(InvalidInput, match="no kind, version and checksum"):
        learned(0, vision_transformer(), tmp_path, STOP)


def test_a_kill_while_it_is_written_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path)

    def full(self: ShardWriter, metadata: object, results: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(ShardWriter, "finish", full)
        learned(0, vision_transformer(), tmp_path, STEPS)
    assert [path.name for path in tmp_path.glob("step-*")] == [folder.name] and list(tmp_path.glob(".step-*"))
    learned(0, vision_transformer(), tmp_path, STEPS)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000006"]


def test_it_is_due_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    layer = torch.nn.Linear(2, 2)
    checkpoint = ShardedCheckpoint(tmp_path, layer, torch.optim.SGD(layer.parameters(), lr=0.1), seconds=10.0)
    checkpoint.after(1)
    assert not list(tmp_path.iterdir())
    now[0] = 11.0
    checkpoint.after(2)
    checkpoint.after(3)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000002"]
