"""Structure: what can vary in a model, and the views that its choices make. No Space, no names of choices yet."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ofa import coupling, tracer
from ofa.attributes import can_crop_kernel
from ofa.blocks import Stage, find_stages
from ofa.coupling import Group
from ofa.errors import InvalidInput
from ofa.plan import Slice, Slicer, find_axes
from ofa.space import ALWAYS, Conditions
from ofa.trace import Trace, find_sources
from ofa.view import ModulePlan, module_lists, plan_module


@dataclass(frozen=True)
class Structure:
    """What a model's run on labels showed: groups of units, stages of blocks, kernels, and why the rest is fixed."""

    groups: tuple[Group, ...]
    stages: tuple[Stage, ...]
    kernels: tuple[str, ...]
    fixed: Mapping[tuple[str, int], str]
    trace: Trace


def private_copy(model: nn.Module) -> nn.Module:
    """Returns a deep copy on the CPU in eval mode.

    Raises:
        InvalidInput: the model cannot be copied.
    """
    try:
        return copy.deepcopy(model).cpu().eval()
    except Exception as error:
        raise InvalidInput(f"{type(model).__name__} cannot be copied ({_first_line(error)})") from error


def analyse(model: nn.Module, example: Tensor) -> Structure:
    """Returns the structure of a private copy of a model, from one run on the example input.

    Raises:
        InvalidInput: the model does not run on the example; the line in its code is named.
    """
    sources = find_sources(model)
    labelled = {name: (source.tensor, coupling.labels_of(source)) for name, source in sources.items()}
    first_free = 1 + sum(size for source in sources.values() for size in source.shape)
    try:
        trace, _ = tracer.run(model, example, labelled, input_label=first_free)
    except Exception as error:
        raise InvalidInput(
            f"{type(model).__name__} does not run on an input of shape {tuple(example.shape)}: "
            f"{_first_line(error)} at {tracer.error_line(error)}"
        ) from error
    solved = coupling.solve(trace, sources)
    called = {call.module for call in trace.calls}
    kernels = tuple(path for path, module in model.named_modules() if path in called and can_crop_kernel(module))
    return Structure(solved.groups, find_stages(model, trace), kernels, solved.fixed, trace)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")


class Views:
    """Plans the views of one model: slices by units, blocks dropped by stage, kernels cropped."""

    def __init__(self, model: nn.Module, groups: Sequence[Group]) -> None:
        self.model = model
        self.sources = find_sources(model)
        self._names = first_names(model)
        self._slicer = Slicer(find_axes(groups, self.sources), self.sources)
        self._lists = module_lists(model)

    def slice(self, name: str, units: Sequence[int], kernel: int | None = None) -> Slice:
        """Returns how tensor `name` is cut when group i keeps `units[i]` units."""
        return self._slicer.slice(name, units, kernel)

    def plan(self, units: Sequence[int], dropped: frozenset[str], kernels: Mapping[str, int]) -> ModulePlan:
        """Returns the plan of the view in which group i keeps `units[i]` units."""

        def cut(name: str) -> Slice:
            return self._slicer.slice(name, units, kernels.get(name.rpartition(".")[0]))

        return plan_module(self.model, self._names, cut, dropped, self._lists)


def activity(model: nn.Module, structure: Structure) -> dict[str, Conditions]:
    """Returns by module path when the module runs: always, or when its stage is deep enough."""
    conditions: dict[str, Conditions] = {}
    gates = {
        path: (f"depth.{stage.name}", position + 1)
        for stage in structure.stages
        for position, path in enumerate(stage.blocks)
        if position >= stage.always
    }
    for path, _ in model.named_modules(remove_duplicate=False):
        parts = path.split(".")
        above = (".".join(parts[: i + 1]) for i in range(len(parts)))
        conditions[path] = (tuple(gates[prefix] for prefix in above if prefix in gates),)
    return conditions


def first_names(model: nn.Module) -> dict[str, str]:
    """Returns the first name of each parameter and buffer by each of its names."""
    first: dict[int, str] = {}
    every = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {name: first.setdefault(id(tensor), name) for name, tensor in every}


def tensor_owners(model: nn.Module) -> dict[str, list[str]]:
    """Returns by a tensor's first name the paths of every module that holds it."""
    owners: dict[str, list[str]] = {}
    for name, first in first_names(model).items():
        owners.setdefault(first, []).append(name.rpartition(".")[0])
    return owners


def any_of(conditions: Sequence[Conditions]) -> Conditions:
    """Returns the condition that holds where any of several does."""
    every = dict.fromkeys(one for condition in conditions for one in condition)
    return ALWAYS if () in every or not every else tuple(every)
