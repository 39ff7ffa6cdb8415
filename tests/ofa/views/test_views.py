"""Views of one model for other groups cut as if they had been made for these, and change nothing in those before."""

from __future__ import annotations

import torch
from torch import nn

import ofa
from ofa.structure.size_attributes import SizeAttribute
from ofa.views.views import Views


def test_views_of_other_groups_cut_as_new_ones_do() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    groups = ofa.Supernet(model, torch.randn(2, 3), ofa.SpaceRules(width_ratios=None, multiple_of=1)).groups
    names = [name for name, _ in model.named_parameters()]
    views = Views(model, groups)
    before = [views.slice(name, [2, 5]) for name in names]
    last = views.changed(groups[1:], ())
    assert [last.slice(name, [5]) for name in names] == [Views(model, groups[1:]).slice(name, [5]) for name in names]
    assert [last.slice(name, [5]) for name in names] != before
    assert [views.slice(name, [2, 5]) for name in names] == before


def test_numbers_follow_the_groups_that_views_were_changed_to() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model.size = 8
    groups = ofa.Supernet(model, torch.randn(2, 3), ofa.SpaceRules(width_ratios=None, multiple_of=1)).groups
    views = Views(model, groups)
    numbered = views.changed(groups, [SizeAttribute("", "size", groups[0].name, 8, 2)])
    assert numbered.plan([1], {}, {}).numbers == {"size": 2}
    assert views.plan([1], {}, {}).numbers == {}
