"""Channels last in memory: the same training but for the order of sums, resumed with the same bits."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import pytest
import torch

import ofa
from ofa.identity import digest_of
from ofa.task import Batch
from ofa.train.memory_format import batch_channels_last, channels_last_
from tests.ofa.train.shared_trainings import apart, network, pruned, same_everywhere, together, trained

FUSED = partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, fused=True)
LAST = torch.channels_last


def is_last(name: str, tensor: torch.Tensor) -> bool:
    return "conv" not in name or tensor.dim() != 4 or tensor.is_contiguous(memory_format=LAST)


def test_weights_and_images_are_laid_out_and_all_else_is_as_it_was() -> None:
    net = copy.deepcopy(network("small"))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    channels_last_(net)
    assert all(is_last(name, tensor) and tensor.equal(before[name]) for name, tensor in net.state_dict().items())
    assert net.net.conv2.weight.stride() != before["net.conv2.weight"].stride()
    images, rows = torch.randn(2, 3, 4, 4), torch.randn(2, 5)
    batch = batch_channels_last(Batch({"images": images, "rows": rows}, targets=torch.arange(2)))
    assert batch.inputs.kwargs["images"].is_contiguous(memory_format=LAST)
    assert batch.inputs.kwargs["images"].equal(images) and batch.inputs.kwargs["rows"] is rows
    assert batch_channels_last(Batch(images)).inputs.is_contiguous(memory_format=LAST)


def test_digests_are_of_weights_in_whatever_layout() -> None:
    net = ofa.models.ResNet((1, 8, 8), 4, depth=8, widths=(8, 16, 16))  # kernels of 1x1, and of one input channel
    supernet = ofa.Supernet(net, torch.zeros(1, 1, 8, 8))
    before = supernet.digest, digest_of(net)
    channels_last_(net)
    assert (supernet.digest, digest_of(net)) == before


def test_a_supernet_is_trained_as_without_it() -> None:
    usual = trained(0, optimizer=FUSED)
    last = trained(0, optimizer=FUSED, channels_last=True)
    assert apart(usual, last) < 1e-10
    assert all(is_last(name, tensor) for name, tensor in last["weights"].items())


@pytest.mark.parametrize("optimizer", [FUSED, partial(torch.optim.AdamW, lr=1e-3, fused=True)])
def test_it_resumes_with_the_same_bits(optimizer: partial[torch.optim.Optimizer], tmp_path: Path) -> None:
    """Steps of fused optimizers go through memory as it lies: state in another layout would be of other weights."""
    changes = {"optimizer": optimizer, "channels_last": True, "ema": 0.9, "checkpoint": tmp_path / "training"}
    whole = trained(0, **changes | {"checkpoint": None})
    trained(0, **changes, stop_step=5)
    assert apart(whole, trained(0, **changes)) == 0


def test_two_processes_end_as_one() -> None:
    results = together(2, optimizer=FUSED, channels_last=True)
    assert same_everywhere(results)
    assert apart(results[0], trained(0, optimizer=FUSED)) < 1e-10


def test_a_network_is_pruned_as_without_it() -> None:
    usual, last = pruned(0), pruned(0, channels_last=True)
    assert apart(usual, last) < 1e-10
    assert all(mask.equal(last["masks"][name]) for name, mask in usual["masks"].items())
