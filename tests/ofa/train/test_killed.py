"""A training process that is killed again and again ends with the same bits as one that was let be."""

from __future__ import annotations

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
from ofa.data import digits
from ofa.data.augment import random_shift
from ofa.models import ResNet
from ofa.train import sandwich, train

KILLS = 10
REPOSITORY = Path(__file__).parents[3]


def run(path: Path) -> None:
    """Trains with a checkpoint after every third step, and says so at its first step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    supernet = Supernet(ResNet((1, 8, 8), 10, depth=8, widths=(8, 16, 16)), torch.zeros(2, 1, 8, 8))

    def telling(supernet, images, labels, context):
        print(context.step, flush=True)
        return sandwich(supernet, images, labels, context)

    train(
        supernet,
        digits(),
        strategy=telling,
        optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, fused=True),
        epochs=4,
        batch_size=32,
        augment=partial(random_shift, pixels=1),
        checkpoint=path,
        checkpoint_steps=3,
        validate_every=2,
    )


def start(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, str(path)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_ten_times(tmp_path):
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    assert start(whole).wait() == 0
    moments = random.Random(time.time())
    first_steps = []
    for _ in range(KILLS):
        process = start(killed)
        first = process.stdout.readline()  # empty once there is nothing left to train
        first_steps.append(int(first or 4 * (1079 // 32)))
        time.sleep(moments.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if killed.exists():
            load_checkpoint(killed)  # whatever the moment, the file is whole
    assert start(killed).wait() == 0
    assert first_steps == sorted(first_steps) and len(set(first_steps)) > 2, first_steps
    expected, meta = load_checkpoint(whole)
    got, meta_killed = load_checkpoint(killed)
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, got[name]), name
    untimed = [
        [{key: value for key, value in row.items() if key != "seconds"} for row in one["progress"]["history"]]
        for one in (meta, meta_killed)
    ]
    assert untimed[0] == untimed[1] and len(untimed[0]) == 4


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    run(Path(sys.argv[1]))
