"""A training process that is killed again and again ends with the same bits as one that was let be."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from ofa import Supernet
from ofa.checkpoint import load_checkpoint
from ofa.data import synthetic
from ofa.data.augment import random_shift
from ofa.models import ResNet
from ofa.train import TrainSettings, sandwich, train

KILLS = 10
EPOCHS = 4
REPOSITORY = Path(__file__).parents[3]


def train_in_child(supernet: Supernet, path: Path) -> tuple[int, int]:
    """Starts a process that trains to the end; returns its id and a pipe with a line for each step begun."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading

    def telling(supernet, batch, context):
        os.write(writing, f"{context.step}\n".encode())
        return sandwich(supernet, batch, context)

    train(
        supernet,
        synthetic(image_size=8, num_classes=10, samples=480),
        telling,
        TrainSettings(
            optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, fused=True),
            epochs=EPOCHS,
            batch_size=16,
            augment=partial(random_shift, pixels=1),
            ema=0.9,
            checkpoint_steps=3,
            validate_every=2,
        ),
        checkpoint=path,
    )
    os._exit(0)


def kill_and_restart(folder: Path) -> None:
    """Trains once untouched and once with kills; prints the step that each process began with."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    # Built once and forked: each process is real, but need not import and convert anew.
    supernet = Supernet(ResNet((1, 8, 8), 10, depth=8, widths=(8, 16, 16)), torch.zeros(2, 1, 8, 8))
    whole, killed = folder / "whole.safetensors", folder / "killed.safetensors"
    process, pipe = train_in_child(supernet, whole)
    assert os.waitpid(process, 0)[1] == 0
    os.close(pipe)
    moments = random.Random()
    began = []
    for _ in range(KILLS):
        process, pipe = train_in_child(supernet, killed)
        with os.fdopen(pipe) as steps:
            began.append(steps.readline().strip())
            for _ in range(moments.randrange(12)):
                steps.readline()
        time.sleep(moments.uniform(0, 0.05))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        if killed.exists():
            load_checkpoint(killed)  # whatever the moment, the file is whole
    process, pipe = train_in_child(supernet, killed)
    assert os.waitpid(process, 0)[1] == 0
    os.close(pipe)
    print(json.dumps(began))


@pytest.mark.slow
def test_killed_ten_times(tmp_path):
    command = [sys.executable, __file__, str(tmp_path)]
    answer = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True, timeout=500)
    began = [int(step) for step in json.loads(answer.stdout) if step]
    assert began == sorted(began) and len(set(began)) > 3, began
    expected, meta = load_checkpoint(tmp_path / "whole.safetensors")
    got, meta_killed = load_checkpoint(tmp_path / "killed.safetensors")
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, got[name]), name
    untimed, untimed_killed = (
        [{key: value for key, value in row.items() if key != "seconds"} for row in one["progress"]["history"]]
        for one in (meta, meta_killed)
    )
    assert untimed == untimed_killed and len(untimed) == EPOCHS


if __name__ == "__main__":
    kill_and_restart(Path(sys.argv[1]))
