"""One shot: whole networks pruned with data and no training, and what is left refitted."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ofa import InvalidInput
from ofa.inputs import Inputs, as_inputs, output_tensors
from ofa.models import GPT
from ofa.prune import OneShot, Pruner
from ofa.prune.allocation import per_layer
from ofa.prune.granularity import channel
from ofa.prune.reconstruction import Method, obs, one_shot, reconstruct_, wanda
from ofa.prune.weights import prunable_weights
from ofa.randomize import randomize_
from ofa.task import Batch, as_batch
from tests.ofa.prune.patterns import keeps_pattern
from tests.ofa.several_inputs import TwoTowers, examples

IMAGES = torch.randn(24, 4, 8, 8, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(0, 11, (24, 6), generator=torch.Generator().manual_seed(1))
WORDS = torch.randn(24, 5, 8, generator=torch.Generator().manual_seed(2))


def convolutions() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(4, 8, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, stride=2, groups=8), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3, stride=2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(4 * 7 * 7, 5)),
    )


class Tokens(nn.Module):
    """Token inputs in a dictionary, with a mask and a tied output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.words.weight

    def forward(self, input_ids: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.block(self.words(input_ids), src_key_padding_mask=hidden))}


DECODER = Inputs(WORDS, torch.randn(24, 7, 8, generator=torch.Generator().manual_seed(3)))
MODELS: dict[str, tuple[Callable[[], nn.Module], list[Any]]] = {
    "convolutions": (convolutions, [IMAGES[:16], IMAGES[16:]]),
    "tokens": (Tokens, [{"input_ids": TOKENS, "hidden": TOKENS == 0}]),
    "decoder": (lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), [Batch(DECODER)]),
    "recurrent": (lambda: nn.LSTM(8, 8, num_layers=2, batch_first=True), [WORDS[:12], WORDS[12:]]),
    "gpt": (lambda: GPT((6,), 11, width=8, depth=2, heads=2, head_size=4), [(TOKENS, TOKENS[:, 0])]),
}


def outputs(model: nn.Module, batches: list[Any]) -> Tensor:
    with torch.no_grad():
        return torch.cat([output_tensors(as_inputs(as_batch(b).inputs).call(model.eval()))[0] for b in batches])


def made(name: str) -> tuple[nn.Module, list[Any]]:
    torch.manual_seed(0)
    make, batches = MODELS[name]
    return randomize_(make()), batches


@pytest.mark.parametrize("name", MODELS)
def test_what_is_left_makes_up_for_what_goes(name: str) -> None:
    model, batches = made(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    wanted = outputs(model, batches)
    errors = {}
    for method in (obs, wanda):
        net = copy.deepcopy(model).train()
        masks = one_shot(net, batches, 0.5, method=method, allocation=per_layer)
        assert set(masks) == set(prunable_weights(model)) - {"positions"} and net.training
        assert sum(int(m.sum()) for m in masks.values()) == sum(
            m.numel() - round(m.numel() / 2) for m in masks.values()
        )
        assert all(not bool(net.get_parameter(key)[~mask].any()) for key, mask in masks.items())
        errors[method] = float((outputs(net, batches) - wanted).norm() / wanted.norm())
        if method is wanda:
            assert all(torch.equal(net.get_parameter(key)[mask], before[key][mask]) for key, mask in masks.items())
    by_size = copy.deepcopy(model)
    Pruner(by_size, schedule=OneShot(0.5), allocation=per_layer).finalize()
    assert errors[obs] < 1.2 * errors[wanda] and errors[obs] < 0.5  # of layers it is the least, of their whole nearly
    assert errors[obs] < float((outputs(by_size, batches) - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("method", [obs, wanda])
def test_two_of_four_hold_along_the_inputs(method: Method) -> None:
    model, batches = made("convolutions")
    masks = one_shot(model, batches, 0.5, method=method, pattern=(2, 4))
    # Two inputs a group, a depthwise convolution, and a transposed one, whose rows are inputs: no four in a row.
    assert set(masks) == {"8.weight"}
    assert all(keeps_pattern(mask, 2, 4) for mask in masks.values())
    dense = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 4, 3))
    masks = one_shot(dense, [IMAGES], 0.5, method=method, pattern=(2, 4))
    assert set(masks) == {"0.weight", "1.weight"} and all(keeps_pattern(mask, 2, 4) for mask in masks.values())
    assert all(int(mask.sum()) * 2 == mask.numel() for mask in masks.values())


def test_layers_that_lost_inputs_are_refitted_to_the_whole_networks_outputs() -> None:
    torch.manual_seed(0)
    # Half of the hidden channels repeat the others, so that outputs can be given back exactly.
    model = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(216, 3))
    with torch.no_grad():
        model[0].weight[4:], model[0].bias[4:] = model[0].weight[:4], model[0].bias[:4]
    reference = copy.deepcopy(model)
    wanted = outputs(reference, [IMAGES])
    pruner = Pruner(model, granularity=lambda *parts: channel(*parts, multiple_of=1), example_input=IMAGES[:2])
    masks = {name: mask.clone() for name, mask in pruner.masks.items()}
    for name, dim in (("0.weight", 0), ("0.bias", 0), ("2.weight", 1)):
        masks[name].index_fill_(dim, torch.arange(4), False)
    pruner.set_masks(masks)
    lost = float((outputs(model, [IMAGES]) - wanted).norm())
    reconstruct_(model, reference, [IMAGES], pruner.masks, damping=1e-9)
    assert float((outputs(model, [IMAGES]) - wanted).norm()) < 1e-3 * lost
    assert all(not bool(model.get_parameter(name)[~mask].any()) for name, mask in pruner.masks.items())
    slim, _ = pruner.slim()
    torch.testing.assert_close(outputs(slim, [IMAGES]), wanted, rtol=1e-3, atol=1e-3)


def test_no_state_of_the_model_changes_but_weights_and_biases() -> None:
    model, batches = made("convolutions")
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.random.get_rng_state()
    one_shot(model, batches, 0.5)
    assert torch.equal(torch.random.get_rng_state(), drawn) and all(module.training for module in model.modules())
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed <= {"0.weight", "3.weight", "3.bias", "5.weight", "5.bias", "8.weight", "8.bias"}


def test_inputs_of_any_form_do() -> None:
    model = randomize_(TwoTowers())
    weights = prunable_weights(model, example_input=examples()[1])
    masks = one_shot(model, [Batch(examples()[1])], 0.5)
    assert set(masks) == set(weights)


def test_what_cannot_be_done_is_said() -> None:
    model = nn.Linear(6, 4)
    with pytest.raises(InvalidInput, match="gave none"):
        one_shot(model, [], 0.5)
    with pytest.raises(InvalidInput, match=r"sparsity=0\.6 is not that of 2 of 4"):
        one_shot(model, [torch.randn(3, 6)], 0.6, pattern=(2, 4))
    with pytest.raises(InvalidInput, match="multiple of 4"):
        one_shot(model, [torch.randn(3, 6)], 0.5, pattern=(2, 4))
    with pytest.raises(InvalidInput, match=r"pattern=\(4, 4\)"):
        one_shot(model, [torch.randn(3, 6)], 0.5, pattern=(4, 4))
    two = nn.ModuleList([nn.Linear(6, 4), nn.Linear(6, 4)])
    two.forward = two[0].forward  # type: ignore[method-assign]
    with pytest.raises(InvalidInput, match=r"no product of 1\.weight"):
        one_shot(two, [torch.randn(3, 6)], 0.5)
