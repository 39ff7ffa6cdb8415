"""Groups that pass with numbers in Python that follow them, or tied to each other; all others stay refused."""

import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ofa
from tests.ofa.nets import zeroed_output
from tests.ofa.trial.mending_models import Configured, Deviation, Heads, Literal, Named, Packed, Stream, Sums, Unlike

RULES = ofa.SpaceRules(multiple_of=1)


def supernet_of(model: nn.Module) -> tuple[ofa.Supernet, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 10, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        for parameter in model.double().parameters():
            parameter.normal_(generator=generator)
    return ofa.Supernet(model, images, RULES), images


def check(supernet: ofa.Supernet, images: Tensor) -> None:
    """Compares every sampled view with its extract and with the full model without the removed units."""
    rng = np.random.default_rng(0)
    space = supernet.space
    for arch in [space.largest, space.smallest, *(space.sample(rng) for _ in range(12))]:
        with torch.no_grad():
            viewed, extract = supernet.subnet(arch)(images), pickle.loads(pickle.dumps(supernet.extract(arch)))
            torch.testing.assert_close(viewed, extract(images), rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(viewed, zeroed_output(supernet, arch, images), rtol=1e-10, atol=1e-10)
        assert ofa.cost(supernet, [arch])["params"][0] == sum(weight.numel() for weight in extract.parameters())


@pytest.mark.parametrize(
    ("model", "widths", "numbers"),
    [
        (Named(), {"first": 24}, {(".hidden", "first", 1)}),
        (
            Configured(),
            {"blocks.0.first": 24, "blocks.0.last": 10, "blocks.1.first": 24, "blocks.1.last": 10},
            {(f"blocks.{i}.config.inner.hidden", f"blocks.{i}.first", 1) for i in (0, 1)},
        ),
        (
            Sums(),
            {"a": 16, "b": 12},
            {(".total", "a", 1), (".total", "b", 1), (".sizes.0", "a", 1), (".sizes.1", "b", 1)},
        ),
        (
            Stream(),
            {"first": 12, **{f"blocks.{i}.2": 20 for i in range(3)}},
            {(f"blocks.{i}.2.nf", "first", 1) for i in range(3)}
            | {(f"blocks.{i}.0.nf", f"blocks.{i}.2", 1) for i in range(3)},
        ),
        (Packed(), {"c_proj": 4}, {(".split_size", "c_proj", 3), ("c_attn.nf", "c_proj", 9)}),
        *(
            (
                Heads(size),
                {"first": 24, "blocks.0.qkv": 6, "blocks.1.qkv": 6},
                {(f"blocks.{i}.num_heads", f"blocks.{i}.qkv", 1) for i in (0, 1)},
            )
            for size in ("own", "inferred")
        ),
        (Heads("input"), {"first": 6}, {(f"blocks.{i}.num_heads", "first", 1) for i in (0, 1)}),
    ],
    ids=[
        "named",
        "config",
        "sums",
        "stream",
        "gpt-2",
        "heads of their own size",
        "heads of inferred size",
        "heads and width",
    ],
)
def test_numbers_follow_their_groups(
    model: nn.Module, widths: dict[str, int], numbers: set[tuple[str, str, int]]
) -> None:
    supernet, images = supernet_of(model)
    assert {group.name: group.units for group in supernet.groups} == widths
    found = {(f"{one.path}.{one.name}", one.group, one.per_unit) for one in supernet.structure.attributes}
    assert found == numbers
    assert not supernet.refused
    check(supernet, images)


def test_a_config_that_modules_share_is_copied_for_each_and_stays_as_it_was() -> None:
    supernet, _ = supernet_of(Configured())
    full = supernet.model
    assert isinstance(full, Configured)
    narrow = supernet.extract(supernet.space.smallest)
    assert [block.config.inner.hidden for block in narrow.blocks] != [24, 24]
    assert full.config.inner.hidden == 24
    assert full.config is full.blocks[0].config is full.blocks[1].config


@pytest.mark.parametrize(("ratios", "expected"), [(None, (2, 3, 4, 5, 6, 7, 8)), ((0.1, 0.5, 1.0), (4, 8))])
def test_where_one_channel_has_no_result_two_stay(ratios: tuple[float, ...] | None, expected: tuple[int, ...]) -> None:
    images = torch.randn(6, 10)
    supernet = ofa.Supernet(Deviation(), images, ofa.SpaceRules(multiple_of=1, width_ratios=ratios))
    values = {choice.name: choice.values for choice in supernet.space.choices}
    assert values["first"] == expected
    assert values["middle"][0] == 1
    assert not supernet.refused
    with torch.no_grad():
        assert supernet.subnet(supernet.space.smallest)(images).isfinite().all()


def test_a_width_in_the_code_stays_refused_with_its_line() -> None:
    supernet, images = supernet_of(Literal())
    assert [group.name for group in supernet.groups] == ["middle"]
    assert ".view(-1, 24)" in supernet.refused["width.first"]
    check(supernet, images)


def test_of_blocks_that_are_alike_each_is_refused_for_a_reason_of_its_own() -> None:
    supernet, images = supernet_of(Unlike())
    assert {group.name for group in supernet.groups} == {"stem", "blocks.1.first", "blocks.2.first"}
    assert "hidden.view(-1, 8)" in supernet.refused["width.blocks.0.first"]
    check(supernet, images)
