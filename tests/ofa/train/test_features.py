from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.importance import weight
from ofa.models import GPT, LeNet5, ResNet, ViT
from ofa.randomize import randomize_
from ofa.sorting import sort_units_
from ofa.train.features import block_paths, feature_loss, hidden_states, matching_blocks

NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "vit": (
        lambda: ViT((1, 8, 8), 10, width=32, depth=3, heads=4, head_size=8),
        lambda: torch.randn(2, 1, 8, 8).double(),
    ),
    "gpt": (lambda: GPT((8,), 12, width=32, depth=3, heads=4, head_size=8), lambda: torch.randint(12, (2, 8))),
    "resnet": (lambda: ResNet((3, 16, 16), 10, depth=20), lambda: torch.randn(2, 3, 16, 16).double()),
}


def supernet_of(name: str, **rules: Any) -> tuple[ofa.Supernet, Tensor]:
    torch.manual_seed(0)
    make, example = NETS[name]
    inputs = example()
    supernet = ofa.Supernet(randomize_(make().double().eval()), inputs, ofa.SpaceRules(**rules))
    sort_units_(supernet, weight(supernet))
    return supernet, inputs


def states(supernet: ofa.Supernet, arch: ofa.Arch, inputs: Tensor) -> dict[str, Tensor]:
    view = supernet.subnet(arch).eval()
    with hidden_states(view, matching_blocks(supernet, arch)) as hidden, torch.no_grad():
        view(inputs)
    return hidden


@pytest.mark.parametrize("name", NETS)
def test_the_largest_subnet_is_at_its_own_hidden_states(name: str) -> None:
    supernet, inputs = supernet_of(name)
    largest = supernet.space.largest
    hidden = states(supernet, largest, inputs)
    assert sorted(hidden) == sorted(block_paths(supernet))
    loss = feature_loss(supernet, largest, hidden, hidden)
    assert loss is not None and float(loss) == 0
    halved = {path: value / 2 for path, value in hidden.items()}
    assert float(feature_loss(supernet, largest, halved, hidden)) == pytest.approx(0.25)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NETS)
def test_every_block_of_every_subnet_has_a_place_in_the_full_network(name: str) -> None:
    supernet, inputs = supernet_of(name)
    full = states(supernet, supernet.space.largest, inputs)
    rng = np.random.default_rng(0)
    for arch in (supernet.space.smallest, *(supernet.space.sample(rng) for _ in range(5))):
        hidden = states(supernet, arch, inputs)
        pairs = matching_blocks(supernet, arch)
        depths = [arch.depth.get(stage.name, len(stage.blocks)) for stage in supernet.structure.stages]
        assert len(pairs) == sum(depths) == len(hidden)
        loss = feature_loss(supernet, arch, hidden, full)
        assert loss is not None and 0 < float(loss) < float("inf")


def test_the_first_channels_are_those_that_a_narrow_network_keeps() -> None:
    """A network that only lacks units of no effect has the hidden states of the full one, without these."""
    supernet, inputs = supernet_of("resnet", width_ratios=(0.5, 1.0), multiple_of=8)
    group = next(group for group in supernet.groups if group.name.startswith("stages.2") and group.channels == 64)
    tensors = supernet.tensors()
    streams = [
        group for group in supernet.groups if sum(member.source.endswith("2.weight") for member in group.members) > 1
    ]
    last = streams[-1]
    assert last.units == 64 and group.units == 64
    with torch.no_grad():
        for member in last.members:
            if not member.source.endswith(("running_mean", "running_var", "num_batches_tracked")):
                removed = torch.from_numpy(member.index[32:].reshape(-1))
                tensors[member.source].index_fill_(member.dim, removed, 0)
    arch = supernet.space.arch({f"width.{last.name}": 32})
    hidden, full = states(supernet, arch, inputs), states(supernet, supernet.space.largest, inputs)
    loss = feature_loss(supernet, arch, hidden, full)
    assert loss is not None and float(loss) < 1e-12


def test_a_block_stands_for_those_that_were_left_out_after_it() -> None:
    supernet, _ = supernet_of("vit", depth_order="evenly", width_ratios=(1.0,), multiple_of=8, min_depth=2)
    arch = supernet.space.arch({"depth.blocks": 2})
    assert supernet.structure.stages[0].dropped(2) == ("blocks.1",)
    assert matching_blocks(supernet, arch) == {"blocks.0": "blocks.1", "blocks.1": "blocks.2"}


def test_the_gradient_reaches_the_subnet_and_not_the_teacher() -> None:
    supernet, inputs = supernet_of("vit")
    arch = supernet.space.smallest
    teacher = supernet.extract(supernet.space.largest)
    view = supernet.subnet(arch)
    with hidden_states(teacher, block_paths(supernet)) as full:
        teacher(inputs)
    with hidden_states(view, matching_blocks(supernet, arch)) as hidden:
        view(inputs)
    loss = feature_loss(supernet, arch, hidden, full)
    assert loss is not None
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in teacher.parameters())
    moved = [name for name, value in supernet.model.named_parameters() if value.grad is not None]
    assert "blocks.0.expand.weight" in moved and "head.weight" not in moved
    assert not any(module._forward_hooks for module in [*view.modules(), *supernet.model.modules()])


def test_a_network_without_stages_has_no_features() -> None:
    supernet = ofa.Supernet(LeNet5((1, 16, 16), 10), torch.randn(2, 1, 16, 16))
    with pytest.raises(ofa.InvalidInput, match="LeNet5 has no stage of them: set features=0"):
        block_paths(supernet)
