"""Structure: what can vary in a model, and when each of its modules runs. No Space, no names of choices yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ofa.choice import ALWAYS, Conditions
from ofa.computed_weights import computed_weights, copied
from ofa.errors import InvalidInput
from ofa.inputs import Inputs
from ofa.kernel_transforms import without_kernel_transforms_
from ofa.structure import coupling
from ofa.structure.blocks import Stage, find_stages, why_no_stage
from ofa.structure.coupling import Group
from ofa.structure.materialized import materialized_
from ofa.structure.operators import Operator, all_run, find_operators, split_calls
from ofa.structure.size_attributes import SizeAttribute
from ofa.structure.trace import Contraction, Trace, find_sources
from ofa.structure.tracer import error_line
from ofa.structure.tracing import run


@dataclass(frozen=True)
class TrainingRun:
    """A run in train mode: what it showed, the inputs it took, and whether more met in it than in eval mode."""

    trace: Trace
    example: Inputs
    meets_more: bool


@dataclass(frozen=True)
class Structure:
    """What a model's run on labels showed: groups of units, stages of blocks, kernels, and why the rest is fixed.

    `unstaged` gives the reason by path for rows of blocks of which none can be left out, `resolutions` the
    multiply-accumulate ops by the height of images, ascending, where resolution is a choice.
    """

    groups: tuple[Group, ...]
    stages: tuple[Stage, ...]
    kernels: tuple[str, ...]
    fixed: Mapping[tuple[str, int], str]
    trace: Trace
    attributes: tuple[SizeAttribute, ...] = ()
    unstaged: Mapping[str, str] = field(default_factory=dict)
    training: TrainingRun | None = None
    operators: tuple[Operator, ...] = ()
    resolutions: Mapping[int, tuple[Contraction, ...]] = field(default_factory=dict)


def private_copy(model: nn.Module) -> nn.Module:
    """Returns a deep copy on the CPU in eval mode, without transforms of kernels, which no forward of it uses.

    Random values stand for those of the meta device.

    Raises:
        InvalidInput: the model cannot be copied.
    """
    try:
        return without_kernel_transforms_(materialized_(copied(model)).eval())
    except InvalidInput:
        raise
    except Exception as error:
        raise InvalidInput(f"{type(model).__name__} cannot be copied ({_first_line(error)})") from error


def analyze(model: nn.Module, example: Inputs) -> Structure:
    """Returns the structure of a private copy of a model, from one run on the example input.

    Raises:
        InvalidInput: the model does not run on the example; the line in its code is named.
    """
    sources = find_sources(model)
    labeled = {name: (source.tensor, coupling.labels_of(source)) for name, source in sources.items()}
    first_free = 1 + sum(size for source in sources.values() for size in source.shape)
    try:
        with all_run(model):
            trace, _ = run(model, example, labeled, input_label=first_free)
    except InvalidInput:
        raise
    except Exception as error:
        raise InvalidInput(
            f"{type(model).__name__} does not run on an input of {example.shapes}: "
            f"{_first_line(error)} at {error_line(error)}"
        ) from error
    training = _training_run(model, example, labeled, first_free, trace)
    if training is not None and training.meets_more:
        trace = trace.joined(training.trace)
    solved = coupling.solve(trace, sources)
    called = {call.module for call in trace.calls}
    kernels = tuple(path for path, module in model.named_modules() if path in called and _can_crop_kernel(module))
    operators = find_operators(model)
    around, inside = (replace(trace, calls=calls) for calls in split_calls(trace.calls, operators))
    stages = find_stages(model, around)
    blocks = tuple(f"{path}." for stage in stages for path in stage.blocks)
    stages += tuple(stage for stage in find_stages(model, inside) if not stage.blocks[0].startswith(blocks))
    return Structure(
        solved.groups,
        stages,
        kernels,
        solved.fixed,
        trace,
        unstaged=why_no_stage(model, trace, stages),
        training=training,
        operators=operators,
    )


def _training_run(
    model: nn.Module,
    example: Inputs,
    labeled: Mapping[str, tuple[Tensor, Sequence[Tensor | None]]],
    first_free: int,
    otherwise: Trace,
) -> TrainingRun | None:
    """Runs the model in train mode, where it does; one example is doubled where batch statistics need two."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    doubled = example.map(lambda value: torch.cat([value, value]) if example.is_batched(value) else value)
    try:
        for inputs in (example, doubled) if example.batch == 1 else (example,):
            try:
                with all_run(model):
                    trace, _ = run(model, inputs, labeled, input_label=first_free, training=True)
                return TrainingRun(trace, inputs, trace.shows_more_than(otherwise))
            except Exception:  # a model that wants targets, say: it is tried in eval mode alone
                continue
        return None
    finally:
        for buffer, before in buffers:
            if buffer.shape == before.shape:
                buffer.copy_(before)


def _can_crop_kernel(module: nn.Module) -> bool:
    """Whether a convolution gives the same positions with a smaller odd kernel: odd, square, same padding."""
    if (
        not isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
        or computed_weights(module)
        or len(set(module.kernel_size)) != 1
        or module.kernel_size[0] % 2 == 0
    ):
        return False
    if module.padding == "same":
        return True
    centered = tuple(d * (k - 1) // 2 for d, k in zip(module.dilation, module.kernel_size, strict=True))
    return not isinstance(module.padding, str) and tuple(module.padding) == centered and module.kernel_size[0] > 1


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")


@dataclass(frozen=True)
class Activity:
    """When the modules of a model run, by path, and the paths of those that hold each tensor, by its first name."""

    modules: Mapping[str, Conditions]
    owners: Mapping[str, list[str]]

    def of_tensor(self, name: str) -> Conditions:
        """Returns when a parameter or buffer is part of the subnet: where any module that holds it runs."""
        return any_of([self.modules[path] for path in self.owners[name]])


def find_activity(model: nn.Module, structure: Structure) -> Activity:
    """Returns when each module runs: always, or when its stage is deep enough, or its operator chosen."""
    conditions: dict[str, Conditions] = {}
    gates = {
        path: (f"depth.{stage.name}", least) for stage in structure.stages for path, least in stage.least_depths.items()
    }
    gates |= {
        operator.option_path(number): (f"operator.{operator.path}", number)
        for operator in structure.operators
        for number in range(len(operator.options))
    }
    for path, _ in model.named_modules(remove_duplicate=False):
        parts = path.split(".")
        above = (".".join(parts[: i + 1]) for i in range(len(parts)))
        conditions[path] = (tuple(gates[prefix] for prefix in above if prefix in gates),)
    return Activity(conditions, tensor_owners(model))


def choice_conditions(structure: Structure, activity: Activity) -> dict[str, Conditions]:
    """Returns by key when each choice counts: a width where any of its layers runs, any other where its module does."""
    modules = activity.modules
    widths = {
        f"width.{group.name}": any_of([activity.of_tensor(member.source) for member in group.members])
        for group in structure.groups
    }
    return (
        widths
        | {f"kernel_size.{path}": modules[path] for path in structure.kernels}
        | {f"operator.{operator.path}": modules[operator.path] for operator in structure.operators}
        | {f"depth.{stage.name}": modules[stage.blocks[0].rpartition(".")[0]] for stage in structure.stages}
    )


def first_names(model: nn.Module) -> dict[str, str]:
    """Returns the first name of each parameter and buffer by each of its names."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in _named_tensors(model)}


def tensor_names(module: nn.Module) -> list[str]:
    """Returns every name of every parameter and buffer of a module and those inside it."""
    return [name for name, _ in _named_tensors(module)]


def _named_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]


def tensor_owners(model: nn.Module) -> dict[str, list[str]]:
    """Returns by a tensor's first name the paths of every module that holds it."""
    owners: dict[str, list[str]] = {}
    for name, first in first_names(model).items():
        owners.setdefault(first, []).append(name.rpartition(".")[0])
    return owners


def any_of(conditions: Sequence[Conditions]) -> Conditions:
    """Returns the condition that holds where any of several does."""
    alternatives = dict.fromkeys(alternative for condition in conditions for alternative in condition)
    return ALWAYS if () in alternatives or not alternatives else tuple(alternatives)
