import copy

import pytest
import torch
from torch import Tensor

import ofa
from ofa.prune.rewinding import remove_
from ofa.prune.units import cut_units, unit_masks
from tests.ofa.nets import from_zoo, shipped

NETS = ["lenet5", "resnet20_pad"]
ZOO = ["residual", "gated_chunk", "two_branches", "unet", "dense", "shuffle", "shared", "sequence"]


def random_units(supernet: ofa.Supernet, seed: int) -> dict[str, Tensor]:
    """At least one unit of each group, anywhere in it where the units are interchangeable."""
    generator = torch.Generator().manual_seed(seed)
    kept = {}
    for group in supernet.groups:
        count = int(torch.randint(1, group.units + 1, (), generator=generator))
        order = torch.randperm(group.units, generator=generator)
        kept[group.name] = torch.zeros(group.units, dtype=torch.bool)
        kept[group.name][torch.arange(count) if group.name in supernet.unsortable else order[:count]] = True
    return kept


@pytest.mark.parametrize("name", [*NETS, *ZOO])
def test_cut_and_masked_networks_compute_the_same(name: str) -> None:
    supernet, images = shipped(name) if name in NETS else from_zoo(name)
    before = {key: value.clone() for key, value in supernet.model.state_dict().items()}
    with torch.no_grad():
        full = supernet.model(images)
        for seed in range(2):
            kept = random_units(supernet, seed)
            model = copy.deepcopy(supernet.model)
            remove_(model, unit_masks(supernet, kept))
            masked = model(images)
            cut = cut_units(supernet, kept)
            torch.testing.assert_close(cut(images), masked, rtol=1e-9, atol=1e-9)
            assert not torch.allclose(masked, full)
            assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in supernet.parameters())
            # The same weights given from outside: those of the masked model.
            again = cut_units(supernet, kept, weights=model)
            torch.testing.assert_close(again(images), masked, rtol=1e-9, atol=1e-9)
    assert all(torch.equal(value, before[key]) for key, value in supernet.model.state_dict().items())


def test_everything_kept_is_the_model_itself() -> None:
    supernet, images = from_zoo("residual")
    kept = {group.name: torch.ones(group.units, dtype=torch.bool) for group in supernet.groups}
    assert all(bool(mask.all()) for mask in unit_masks(supernet, kept).values())
    with torch.no_grad():
        assert torch.equal(cut_units(supernet, kept)(images), supernet.model(images))
        assert torch.equal(cut_units(supernet, {})(images), supernet.model(images))


def test_units_that_do_not_fit_are_refused() -> None:
    supernet, _ = from_zoo("residual")
    name = supernet.groups[0].name
    for kept, message in [
        ({"body.9": torch.ones(8, dtype=torch.bool)}, "did you mean"),
        ({name: torch.ones(7, dtype=torch.bool)}, r"shape \(8,\)"),
        ({name: torch.ones(8)}, "bool"),
        ({name: torch.zeros(8, dtype=torch.bool)}, "keeps none"),
    ]:
        with pytest.raises(ofa.InvalidInput, match=message):
            unit_masks(supernet, kept)
