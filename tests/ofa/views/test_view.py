"""A view is an ordinary module: nothing in the supernet changes, and several live side by side."""

import functools
import threading
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import ofa
from ofa.models import ResNet
from tests.ofa.nets import SHAPE, from_zoo, shipped
from tests.ofa.zoo import Headed, Loop, Residual, SharedBlock, example

RULES = ofa.SpaceRules(multiple_of=1)


def test_views_are_of_the_original_classes_and_share_storage() -> None:
    supernet, _ = from_zoo("residual")
    view = supernet.subnet(supernet.space.smallest)
    originals = {type(module) for module in supernet.model.modules()}
    assert {type(module) for module in view.modules()} <= originals
    stem = view.get_submodule("body.0").weight
    full = supernet.model.get_submodule("body.0").weight
    assert stem.untyped_storage().data_ptr() == full.untyped_storage().data_ptr()
    assert stem.shape == (2, 3, 1, 1)
    assert view.get_submodule("body.0").out_channels == 2


def test_the_extract_holds_parameters_of_its_own() -> None:
    supernet, images = from_zoo("residual")
    net = supernet.extract(supernet.space.smallest)
    assert all(isinstance(parameter, nn.Parameter) and parameter.is_leaf for parameter in net.parameters())
    before = supernet.digest
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    net.train()(images)
    assert supernet.digest == before


def test_norm_statistics_belong_to_the_view() -> None:
    supernet, images = from_zoo("residual")
    before = {name: buffer.clone() for name, buffer in supernet.model.named_buffers()}
    view = supernet.subnet(supernet.space.largest).train()
    buffers = {name: buffer.clone() for name, buffer in view.named_buffers()}
    view(images)
    assert all(torch.equal(buffer, before[name]) for name, buffer in supernet.model.named_buffers())
    assert any(not torch.equal(buffer, buffers[name]) for name, buffer in view.named_buffers())
    assert not supernet.model.training


def test_gradients_reach_the_supernet_and_only_its_kept_slice() -> None:
    supernet, images = from_zoo("residual")
    supernet.subnet(supernet.space.smallest)(images).sum().backward()
    stem = supernet.model.get_submodule("body.0").weight
    assert stem.grad is not None
    assert stem.grad[:2].abs().sum() > 0
    assert stem.grad[2:].abs().sum() == 0
    dropped = supernet.model.get_submodule("body.1.1.conv1").weight
    assert dropped.grad is None


@pytest.mark.parametrize("model", ["residual", "dense", "gated_chunk", "sequence", "shared", "normed_mlp"])
def test_accumulating_gives_the_same_gradients(model: str) -> None:
    supernet, images = from_zoo(model)
    rng = np.random.default_rng(0)
    for _ in range(5):
        arch = supernet.space.sample(rng)
        supernet.model.zero_grad()
        supernet.subnet(arch)(images).square().sum().backward()
        expected = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in supernet.parameters()]
        for parameter in supernet.parameters():
            parameter.grad = torch.zeros_like(parameter)
        kept = [parameter.grad for parameter in supernet.parameters()]
        view = supernet.subnet(arch, accumulate=True)
        view(images).square().sum().backward()
        for parameter, same, gradient in zip(supernet.parameters(), kept, expected, strict=True):
            assert parameter.grad is same
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-12)


def test_accumulating_without_gradients_is_refused() -> None:
    supernet, _ = from_zoo("residual")
    with pytest.raises(ofa.InvalidInput, match=r"zero \.grad first"):
        supernet.subnet(supernet.space.smallest, accumulate=True)


def test_contiguous_views_are_equal_and_gradients_still_reach_the_supernet() -> None:
    supernet, images = from_zoo("residual")
    for arch in (supernet.space.smallest, supernet.space.sample(np.random.default_rng(1)), supernet.space.largest):
        supernet.model.zero_grad()
        supernet.subnet(arch)(images).square().sum().backward()
        expected = [parameter.grad for parameter in supernet.parameters()]
        supernet.model.zero_grad()
        view = supernet.subnet(arch, contiguous=True)
        assert all(parameter.is_contiguous() for parameter in view.parameters())
        output = view(images)
        torch.testing.assert_close(output, supernet.subnet(arch)(images), rtol=1e-12, atol=1e-12)
        output.square().sum().backward()
        for parameter, gradient in zip(supernet.parameters(), expected, strict=True):
            assert (parameter.grad is None) == (gradient is None)
            if gradient is not None:
                torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-10)
    with pytest.raises(ofa.InvalidInput, match="choose one"):
        supernet.subnet(supernet.space.largest, accumulate=True, contiguous=True)


def test_shared_modules_and_tied_weights_stay_shared() -> None:
    supernet = ofa.Supernet(Headed(SharedBlock(), 8), example(), RULES)
    for net in (supernet.subnet(supernet.space.smallest), supernet.extract(supernet.space.smallest)):
        assert net.get_submodule("body.one").weight is net.get_submodule("body.two").weight
    model = nn.Sequential(OrderedDict(stem=nn.Conv2d(3, 8, 1), a=Residual(8)))
    model.add_module("b", model.a)
    model.add_module("last", nn.Conv2d(8, 2, 1))
    net = ofa.Supernet(model, example(), RULES)
    view = net.subnet(net.space.smallest)
    assert view.a is view.b


def test_a_shallower_list_counts_anew_like_one_built_so() -> None:
    supernet = ofa.Supernet(Headed(Loop(), 8), example(), RULES)
    net = supernet.extract(supernet.space.arch({"depth.body.blocks": 1}))
    assert [name for name, _ in net.body.blocks.named_children()] == ["0"]


def test_the_state_dict_loads_into_a_hand_built_model() -> None:
    supernet = ofa.Supernet(ResNet(SHAPE, 10, depth=20, widths=[16, 32, 64]), torch.randn(2, *SHAPE))
    values = {choice.key: choice.values[0] for choice in supernet.space.choices if choice.kind == "width"}
    arch = supernet.space.arch(values)
    net = supernet.extract(arch).eval()
    built = ResNet(SHAPE, 10, depth=20, widths=[8, 8, 16]).eval()
    built.load_state_dict(net.state_dict())
    images = torch.randn(2, *SHAPE)
    torch.testing.assert_close(built(images), net(images), rtol=0, atol=0)
    assert repr(built) == repr(net)


@pytest.mark.parametrize("name", ["lenet5", "resnet20_pad", pytest.param("mobilenet", marks=pytest.mark.slow)])
def test_torch_export_takes_the_extract(name: str) -> None:
    supernet, images = shipped(name)
    net = supernet.extract(supernet.space.sample(np.random.default_rng(0))).eval()
    program = torch.export.export(net, (images,))
    torch.testing.assert_close(program.module()(images), net(images), rtol=1e-12, atol=1e-12)


def test_views_follow_the_supernet_when_it_is_converted_or_loaded() -> None:
    supernet, images = from_zoo("residual")
    supernet.model.float()
    assert supernet.subnet(supernet.space.smallest)(images.float()).dtype == torch.float32
    state = {name: torch.zeros_like(tensor) for name, tensor in supernet.model.state_dict().items()}
    supernet.model.load_state_dict(state, assign=True)
    assert supernet.subnet(supernet.space.smallest)(images.float()).abs().sum() == 0


def test_hooks_of_the_model_run_in_its_views() -> None:
    supernet, images = from_zoo("residual")
    seen = []
    supernet.model.head.register_forward_hook(lambda module, inputs, output: seen.append(module.in_features))
    supernet.subnet(supernet.space.smallest)(images)
    assert seen == [2]


def test_hooks_put_on_a_view_stay_there() -> None:
    supernet, images = from_zoo("residual")
    seen = []
    view = supernet.subnet(supernet.space.smallest)
    view.head.register_forward_hook(lambda module, inputs, output: seen.append(1))
    supernet.model(images)
    supernet.subnet(supernet.space.smallest)(images)
    assert not seen
    view(images)
    assert seen == [1]


def test_an_arch_of_another_space_is_refused() -> None:
    supernet, _ = from_zoo("residual")
    with pytest.raises(ofa.InvalidArch, match="is not a choice"):
        supernet.subnet(ofa.Arch(width={"other": 8}))


def test_two_threads_on_one_supernet_get_no_wrong_result() -> None:
    supernet, images = from_zoo("residual")
    rng = np.random.default_rng(0)
    archs = [supernet.space.sample(rng) for _ in range(20)]
    with torch.no_grad():
        expected = {arch: supernet.extract(arch)(images) for arch in archs}
    wrong: list[ofa.Arch] = []

    def work(seed: int) -> None:
        order = np.random.default_rng(seed).integers(len(archs), size=1000)
        with torch.no_grad():
            for i in order:
                arch = archs[i]
                if not torch.equal(supernet.subnet(arch)(images), expected[arch]):
                    wrong.append(arch)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_methods_that_are_bound_to_the_model_are_bound_to_the_copy() -> None:
    torch.manual_seed(0)
    model = ResNet(SHAPE, 10, depth=8).eval()
    block = model.get_submodule("stages.0.0")
    forward = type(block).forward
    block.forward = functools.partial(forward.__get__(block))  # type: ignore[method-assign] # as wrappers of modules do
    model.heard = []  # type: ignore[assignment]
    model.hear = types.MethodType(lambda self, *_: self.heard.append(self), model)  # type: ignore[assignment]
    model.get_submodule("stem").register_forward_hook(model.hear)  # type: ignore[arg-type]
    images = torch.randn(2, *SHAPE)
    supernet = ofa.Supernet(model, images, ofa.SpaceRules(multiple_of=4))
    heard = len(model.heard)  # type: ignore[arg-type]
    small = supernet.extract(supernet.space.smallest)
    with torch.no_grad():
        whole, before = model(images), small(images)
        assert model.heard[heard:] == [model, small]  # type: ignore[index]
        for parameter in model.parameters():
            parameter.mul_(1.5)
        assert torch.equal(small(images), before) and not torch.equal(model(images), whole)
    assert any("stages.0" in name for name in supernet.space.smallest.width)
