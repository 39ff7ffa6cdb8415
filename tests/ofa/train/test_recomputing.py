"""Blocks that are computed anew: the same bits, with less kept for the backward pass."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.train import TrainSettings
from ofa.train.recomputing import blocks_of, recomputed, recomputed_view
from ofa.train.step import training_view
from tests.ofa.train.network_training import Net
from tests.ofa.train.network_training import fit as fit_network
from tests.ofa.train.supernet_trainings import QUICK, fit, same

IMAGES = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def kept_bytes(run) -> int:
    """What autograd holds of a forward pass, each storage once."""
    held: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(held.values())


def test_a_supernet_ends_with_the_same_bits(make_supernet, data):
    plain, anew = make_supernet(), make_supernet()
    fit(plain, data)
    fit(anew, data, checkpoint_gradients=True)
    assert same(plain.model, anew.model)


def test_a_network_ends_with_the_same_bits_and_norm_statistics(make_supernet, data):
    plain, anew = make_supernet().model, make_supernet().model
    for net, recompute in ((plain, False), (anew, True)):
        fit_network(net, data, checkpoint_gradients=recompute)
    assert same(plain, anew)
    assert all("forward" not in vars(module) for module in anew.modules())


def test_blocks_are_the_outermost_with_siblings_of_their_class(make_supernet):
    model = make_supernet().model
    assert blocks_of(model) == list(model.blocks)
    net = Net()
    assert blocks_of(net) == [net]


def test_less_is_kept(make_supernet):
    supernet = make_supernet()
    for parameter in supernet.parameters():
        parameter.grad = torch.zeros_like(parameter)
    largest = supernet.space.largest
    plain, anew = (make(supernet, largest).train() for make in (training_view, recomputed_view))
    assert kept_bytes(lambda: anew(IMAGES)) < 0.8 * kept_bytes(lambda: plain(IMAGES))
    net: nn.Module = copy.deepcopy(supernet.model)
    with recomputed(net):
        less = kept_bytes(lambda: net(IMAGES))
    assert less < 0.8 * kept_bytes(lambda: net(IMAGES))


def test_what_cannot_run_twice_is_refused():
    for other in ("compile", "synchronize_norms"):
        settings = {name: value for name, value in QUICK.items() if name != "strategy"}
        try:
            TrainSettings(**settings | {"checkpoint_gradients": True, other: True})
        except InvalidInput as error:
            assert f"and {other}=True cannot" in str(error)
        else:
            raise AssertionError
