"""Trust: what a stored file may cause to be called. A run's folder is data, and may come from anybody."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import get_object

from ofa.errors import InvalidInput

TARGET = "_target_"
# What the toolkit's own configurations of a supernet and a device call: single names, or all that a module defines.
OWN_NAMES = frozenset(
    {
        "ofa.SpaceRules",
        *("search.training.teachers.network", "search.training.teachers.start"),
        *(
            "ofa.data.bundled_table",
            "ofa.data.characters",
            "ofa.data.cluttered_digits",
            "ofa.data.digits",
            "ofa.data.from_dataset",
            "ofa.data.from_iterables",
            "ofa.data.from_npz",
            "ofa.data.generated_signals",
            "ofa.data.generated_text",
            "ofa.data.hub",
            "ofa.data.imbalanced_digits",
            "ofa.data.shapes",
            "ofa.data.sounds",
            "ofa.data.stream",
            "ofa.data.synthetic",
            "ofa.data.table",
            "ofa.data.text_files",
            "ofa.data_file.load_data",
        ),
    }
)
OWN_MODULES = (
    "ofa.importance",
    "ofa.models",
    "ofa.data.augment",
    "ofa.data.joint_augment",
    "ofa.data.photos",
    "ofa.data.rand_augment",
    "ofa.task",
    "ofa.train.average_teacher",
    "ofa.train.gradients",
    "ofa.train.label_weights",
    "ofa.train.sampling",
    "ofa.train.strategies",
    "ofa.train.schedules",
    "search.device.runtimes",
)
# Of PyTorch: all functions of two modules, and the subclasses of these classes.
TORCH_FUNCTIONS = ("torch.nn.functional", "torch.nn.init")
TORCH_CLASSES = {
    "torch.nn": ("torch.nn.Module",),
    "torch.optim": ("torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler"),
}
PACKAGE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Trust:
    """What a stored file may call in addition to this toolkit, `torch.nn` and `torch.optim`.

    Attributes:
        packages: packages that the user named, such as "my_package".
        targets: every `_target_` in the configuration of the current command.
    """

    packages: tuple[str, ...] = ()
    targets: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in self.packages:
            if not isinstance(name, str) or not PACKAGE.fullmatch(name):
                raise InvalidInput(f"trust={name!r} must name packages or modules, such as trust=[my_package]")


TOOLKIT_ALONE = Trust()  # the default


def check_stored(config: Any, trust: Trust, source: Path) -> None:
    """Checks that a configuration from a file calls only trusted targets, before any of them is imported.

    Args:
        config: plain values, as read.
        source: the file, for messages.

    Raises:
        InvalidInput: it has a `_target_` that is not trusted, at any depth, or a text that OmegaConf would resolve.
    """
    for key, value in _leaves(config):
        if isinstance(value, str) and "${" in value:
            raise InvalidInput(f"{source}: {key}={value:.80} asks for something outside; a file must hold plain values")
        if key.rpartition(".")[2] == TARGET:
            _check_target(value, trust, f"{source}: {key.rpartition('.')[0]}".removesuffix(": "))


def targets_in(config: Any) -> frozenset[str]:
    """Returns every `_target_` of a configuration of plain values, at any depth."""
    return frozenset(str(value) for key, value in _leaves(config) if key.rpartition(".")[2] == TARGET)


def packages_to_trust(config: Any) -> tuple[str, ...]:
    """Returns the packages that `trust` has to name before a stored configuration may call all that it names."""
    packages = []
    for target in sorted(targets_in(config)):
        if not _may_be_ours(target):
            packages.append(target.partition(".")[0])
    return tuple(dict.fromkeys(packages))


def _leaves(config: Any) -> Iterator[tuple[str, Any]]:
    """All leaf values with their keys joined with dots, without recursion: a file may be nested deeply.

    The value of a `_target_` is yielded as it is; keys that contain "${" are yielded as values, too.
    """
    waiting: list[tuple[str, Any]] = [("", config)]
    while waiting:
        key, value = waiting.pop()
        if key.rpartition(".")[2] == TARGET or not isinstance(value, Mapping | list | tuple):
            yield key, value
        elif isinstance(value, Mapping):
            yield from ((f"{key}.{name}" if key else str(name), name) for name in value if "${" in str(name))
            waiting += [(f"{key}.{name}" if key else str(name), inner) for name, inner in value.items()]
        else:
            waiting += [(f"{key}.{number}" if key else str(number), inner) for number, inner in enumerate(value)]


def _check_target(target: Any, trust: Trust, origin: str) -> None:
    """Raises InvalidInput where a target may not be called."""
    if not isinstance(target, str) or not PACKAGE.fullmatch(target):
        raise InvalidInput(f"{origin} has {TARGET}={target!r:.80}, which is no dotted name")
    if target in trust.targets:
        return
    if not (_is_under(target, trust.packages) or _may_be_ours(target)):
        raise _refusal(origin, target, target.partition(".")[0])
    try:
        value = get_object(target)
    except Exception as error:  # Hydra wraps whatever the import raised
        reason = " ".join(str(error.__cause__ or error).split("\n")[0].split())
        raise InvalidInput(f"{origin} calls {target!r}, which cannot be imported: {reason}") from error
    module = str(getattr(value, "__module__", ""))
    if not (_is_under(module, trust.packages) or _is_ours(target, value, module)):
        raise _refusal(origin, target, module or target)


def _refusal(origin: str, target: str, package: str) -> InvalidInput:
    return InvalidInput(
        f"{origin} calls {target!r}, which is not of this toolkit; a stored file calls only what you trust: "
        f"add trust=[{package}] if you know who wrote it"
    )


def _may_be_ours(target: str) -> bool:
    """Whether a name belongs to this toolkit or to PyTorch, so that looking it up imports nothing else."""
    return target in OWN_NAMES or _is_under(target, (*OWN_MODULES, *TORCH_CLASSES))


def _is_ours(target: str, value: Any, module: str) -> bool:
    """Whether a target is defined in an allowed module, and not merely importable from it."""
    if target in OWN_NAMES:
        return True
    if (
        not (inspect.isclass(value) or inspect.isfunction(value))
        or "." in value.__qualname__
        or value.__name__[0] == "_"
    ):
        return False
    if _is_under(module, (*OWN_MODULES, *TORCH_FUNCTIONS)):
        return True
    return inspect.isclass(value) and any(
        _is_under(module, (package,)) and issubclass(value, tuple(map(get_object, bases)))
        for package, bases in TORCH_CLASSES.items()
    )


def _is_under(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
