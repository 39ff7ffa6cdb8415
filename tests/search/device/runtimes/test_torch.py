"""The runtimes of PyTorch: threads are put back, and each network is compiled for itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from ofa.errors import InvalidInput
from search.device.runtimes import TorchCompile, TorchEager


class Threads(nn.Module):
    """Says how many threads PyTorch has while it runs, and whether gradients are recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, bool]] = []

    def __deepcopy__(self, memo: object) -> Threads:
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return images


def test_threads_are_set_for_the_run_alone():
    before, net = torch.get_num_threads(), Threads()
    run = TorchEager(threads=before + 2).load(net, torch.ones(1))
    assert torch.get_num_threads() == before
    run()
    assert torch.get_num_threads() == before
    assert net.seen == [(before + 2, True)]


def test_threads_are_put_back_after_an_error():
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("broken")

    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="broken"):
        TorchEager(threads=before + 1).load(Broken(), torch.ones(1))()
    assert torch.get_num_threads() == before


def test_more_networks_of_one_class_than_dynamo_keeps_are_all_compiled():
    torch._dynamo.reset()
    counters.clear()
    runs = [TorchCompile(backend="eager").load(nn.Linear(4, width), torch.ones(1, 4)) for width in range(1, 13)]
    assert counters["stats"]["unique_graphs"] == 12
    assert [run().shape[1] for run in runs] == list(range(1, 13))
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)  # of another stage: a network that is compiled for one is not compiled anew
    try:
        assert [run().shape[1] for run in runs] == list(range(1, 13))
    finally:
        torch.set_num_threads(threads)
    assert counters["stats"]["unique_graphs"] == 12


def test_a_network_that_is_no_single_graph_is_refused():
    class Branching(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images if images.sum() > 0 else -images

    with pytest.raises(InvalidInput, match="Branching does not compile as one graph") as error:
        TorchCompile(backend="eager").load(Branching(), torch.ones(1))
    assert "\n" not in str(error.value)
