"""Numbers in Python that may have to follow a group: found where a narrow run failed, or around the group's layers."""

from __future__ import annotations

import inspect
import linecache
import re
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FunctionType, TracebackType

from torch import nn

from ofa.structure.coupling import Group
from ofa.structure.size_attributes import SizeAttribute, integers
from ofa.structure.structure import tensor_owners
from ofa.views.attributes import keeps_sizes

_NAME = re.compile(r"[A-Za-z_]\w*")


class Candidates:
    """Proposes which numbers of a model follow a group, likelier ones first."""

    def __init__(self, model: nn.Module, group: Group) -> None:
        self._group = group
        self._modules = dict(model.named_modules())
        first = {id(module): path for path, module in self._modules.items()}  # a shared module has its first path here
        owners = {
            name: [first[id(model.get_submodule(path))] for path in paths]
            for name, paths in tensor_owners(model).items()
        }
        self._sizes: dict[str, dict[int, int]] = {}  # by owner: how much of a number each unit is
        self._dims: dict[tuple[str, int], set[tuple[str, int]]] = {}  # by owner and size: tensor and dimension
        every: dict[int, int] = {group.units: 1, group.channels: group.channels_per_unit}
        for member in group.members:
            for size in (member.index.size, self._size(model, member.source, member.dim)):
                every.setdefault(size, member.index.shape[1])
                for path in owners[member.source]:
                    self._sizes.setdefault(path, {})[size] = member.index.shape[1]
                    dims = self._dims.setdefault((path, size), set())
                    dims.add((member.source.rpartition(".")[2], member.dim))
        self._every = every
        prefixes = {path.rsplit(".", cut)[0] for path in self._sizes for cut in range(path.count(".") + 1)}
        self._around = {*prefixes, *self._sizes, ""}

    @staticmethod
    def _size(model: nn.Module, name: str, dim: int) -> int:
        path, _, tensor = name.rpartition(".")
        module = model.get_submodule(path)
        return int(getattr(module, tensor).shape[dim])

    def after(self, error: BaseException, view: nn.Module) -> list[tuple[SizeAttribute, ...]]:
        """Returns sets of numbers that the code at an error reads: those of its line, then of its function."""
        sets: list[tuple[SizeAttribute, ...]] = []
        for on_line, in_code, modules in _frames(error.__traceback__, view):
            for names in (on_line, in_code):
                equal = [attribute for path in modules for attribute in self._of(path, names, exact=True)]
                sets.append(self._everywhere(equal))
                names_found = dict.fromkeys(each.name for each in equal)
                sets += [self._everywhere([each for each in equal if each.name == name]) for name in names_found]
            sets += [(attribute,) for path in modules for attribute in self._of(path, on_line, exact=False)]
            sets.append(self._counts(modules, on_line))
        return _distinct(sets)

    def around(self) -> list[tuple[SizeAttribute, ...]]:
        """Returns sets of numbers that the classes around the group's layers read: each alone, then all."""
        attributes = [
            attribute
            for path in sorted(self._around, key=lambda path: -path.count("."))
            for attribute in self._of(path, _names_of_class(type(self._modules[path])), exact=True)
        ]
        kinds = dict.fromkeys((type(self._modules[each.path]), each.name) for each in attributes)
        sets = [
            tuple(each for each in attributes if (type(self._modules[each.path]), each.name) == kind) for kind in kinds
        ]
        sets.sort(key=len, reverse=True)  # what follows a width of several layers is a number of each
        return _distinct([*sets, tuple(attributes)])

    def _counts(self, paths: Sequence[str], names: frozenset[str]) -> tuple[SizeAttribute, ...]:
        """The numbers of units in modules, and others of their classes, whose own tensors count something else.

        So are heads counted beside a bias over the channels of all of them.
        """
        if self._group.units == self._group.channels:
            return ()
        kinds = {type(self._modules[path]) for path in paths if path in self._sizes}
        alike = [path for path in sorted(self._sizes) if type(self._modules[path]) in kinds]
        return tuple(
            attribute for path in alike for attribute in self._of(path, names, exact=True, sizes={self._group.units: 1})
        )

    def _of(
        self, path: str, names: frozenset[str], *, exact: bool, sizes: Mapping[int, int] | None = None
    ) -> Iterator[SizeAttribute]:
        """The numbers of one module that occur in code under these names and fit the group, or `sizes` if given."""
        module = self._modules[path]
        if keeps_sizes(module):
            return
        sizes = self._sizes.get(path, self._every) if sizes is None else sizes
        for name, value in integers(module):
            if not all(part.isdigit() or part in names for part in name.split(".")):
                continue
            per_unit = sizes.get(value) if exact else self._share(value)  # exact sizes are tried before
            if per_unit is not None:
                yield SizeAttribute(path, name, self._group.name, value, per_unit)

    def _share(self, value: int) -> int | None:
        """How much of a number that divides a size evenly, or counts other channels too, belongs to one unit."""
        if value in self._every:
            return None
        if value > self._group.channels:
            return self._group.channels_per_unit
        evenly = value > 1 and value % self._group.units == 0 and any(size % value == 0 for size in self._every)
        return value // self._group.units if evenly else None

    def _everywhere(self, attributes: Sequence[SizeAttribute]) -> tuple[SizeAttribute, ...]:
        """The same numbers of all modules of the same class around the group, that size the same of their tensors."""
        more = [
            other
            for attribute in attributes
            for path in sorted(self._around)
            if type(self._modules[path]) is type(self._modules[attribute.path])
            for other in self._of(path, frozenset(attribute.name.split(".")), exact=True)
            if other.name == attribute.name and self._sized(other) == self._sized(attribute)
        ]
        return tuple(dict.fromkeys([*attributes, *more]))

    def _sized(self, attribute: SizeAttribute) -> set[tuple[str, int]]:
        return self._dims.get((attribute.path, attribute.full), set())


def failing_modules(error: BaseException, view: nn.Module) -> list[str]:
    """Returns the paths of the modules whose code an error passed through, innermost first."""
    return [path for _, _, modules in _frames(error.__traceback__, view) for path in modules]


def _distinct(sets: Sequence[tuple[SizeAttribute, ...]]) -> list[tuple[SizeAttribute, ...]]:
    return [attributes for attributes in dict.fromkeys(sets) if attributes]


def _frames(trace: TracebackType | None, view: nn.Module) -> list[tuple[frozenset[str], frozenset[str], list[str]]]:
    """Of each frame that has a module among its variables, innermost first: names on its line, in its code, paths."""
    paths = {id(module): path for path, module in view.named_modules()}
    frames = []
    while trace is not None:
        code, variables = trace.tb_frame.f_code, trace.tb_frame.f_locals
        modules = [paths[id(value)] for value in variables.values() if id(value) in paths]
        if modules:
            frames.append((_names_of_line(trace), _names_of_code(code), list(dict.fromkeys(modules))))
        trace = trace.tb_next
    return frames[::-1]


def _names_of_line(trace: TracebackType) -> frozenset[str]:
    code = trace.tb_frame.f_code
    positions = list(code.co_positions())[trace.tb_lasti // 2 : trace.tb_lasti // 2 + 1]
    first, last = positions[0][:2] if positions else (None, None)
    first = first or trace.tb_lineno
    lines = [linecache.getline(code.co_filename, line) for line in range(first, (last or first) + 1)]
    return frozenset(_NAME.findall(" ".join(lines)))


def _names_of_code(code: CodeType) -> frozenset[str]:
    inner = [_names_of_code(value) for value in code.co_consts if isinstance(value, CodeType)]
    strings = [value for value in code.co_consts if isinstance(value, str)]
    return frozenset({*code.co_names, *strings}).union(*inner)


def _names_of_class(kind: type) -> frozenset[str]:
    """The names that the methods of a class read, but for what torch's base class and its construction do."""
    methods = [
        inspect.unwrap(value)  # a decorator's own code reads no sizes
        for base in kind.__mro__
        if base not in (nn.Module, object)
        for name, value in vars(base).items()
        if isinstance(value, FunctionType) and name != "__init__"
    ]
    return frozenset[str]().union(*(_names_of_code(method.__code__) for method in methods))
