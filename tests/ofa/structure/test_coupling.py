"""What is found to be elastic, what is refused, and that the reasons name the place."""

import pytest
import torch

import ofa
from ofa.models import MobileNet, ResNet
from ofa.models.mobilenet_stage import DEFAULT_STAGES
from tests.ofa.nets import SHAPE, from_zoo
from tests.ofa.zoo import Headed, Loop, example


def names(supernet: ofa.Supernet) -> dict[str, int]:
    return {group.name: group.channels for group in supernet.groups}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("residual", {"body.0": 8, "body.1.0.conv1": 8, "body.1.1.conv1": 8}),
        ("gated_chunk", {"body.make": 16, "body.after": 8}),
        ("two_branches", {"body.make": 16, "body.left": 6, "body.right": 10, "body.join": 8}),
        ("unet", {"down.0": 8, "deep.0": 16, "up": 8}),
        (
            "dense",
            {
                "body.stem": 8,
                "body.layers.0.2": 4,
                "body.layers.1.2": 4,
                "body.layers.2.2": 4,
                "body.last": 8,
            },
        ),
        ("shuffle", {"body.first": 16, "body.second": 8}),
        ("shared", {"body.stem": 8}),
        ("sequence", {"conv": 16}),
        ("normed_mlp", {"enter": 16, "hidden": 32}),
        ("hard_view", {"conv1": 8, "full": 16}),
        ("fourier", {"body.conv1": 8, "body.conv3": 8}),
        ("closure", {"body.conv2": 8, "body.conv3": 8}),
        ("write_into", {"body.conv2": 8, "body.conv3": 8}),
        ("heads", {"body.enter": 16, "body.qkv": 48, "body.mlp.0": 32}),
    ],
)
def test_groups_of(model: str, expected: dict[str, int]) -> None:
    supernet, _ = from_zoo(model)
    groups = names(supernet)
    assert groups == expected


@pytest.mark.parametrize(
    ("model", "layer", "parts"),
    [
        ("hard_view", "conv2", ("RuntimeError", "awkward_models.py:", "hard-coded")),
        ("fourier", "body.conv2", ("aten._fft", "awkward_models.py:", "Fourier transform")),
        ("closure", "body.conv1", ("reads the full model's body.conv1.weight",)),
        ("write_into", "body.conv1", ("hard-coded", "wide[:, :8] = features")),
        ("residual", "head", ("is the network's output",)),
    ],
)
def test_refusals_name_the_reason_and_the_line(model: str, layer: str, parts: tuple[str, ...]) -> None:
    supernet, _ = from_zoo(model)
    row = next(row for row in supernet.report().rows if row.layer == layer)
    assert row.state == "fixed"
    for part in parts:
        assert part in row.reason


def test_units_hold_every_coupled_coordinate() -> None:
    supernet, _ = from_zoo("gated_chunk")
    make = supernet.groups[0]
    members = {(member.source, member.dim): member.index.tolist() for member in make.members}
    assert members[("body.make.weight", 0)] == [[i, i + 8] for i in range(8)]
    assert members[("body.after.weight", 1)] == [[i] for i in range(8)]


def test_a_padded_shortcut_fixes_only_the_padding() -> None:
    supernet = ofa.Supernet(ResNet(SHAPE, 10, depth=20, shortcut="pad"), torch.randn(2, *SHAPE))
    stem = supernet.groups[0]
    assert (stem.name, stem.channels) == ("stem.conv", 16)
    widest = {member.source: member.index for member in stem.members}
    assert any(index.min() == 8 and index.max() == 23 for index in widest.values())


def test_squeeze_and_excitation_scales_the_channels_it_reads() -> None:
    supernet = ofa.Supernet(MobileNet(SHAPE, 10, stages=DEFAULT_STAGES[:3]), torch.randn(2, *SHAPE))
    rows = {row.layer: row for row in supernet.report().rows}
    assert rows["stages.2.0.squeeze_excite.restore"].reason == "with stages.2.0.expand"
    assert rows["stages.2.0.squeeze_excite.reduce"].state == "elastic"


@pytest.mark.parametrize(
    ("model", "stage", "depths"),
    [
        ("residual", "body.1", (1, 2)),
        ("loop", "body.blocks", (1, 2, 3)),
        ("attributes", "body.block1", (1, 2, 3)),
    ],
)
def test_depth_is_found_in_sequentials_loops_and_attributes(model: str, stage: str, depths: tuple[int, ...]) -> None:
    supernet, _ = from_zoo(model)
    assert supernet.space.by_key[f"depth.{stage}"].values == depths


def test_conversion_leaves_the_model_alone() -> None:
    model = Headed(Loop(), 8).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ofa.Supernet(model, example(), ofa.SpaceRules(multiple_of=1))
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())


def test_inputs_that_do_not_fit_are_named_with_the_line() -> None:
    with pytest.raises(ofa.InvalidInput, match=r"\(2, 4, 6, 6\).*zoo\.py"):
        ofa.Supernet(Headed(Loop(), 8), torch.randn(2, 4, 6, 6))


def test_a_model_in_which_nothing_can_vary_says_so_by_layer() -> None:
    with pytest.raises(ofa.InvalidInput, match=r"nothing in Linear can vary(.|\n)*network's output"):
        ofa.Supernet(torch.nn.Linear(4, 4), torch.randn(2, 4))


@pytest.mark.parametrize("bad", ["model", None, 3])
def test_what_is_no_module_is_refused(bad: object) -> None:
    with pytest.raises(ofa.InvalidInput, match=r"give a torch\.nn\.Module"):
        ofa.Supernet(bad, torch.randn(2, 4))  # type: ignore[arg-type]
