"""Estimates in a view that are of the whole weight where the view has a slice of it, made those of the slice."""

from __future__ import annotations

from torch import nn

from ofa.spectral_norms import has_spectral_norm, iterate_layer_
from ofa.views.module_plan import ModulePlan


def estimated(view: nn.Module, plan: ModulePlan, *, step: bool = False) -> nn.Module:
    """Returns a view of a plan whose spectral norms are, in place, those of the slices that it has.

    A mask of the whole weight gives the same: zeros do not change the power iteration. What is whole stays as it is.
    With `step` those of a supernet in train mode take one step, as in each forward of it: views train on copies.
    """
    if not plan.computes:
        return view
    if has_spectral_norm(view):
        if step and plan.module.training:
            iterate_layer_(plan.module, 1)
        if not plan.is_whole:
            iterate_layer_(view)
    for name, child in plan.children:
        module = view._modules[name]
        if child is not None and module is not None and child.replaces is None:
            estimated(module, child, step=step)
    return view
