"""Supernet: a plain model, the Space of its subnets, and the views and clones that an Arch names."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.choice import Conditions
from ofa.cost_terms import CostTerms, find_terms
from ofa.errors import InvalidInput
from ofa.inputs import Example, as_inputs
from ofa.kernel_transforms import add_kernel_transforms_
from ofa.layer_report import LayerReport, make_report
from ofa.memory.terms import MemoryTerms, Subnets, find_memory_terms
from ofa.modes import undisturbed
from ofa.plain_network import check_weights_of_supernet, plain_network
from ofa.recipes import DEFAULT_RECIPES, Recipes, apply_recipes, check_recipes
from ofa.resolution import resized, resolution_values
from ofa.rules import SpaceRules, build_space, ruled
from ofa.structure.coupling import Group
from ofa.structure.operators import chosen_names, with_chosen
from ofa.structure.structure import Structure, choice_conditions, find_activity, private_copy
from ofa.structure.trace import Source
from ofa.trial.guard import explained
from ofa.trial.prepared import prepared
from ofa.trial.resolutions import try_resolutions
from ofa.trial.smaller import try_on_less
from ofa.trial.sortable import unsortable_groups
from ofa.views.estimates import estimated
from ofa.views.module_plan import ModulePlan
from ofa.views.plan import Axis
from ofa.views.view import (
    accumulating,
    build,
    cloned,
    cloned_parameter,
    contiguous_slice,
    differentiable,
    suppress_layout_warning,
)
from ofa.views.views import Views

_CACHED_PLANS = 512


class Supernet:
    """A plain model whose layers can be narrower and whose stages can be shallower.

    The model stays as it is: there is no active subnet, so views may be used from several threads. Train
    `model.parameters()`; `subnet` and `extract` always reflect their current values.
    """

    def __init__(
        self, model: nn.Module, example_input: Example, space: SpaceRules | None = None, recipes: Recipes | None = None
    ) -> None:
        """Finds what can vary in `model` and checks it.

        Args:
            model: the largest network, any `nn.Module` that maps tensors (N, ...) to tensors. Of torch.compile and
                DataParallel wrappers, the one inside is taken, with a warning.
            example_input: an input of the model: a tensor (N, ...), a tuple of positional arguments, a dictionary of
                keyword arguments, or `ofa.Inputs(*args, **kwargs)`. Values of floating-point tensors do not matter;
                integers, such as token ids, must be ones that the model accepts.
            space: which widths, depths, kernel sizes and resolutions are wanted; the default rules where None.
            recipes: classes that compute the same with sizes read from the weights, by the classes of `model` that they
                stand for where a subnet cuts them, besides those for layers of `torch.nn`; see `ofa.recipes`.

        Raises:
            InvalidInput: the model does not run on the example, nothing in it can vary, a rule fits nothing, a
                resolution is not accepted, or a weight is computed from parameters of other shapes.
        """
        self.model = model = plain_network(model, "Supernet")
        self.inputs = as_inputs(example_input)
        check_recipes(recipes or {})
        self.recipes: Recipes = {**DEFAULT_RECIPES, **(recipes or {})}
        self.rules = SpaceRules() if space is None else space
        heights = resolution_values(self.inputs, self.rules.resolutions)
        with explained(model), undisturbed():
            check_weights_of_supernet(model)
            private = apply_recipes(private_copy(model), self.recipes)
            example, structure, weights = prepared(private, model, self.inputs)
            verdict, less = try_on_less(private, example, structure, model, weights, partial(ruled, rules=self.rules))
            self.structure: Structure = try_resolutions(private, example, verdict.structure, model, weights, heights)
            self.refused = verdict.refused
            self.unsortable = unsortable_groups(private, less, self.structure, weights)
        self._activity = find_activity(model, self.structure)
        kernels = {path: model.get_submodule(path) for path in self.structure.kernels}
        active_when = choice_conditions(self.structure, self._activity)
        self.space = build_space(self.structure, kernels, active_when, self.rules)
        if not self.space.choices:
            raise InvalidInput(
                f"nothing in {type(model).__name__} can vary under these rules; its layers:\n{self.report()}"
            )
        if self.rules.kernel_transforms:
            sizes = {choice.name: choice.values for choice in self.space.choices if choice.kind == "kernel_size"}
            add_kernel_transforms_(model, sizes)
            self._activity = find_activity(model, self.structure)
        self._views = Views(
            *(model, self.structure.groups, self.structure.attributes),
            recipes=self.recipes,
            kernel_transforms=self.rules.kernel_transforms,
        )
        self._plans: OrderedDict[Arch, ModulePlan] = OrderedDict()
        self._memory_terms: dict[frozenset[tuple[str, int]], MemoryTerms] = {}

    @property
    def example_input(self) -> Any:
        """The example as one tensor, where that is all the model gets; otherwise its `Inputs`."""
        only = self.inputs.only
        return self.inputs if only is None else only

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of units that can shrink, in order of use."""
        return self.structure.groups

    @property
    def sources(self) -> Mapping[str, Source]:
        """Every parameter and buffer once, under its first name: its shape and labels at conversion."""
        return self._views.sources

    def tensors(self) -> dict[str, Tensor]:
        """Returns every parameter and buffer as it is now, by its first name."""
        return {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}

    @property
    def axes(self) -> Mapping[str, tuple[Axis, ...]]:
        """The dimensions of each tensor along which groups lie."""
        return self._views.axes

    @cached_property
    def cost_terms(self) -> CostTerms:
        """What `ofa.cost` computes with."""
        return find_terms(self.space, self.structure, self._activity, self._views)

    def memory_terms(self, given: Mapping[str, int] = MappingProxyType({})) -> MemoryTerms:
        """Returns what `ofa.peak_activation_bytes` computes with, for operators and a resolution by key; kept."""
        key = frozenset(given.items())
        if key not in self._memory_terms:
            chosen = self.space.arch(given)
            subnets = Subnets(
                with_chosen(self.model, chosen_names(self.structure.operators, chosen.operator)),
                resized(self.inputs, chosen),
                self.space.with_given(given),
                lambda arch: self.extract(self.space.arch({**arch.values, **given})),
            )
            self._memory_terms[key] = find_memory_terms(self.structure, subnets)
        return self._memory_terms[key]

    def tensor_conditions(self, name: str) -> Conditions:
        """When a parameter or buffer is part of the subnet: where any module that holds it runs."""
        return self._activity.of_tensor(name)

    def conditions(self, path: str) -> Conditions:
        """When the module at `path` runs: any of these, each a set of least depths, and of operators, by key."""
        return self._activity.modules[path]

    def owners(self, tensor: str) -> list[str]:
        """The paths of the modules that hold a parameter or buffer, given its first name."""
        return self._activity.owners[tensor]

    def report(self) -> LayerReport:
        """Returns one row per layer: elastic with its choices, coupled with another, or fixed and why."""
        return make_report(self.model, self.structure, self.rules, self.refused, self._activity.owners)

    def plan(self, arch: Arch) -> ModulePlan:
        """Returns how a view of `arch` is built, from a cache of the latest.

        Raises:
            InvalidArch: `arch` is not in the space.
        """
        plan = self._plans.get(arch)
        if plan is None:
            self.space.validate(arch)
            depth = arch.depth
            dropped = {
                path: left_out
                for stage in self.structure.stages
                for path, left_out in stage.left_out(depth.get(stage.name, len(stage.blocks))).items()
            }
            operators = chosen_names(self.structure.operators, arch.operator)
            plan = self._views.plan(self.units(arch), dropped, arch.kernel_size, operators)
            self._plans[arch] = plan
            while len(self._plans) > _CACHED_PLANS:
                try:
                    self._plans.popitem(last=False)
                except KeyError:  # another thread emptied it first
                    break
        return plan

    def units(self, arch: Arch) -> tuple[int, ...]:
        """Returns how many units each group keeps: all where the Arch does not name it."""
        return tuple(
            arch.width.get(group.name, group.channels) // group.channels_per_unit for group in self.structure.groups
        )

    def subnet(self, arch: Arch, *, accumulate: bool = False, contiguous: bool = False) -> nn.Module:
        """Returns a view of `arch`: modules of the original classes around slices of the supernet's weights.

        The view owns its norm statistics; its parameters are the supernet's, so that backward reaches them.

        Args:
            arch: a member of `space`.
            accumulate: for training loops. The view's parameters are then leaves whose `.grad` is a slice of the
                supernet's `.grad`, into which backward adds without a full-size copy. Every parameter of the
                model must have a `.grad`, which is zeroed in place and not replaced until the optimizer's step.
            contiguous: for many forwards through one view. Slices that are not contiguous are copied now, so that
                kernels need not do it in each forward; the view then shows the weights as they are now.

        Raises:
            InvalidArch: `arch` is not in the space.
            InvalidInput: both ways at once, or no gradients to accumulate into.
        """
        plan = self.plan(arch)
        if accumulate and contiguous:
            raise InvalidInput("accumulate=True adds into the supernet, contiguous=True copies from it: choose one")
        if not accumulate:
            return estimated(build(plan, contiguous_slice if contiguous else differentiable, cloned), plan, step=True)
        suppress_layout_warning()
        with torch.no_grad():
            return estimated(build(plan, accumulating, cloned), plan, step=True)

    def extract(self, arch: Arch) -> nn.Module:
        """Returns a plain model of `arch` with weights of its own and nothing of the supernet inside.

        Raises:
            InvalidArch: `arch` is not in the space.
        """
        return estimated(build(plan := self.plan(arch), cloned_parameter, cloned), plan)

    def parameters(self) -> Iterator[nn.Parameter]:
        """The model's parameters, for an optimizer."""
        return self.model.parameters()

    @property
    def digest(self) -> str:
        """16 hex digits of the weights and the space: identifies this supernet in caches and subnet files."""
        total = hashlib.sha256(self.space.digest.encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            total.update(name.encode())
            total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return total.hexdigest()[:16]
