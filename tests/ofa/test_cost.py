"""Closed-form costs equal what a forward counts and what the tensors hold."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import ofa
from ofa._cost import entries_of
from tests.ofa.nets import SHIPPED, from_zoo, shipped
from tests.ofa.zoo import PLAIN


def check(supernet: ofa.Supernet, images: torch.Tensor, count: int) -> None:
    rng = np.random.default_rng(0)
    archs = [
        supernet.space.largest,
        supernet.space.smallest,
        *(supernet.space.sample(rng) for _ in range(count)),
    ]
    costs = ofa.cost(supernet, archs)
    for i, arch in enumerate(archs):
        net = supernet.extract(arch).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(images[:1])
        assert 2 * costs["macs"][i] == counter.get_total_flops()
        assert costs["params"][i] == sum(parameter.numel() for parameter in net.parameters())
        stored = {t.data_ptr(): t.nbytes for t in [*net.parameters(), *net.buffers()]}
        assert costs["bytes"][i] == sum(stored.values())
    names = [name for name, _ in supernet.model.named_parameters()]
    entries = entries_of(supernet, archs, names)
    np.testing.assert_array_equal(entries.sum(axis=0), costs["params"])
    largest = [parameter.numel() for _, parameter in supernet.model.named_parameters()]
    np.testing.assert_array_equal(entries[:, 0], largest)


LARGE = ("mobilenet", "resnet56")
MODELS = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in SHIPPED]


@pytest.mark.parametrize("name", MODELS)
def test_shipped_models(name: str) -> None:
    check(*shipped(name), count=4)


@pytest.mark.parametrize("name", PLAIN)
def test_other_peoples_models(name: str) -> None:
    check(*from_zoo(name), count=4)


def test_costs_grow_with_every_choice() -> None:
    supernet, _ = shipped("mobilenet")
    rng = np.random.default_rng(1)
    pairs = []
    for _ in range(10):
        values = supernet.space.arch_values(rng)
        for choice in supernet.space.choices:
            smaller = supernet.space.arch({**values, choice.key: choice.values[0]})
            larger = supernet.space.arch({**values, choice.key: choice.values[-1]})
            if smaller != larger:
                pairs.append((smaller, larger))
    less, more = (ofa.cost(supernet, list(archs)) for archs in zip(*pairs, strict=True))
    for metric in ("macs", "params"):
        assert np.all(less[metric] < more[metric])


def test_layers_and_activations_count_what_runs() -> None:
    supernet, _ = from_zoo("residual")
    costs = ofa.cost(supernet, [supernet.space.largest, supernet.space.smallest])
    assert costs["layers"].tolist() == [6, 4]
    assert costs["activations"].tolist() == [5 * 8 * 36 + 5, 3 * 2 * 36 + 5]


def test_nothing_gives_empty_arrays() -> None:
    supernet, _ = from_zoo("residual")
    assert {name: values.shape for name, values in ofa.cost(supernet, []).items()}["macs"] == (0,)
