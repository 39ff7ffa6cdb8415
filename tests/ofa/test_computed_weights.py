"""Layers that compute their weights: views, copies, masks, training and files agree as those of plain layers do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

import ofa
from ofa.computed_weights import computed_weights, copied, make_plain_, plain_copy
from ofa.spectral_norms import iterate_
from tests.ofa.computed_models import (
    IMAGES,
    KINDS,
    RULES,
    SPECTRAL,
    WRAPPED,
    supernet_of,
    wrapped,
)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
MEANS = ("centered", "two")


def archs(supernet: ofa.Supernet, count: int = 5) -> list[ofa.Arch]:
    rng = np.random.default_rng(0)
    return [supernet.space.smallest, *(supernet.space.sample(rng) for _ in range(count))]


def masked(supernet: ofa.Supernet, arch: ofa.Arch) -> nn.Module:
    """The whole network with the removed units' weights zeroed, then its spectral norms estimated, then made plain."""
    units = supernet.units(arch)
    net = copied(supernet.model).eval()
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    for name, tensor in tensors.items():
        if isinstance(tensor, nn.Parameter) and not (name.endswith(("original0", "_g"))):
            for axis in supernet.axes.get(name, ()):
                gone = np.setdiff1d(np.arange(axis.size), axis.kept_positions([units[i] for i in axis.groups]))
                with torch.no_grad():
                    tensor.index_fill_(axis.dim, torch.from_numpy(gone), 0)
    before = supernet.extract(arch)
    for (path, layer), small in zip(net.named_modules(), before.modules(), strict=True):
        if path in WRAPPED and small.weight.shape != layer.weight.shape:  # type: ignore[union-attr]
            iterate_(layer)
    plain = make_plain_(net)
    for name in WRAPPED:
        weight = plain.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        source = _original(supernet, name)
        weight.detach().nan_to_num_(0)
        for axis in supernet.axes.get(source, ()):
            gone = np.setdiff1d(np.arange(axis.size), axis.kept_positions([units[i] for i in axis.groups]))
            weight.detach().index_fill_(axis.dim, torch.from_numpy(gone), 0)
    return plain


def _original(supernet: ofa.Supernet, layer: str) -> str:
    (weight,) = computed_weights(supernet.model.get_submodule(layer))
    return f"{layer}.{weight.original}"


@pytest.mark.parametrize("kind", KINDS)
def test_view_copy_and_masked_network_agree(kind: str) -> None:
    supernet = supernet_of(kind)
    for arch in archs(supernet):
        view, extracted = supernet.subnet(arch), supernet.extract(arch)
        with torch.no_grad():
            seen = view(IMAGES)
            assert torch.equal(seen, extracted(IMAGES))
            if kind not in MEANS:  # zeros change means, which the trial takes over what is kept
                torch.testing.assert_close(seen, masked(supernet, arch)(IMAGES), rtol=1e-4, atol=1e-5)
    largest = supernet.space.largest
    with torch.no_grad():
        for whole in (supernet.subnet(largest), supernet.extract(largest)):
            assert torch.equal(whole(IMAGES), supernet.model(IMAGES))


@pytest.mark.parametrize("kind", KINDS)
def test_costs_are_those_of_the_extracted_network(kind: str) -> None:
    supernet = supernet_of(kind)
    for arch in archs(supernet, 2):
        net = supernet.extract(arch)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net(IMAGES[:1])
        cost = ofa.cost(supernet, [arch])
        assert 2 * cost["macs"][0] == counter.get_total_flops()
        assert cost["params"][0] == sum(parameter.numel() for parameter in net.parameters())
        plain = ofa.cost(ofa.Supernet(plain_copy(supernet.model), IMAGES, RULES), [arch])
        assert {name: cost[name][0] for name in ("macs", "layers", "activations", "depthwise_macs")} == {
            name: plain[name][0] for name in ("macs", "layers", "activations", "depthwise_macs")
        }
        assert ofa.peak_activation_bytes(supernet, [arch])[0] == ofa.measure_peak_activation_bytes(net, IMAGES)


@pytest.mark.parametrize("kind", KINDS)
def test_the_extracted_state_fits_the_network_built_so(kind: str) -> None:
    supernet = supernet_of(kind)
    for arch in archs(supernet, 2):
        extracted = supernet.extract(arch)
        widths = {choice.key: arch.values[choice.key] for choice in supernet.space.choices}
        built = wrapped(kind, widths["width.stem"], widths["width.body"], widths["width.fc1"]).eval()
        built.load_state_dict(extracted.state_dict())
        with torch.no_grad():
            torch.testing.assert_close(built(IMAGES), extracted(IMAGES), rtol=0, atol=1e-6)
            again = copied(extracted)
            assert torch.equal(again(IMAGES), extracted(IMAGES))
        assert extracted.fc1.out_features == widths["width.fc1"]
        assert type(extracted.body) is type(supernet.model.body) or "Parametrized" in type(extracted.body).__name__


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_extracted_network(kind: str, accumulate: bool) -> None:
    supernet = ofa.Supernet(wrapped(kind).eval(), IMAGES, RULES)
    labels = torch.arange(len(IMAGES))
    arch = archs(supernet)[2]
    extracted = supernet.extract(arch)
    functional.cross_entropy(extracted(IMAGES), labels).backward()
    for parameter in supernet.parameters():
        parameter.grad = torch.zeros_like(parameter)
    functional.cross_entropy(supernet.subnet(arch, accumulate=accumulate)(IMAGES), labels).backward()
    units = supernet.units(arch)
    for name, parameter in extracted.named_parameters():
        whole = dict(supernet.model.named_parameters())[name].grad
        assert whole is not None and parameter.grad is not None
        expected = torch.zeros_like(whole)
        index = [torch.arange(size) for size in whole.shape]
        for axis in supernet.axes.get(name, ()):
            index[axis.dim] = torch.from_numpy(axis.kept_positions([units[i] for i in axis.groups]))
        expected[torch.meshgrid(*index, indexing="ij") if index else ()] = parameter.grad
        torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-6)
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in extracted.parameters() if parameter.dim() > 1)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "hook weight_norm", "hook spectral_norm"])
def test_a_supernet_trains(kind: str) -> None:
    supernet = ofa.Supernet(wrapped(kind).train(), IMAGES, RULES)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9)
    labels = torch.arange(len(IMAGES))
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        chosen = (supernet.space.largest, supernet.space.smallest, supernet.space.sample(rng))
        each = [functional.cross_entropy(supernet.subnet(arch)(IMAGES), labels) for arch in chosen]
        torch.stack(each).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append([float(loss.detach()) for loss in each[:2]])
    assert losses[-1][0] < 0.5 * losses[0][0] and losses[-1][1] < 0.9 * losses[0][1]
    if kind in SPECTRAL:
        for net in (supernet.model, ofa.calibrate(supernet.subnet(supernet.space.smallest), IMAGES)):
            net.eval()(IMAGES)  # hooks compute weights before a forward
            for name in WRAPPED:
                weight = net.get_submodule(name).weight
                assert isinstance(weight, Tensor)
                largest = torch.linalg.svdvals(weight.detach().flatten(1))[0]
                assert float(largest) == pytest.approx(1, abs=0.1), name


@pytest.mark.parametrize("kind", KINDS)
def test_sorting_does_not_change_the_function(kind: str) -> None:
    supernet = ofa.Supernet(wrapped(kind).eval(), IMAGES, RULES)
    with torch.no_grad():
        before = supernet.model(IMAGES)
        ofa.sort_channels_(supernet)
        torch.testing.assert_close(supernet.model(IMAGES), before, rtol=1e-4, atol=1e-5)
    assert not supernet.unsortable


@pytest.mark.parametrize("kind", ["weight_norm", "hook spectral_norm"])
def test_a_saved_supernet_comes_back(kind: str, tmp_path: Path) -> None:
    supernet = ofa.Supernet(wrapped(kind).eval(), IMAGES, RULES)
    ofa.save(supernet, tmp_path / "saved")
    torch.manual_seed(5)
    other = wrapped(kind).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    loaded = ofa.load(tmp_path / "saved", other)
    arch = archs(supernet)[1]
    with torch.no_grad():
        assert torch.equal(loaded.extract(arch)(IMAGES), supernet.extract(arch)(IMAGES))


def test_bfloat16_agrees() -> None:
    supernet = ofa.Supernet(wrapped("weight_norm").to(torch.bfloat16).eval(), IMAGES.bfloat16(), RULES)
    for arch in archs(supernet, 3):
        with torch.no_grad():
            seen = supernet.subnet(arch)(IMAGES.bfloat16())
            assert torch.equal(seen, supernet.extract(arch)(IMAGES.bfloat16()))


def test_an_extracted_network_can_be_made_plain_and_leaves_the_supernet_alone() -> None:
    supernet = ofa.Supernet(wrapped("weight_norm").eval(), IMAGES, RULES)
    arch = archs(supernet)[1]
    with torch.no_grad():
        expected = supernet.subnet(arch)(IMAGES)
        extracted, other = supernet.extract(arch), supernet.extract(arch)
        for name in WRAPPED:
            parametrize.remove_parametrizations(extracted.get_submodule(name), "weight")
        for net in (extracted, other, supernet.subnet(arch)):
            torch.testing.assert_close(net(IMAGES), expected, rtol=0, atol=1e-6)
