"""Supernet: a plain model, the Space of its subnets, and the views and clones that an Arch names."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.cost import CostTerms, find_terms
from ofa.coupling import Group
from ofa.errors import InvalidInput
from ofa.layer_report import LayerReport, make_report
from ofa.memory_terms import MemoryTerms, find_memory_terms
from ofa.plan import Axis, find_axes
from ofa.rules import SpaceRules, build_space
from ofa.sortable import unsortable_groups
from ofa.space import Conditions
from ofa.structure import Structure, Views, activity, analyse, any_of, private_copy, tensor_owners
from ofa.trace import Source
from ofa.trial import try_all
from ofa.view import (
    ModulePlan,
    accumulating,
    build,
    cloned,
    cloned_parameter,
    contiguous_slice,
    differentiable,
    hush_layout_notice,
)

_PLANS_KEPT = 512


class Supernet:
    """A plain model whose layers can be narrower and whose stages can be shallower.

    The model stays as it is: there is no active subnet, so views may be used from several threads. Train
    `model.parameters()`; `subnet` and `extract` always show their present values.
    """

    def __init__(self, model: nn.Module, example_input: Tensor, space: SpaceRules | None = None) -> None:
        """Finds what can vary in `model` and checks it.

        Args:
            model: the largest network, any `nn.Module` that maps one tensor (N, ...) to tensors.
            example_input: an input of the model, (N, C, H, W) or as it takes; its values do not matter.
            space: which widths, depths and kernel sizes are wanted; the default rules where None.

        Raises:
            InvalidInput: the model does not run on the example, nothing in it can vary, or a rule fits nothing.
        """
        if not isinstance(model, nn.Module):
            raise InvalidInput(f"model is a {type(model).__name__}; give a torch.nn.Module")
        if not isinstance(example_input, Tensor) or example_input.dim() == 0 or example_input.shape[0] == 0:
            raise InvalidInput(
                "example_input must be a tensor with a first dimension of examples, such as (2, 3, 32, 32)"
            )
        self.model = model
        self.example_input = example_input
        self.rules = space if space is not None else SpaceRules()
        private = private_copy(model)
        example = example_input.detach().cpu()
        found = analyse(private, example)
        verdict = try_all(private, example, found, model)
        self.structure: Structure = verdict.structure
        self.refused = verdict.refused
        self.unsortable = unsortable_groups(private, example, self.structure)
        self._conditions = activity(model, self.structure)
        self._owners = tensor_owners(model)
        self._views = Views(model, self.structure.groups)
        self.space = build_space(
            self.structure.groups,
            self.structure.stages,
            {path: model.get_submodule(path) for path in self.structure.kernels},
            self._activity(),
            self.rules,
        )
        if not self.space.choices:
            raise InvalidInput(
                f"nothing in {type(model).__name__} can vary under these rules; its layers:\n{self.report()}"
            )
        self._plans: OrderedDict[Arch, ModulePlan] = OrderedDict()

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of units that can shrink, in order of use."""
        return self.structure.groups

    def _activity(self) -> dict[str, Conditions]:
        """When each choice counts: a width where any of its layers runs, a kernel where its layer does."""
        found = {
            f"width.{group.name}": any_of(
                [self._conditions[path] for member in group.members for path in self._owners[member.source]]
            )
            for group in self.structure.groups
        }
        return found | {f"kernel_size.{path}": self._conditions[path] for path in self.structure.kernels}

    @property
    def sources(self) -> Mapping[str, Source]:
        """Every parameter and buffer once, under its first name: its shape and labels at conversion."""
        return self._views.sources

    def tensors(self) -> dict[str, Tensor]:
        """Returns every parameter and buffer as it is now, by its first name."""
        return {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}

    @cached_property
    def axes(self) -> Mapping[str, tuple[Axis, ...]]:
        """The dimensions of each tensor along which groups lie."""
        return find_axes(self.structure.groups, self.sources)

    @cached_property
    def cost_terms(self) -> CostTerms:
        """What `ofa.cost` computes with."""
        return find_terms(self)

    @cached_property
    def memory_terms(self) -> MemoryTerms:
        """What `ofa.peak_activation_bytes` computes with."""
        return find_memory_terms(self)

    def tensor_conditions(self, name: str) -> Conditions:
        """When a parameter or buffer is part of the subnet: where any module that holds it runs."""
        return any_of([self._conditions[path] for path in self._owners[name]])

    def conditions(self, path: str) -> Conditions:
        """When the module at `path` runs: any of these, each a set of least depths by key."""
        return self._conditions[path]

    def owners(self, tensor: str) -> list[str]:
        """The paths of the modules that hold a parameter or buffer, given its first name."""
        return self._owners[tensor]

    def report(self) -> LayerReport:
        """Returns a row a layer: elastic with its choices, coupled with another, or fixed and why."""
        return make_report(self.model, self.structure, self.rules, self.refused, self._owners)

    def plan(self, arch: Arch) -> ModulePlan:
        """Returns how a view of `arch` is built, from a cache of the latest.

        Raises:
            InvalidArch: `arch` is not in the space.
        """
        plan = self._plans.get(arch)
        if plan is None:
            self.space.validate(arch)
            depth = arch.depth
            dropped = frozenset(
                path
                for stage in self.structure.stages
                for path in stage.dropped(depth.get(stage.name, len(stage.blocks)))
            )
            plan = self._views.plan(self.units(arch), dropped, arch.kernel_size)
            self._plans[arch] = plan
            while len(self._plans) > _PLANS_KEPT:
                try:
                    self._plans.popitem(last=False)
                except KeyError:  # another thread emptied it first
                    break
        return plan

    def units(self, arch: Arch) -> tuple[int, ...]:
        """Returns how many units each group keeps; all of those that the Arch does not name."""
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
            return build(plan, contiguous_slice if contiguous else differentiable, cloned)
        hush_layout_notice()
        with torch.no_grad():
            return build(plan, accumulating, cloned)

    def extract(self, arch: Arch) -> nn.Module:
        """Returns a plain model of `arch` with weights of its own and nothing of the supernet inside.

        Raises:
            InvalidArch: `arch` is not in the space.
        """
        return build(self.plan(arch), cloned_parameter, cloned)

    def parameters(self) -> Iterator[nn.Parameter]:
        """The model's parameters, for an optimizer."""
        return self.model.parameters()

    @property
    def digest(self) -> str:
        """16 hex digits of the weights and the space: what accuracies and files of subnets hang on."""
        found = hashlib.sha256(self.space.digest.encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().view(torch.uint8 if tensor.dim() else tensor.dtype).numpy())
        return found.hexdigest()[:16]
