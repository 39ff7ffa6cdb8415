"""Views of one model: how its tensors are cut for given widths, and the plans of its subnets."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import is_not
from types import MappingProxyType

from torch import nn

from ofa.kernel_transforms import kernel_transform
from ofa.recipes import Recipes
from ofa.structure.coupling import Group
from ofa.structure.passing import LeftOut
from ofa.structure.size_attributes import SizeAttribute, follow
from ofa.structure.structure import first_names
from ofa.structure.trace import find_sources
from ofa.views.module_lists import module_lists
from ofa.views.module_plan import ModulePlan, plan_module
from ofa.views.plan import Slice, Slicer, find_axes


class Views:
    """Plans the views of one model: slices by units, blocks dropped by stage, kernels cropped."""

    def __init__(
        self,
        model: nn.Module,
        groups: Sequence[Group],
        attributes: Sequence[SizeAttribute] = (),
        *,
        recipes: Recipes | None = None,
        kernel_transforms: bool = False,
    ) -> None:
        self.model = model
        self._recipes = {} if recipes is None else recipes
        self.sources = find_sources(model)
        self._names = first_names(model)
        self._lists = module_lists(model)
        self._transforms = kernel_transforms
        self._attributes = tuple(attributes)
        self._set_groups(groups)

    def _set_groups(self, groups: Sequence[Group]) -> None:
        self._groups = tuple(groups)
        self.axes = find_axes(groups, self.sources)
        self._slicer = Slicer(self.axes, self.sources)

    def changed(self, groups: Sequence[Group], attributes: Sequence[SizeAttribute]) -> Views:
        """Returns the views of the same model with other groups or numbers; what these do not touch is shared."""
        other = copy.copy(self)
        other._attributes = tuple(attributes)
        if len(groups) != len(self._groups) or any(map(is_not, groups, self._groups)):
            other._set_groups(groups)
        return other

    def slice(self, name: str, units: Sequence[int], kernel: int | None = None) -> Slice:
        """Returns how tensor `name` is cut when group i keeps `units[i]` units."""
        return self._slicer.slice(name, units, kernel)

    def plan(
        self,
        units: Sequence[int],
        dropped: Mapping[str, LeftOut],
        kernels: Mapping[str, int],
        operators: Mapping[str, str] = MappingProxyType({}),
    ) -> ModulePlan:
        """Returns the plan of the view in which group i keeps `units[i]` units, without the `dropped` blocks.

        Args:
            units: kept of each group. dropped: paths of blocks. kernels: sizes by path of the convolution.
            operators: the name of the chosen layer by the operator's path.
        """

        def cut(name: str) -> Slice:
            path = name.rpartition(".")[0]
            kernel = kernels.get(path)
            if kernel is None or not self._transforms or not name.endswith(".weight"):
                return self._slicer.slice(name, units, kernel)
            return self._transformed(name, units, kernel)

        numbers = self._numbers(units)
        return plan_module(self.model, self._names, cut, dropped, self._lists, numbers, self._recipes, operators)

    def _transformed(self, name: str, units: Sequence[int], kernel: int) -> Slice:
        """How a convolution's weight is cut and transformed to a smaller kernel."""
        whole = self._slicer.slice(name, units)
        transform = kernel_transform(self.model.get_submodule(name.rpartition(".")[0]), kernel)
        if transform is None:
            return self._slicer.slice(name, units, kernel)
        return replace(whole, shape=(*whole.shape[:2], *(kernel for _ in whole.shape[2:])), transform=transform)

    def _numbers(self, units: Sequence[int]) -> dict[str, dict[str, int]]:
        removed = {group.name: group.units - count for group, count in zip(self._groups, units, strict=True)}
        return follow(self._attributes, removed)
