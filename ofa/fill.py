"""Filling a model with the weights of another program: names and shapes are held against each other first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")  # of what networks are wrapped in
COUNTERS = ("n_averaged",)  # of torch's AveragedModel, beside the weights
UNCOUNTED = "num_batches_tracked"  # of norm layers: older files lack it, and no output depends on it
SHOWN = 3  # names of each kind that a refusal lists


@dataclass(frozen=True)
class Filled:
    """What `fill_` did.

    Attributes:
        filled: how many of the model's tensors were set.
        missing: the model's names that were left as they were, since they match `ignore`.
        ignored: the file's names that were not used, since they match `ignore`.
    """

    filled: int
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def fill_(model: nn.Module, tensors: Mapping[str, Tensor], source: str, ignore: Sequence[str] | None = ()) -> Filled:
    """Returns what was set, after setting a model's parameters and buffers, in place: all of them, or none.

    Names may begin with a wrapper's prefix, such as "module."; a tied weight may be there under one of its names.
    Numbers of another precision, such as bfloat16, become those of the model.

    Args:
        model: on any device.
        tensors: by name.
        source: where they come from, for messages.
        ignore: patterns of names, such as "head.*", that the model keeps and the file loses: those of a new head.
            None: none, and messages offer none.

    Raises:
        InvalidInput: names that are missing, surplus or of another shape, each with their count and the nearest name;
            weights that are NaN or infinite; a pattern that matches nothing. The model is untouched then.
    """
    offers, ignore = ignore is not None, ignore or ()
    wanted = model.state_dict(keep_vars=True)
    given = unwrapped({name: tensor for name, tensor in tensors.items() if name not in COUNTERS}, wanted)
    _check_patterns(ignore, [*wanted, *given])
    first = _first_of_tied(wanted)
    ignored = tuple(name for name in wanted if _matches(name, ignore))
    dropped = tuple(name for name in given if _matches(name, ignore))
    used = {name: tensor for name, tensor in given.items() if name not in dropped}
    present = {first.get(name, name) for name in used}
    lacking = [name for name in wanted if name == first[name] and name not in present and name not in ignored]
    missing = [name for name in lacking if not name.endswith(UNCOUNTED)]
    surplus = [name for name in used if name not in wanted]
    misshapen = [name for name, tensor in used.items() if name in wanted and tensor.shape != wanted[name].shape]
    if missing or surplus or misshapen:
        parts = [
            _missing_text(missing, surplus, len(wanted)),
            _surplus_text(surplus, len(used)),
            _misshapen_text(misshapen, used, wanted),
        ]
        raise InvalidInput(
            f"{source} is of another network than {type(model).__name__}: {'; '.join(part for part in parts if part)}; "
            f"{_remedy([*missing, *surplus, *misshapen], len(wanted), offers)}"
        )
    _check_values(used, wanted, source)
    with torch.no_grad():
        for name, tensor in used.items():
            wanted[name].copy_(tensor)
    return Filled(len(used), ignored, dropped)


def unwrapped(tensors: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """Returns the tensors without the prefix of what their network was wrapped in, if more names are wanted then.

    Where none is wanted, and all are with the prefix of what the network is wrapped in now, they get it.
    """
    names = set(wanted)
    result = dict(tensors)
    for _ in range(len(PREFIXES)):
        best = _best_prefix(result, names)
        if not best:
            break
        result = {name.removeprefix(best): tensor for name, tensor in result.items()}
    if not names & result.keys() and 2 * len(result) >= len(names):
        for prefix in _first_parts(names):
            if all(f"{prefix}{name}" in names for name in result):
                return {f"{prefix}{name}": tensor for name, tensor in result.items()}
    return result


def _best_prefix(tensors: Mapping[str, Tensor], names: AbstractSet[str]) -> str:
    """The prefix without which the most names are wanted; a wrapper's where none is as long as it is there."""
    met = {"": len(names & tensors.keys())}
    for prefix in dict.fromkeys((*PREFIXES, *_first_parts(tensors))):
        count = sum(name.startswith(prefix) and name.removeprefix(prefix) in names for name in tensors)
        met[prefix] = count if prefix in PREFIXES or 2 * count >= len(names) else 0  # no chance meetings
    best = max(met, key=met.__getitem__)
    if met[best]:
        return best
    return next((prefix for prefix in PREFIXES if tensors and all(name.startswith(prefix) for name in tensors)), "")


def _first_parts(names: Iterable[str]) -> list[str]:
    """What names begin with, up to the first dot."""
    return list(dict.fromkeys(f"{name.partition('.')[0]}." for name in names if "." in name))


def _first_of_tied(state: Mapping[str, Tensor]) -> dict[str, str]:
    """The first name of each tensor by each of its names: a file may hold a tied weight once."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in state.items()}


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(part, pattern) for pattern in patterns for part in (name, name.rpartition(".")[0]))


def _check_patterns(patterns: Sequence[str], names: Sequence[str]) -> None:
    if isinstance(patterns, str):
        raise InvalidInput(f"ignore={patterns!r} is one text; give a list of patterns, such as [{patterns!r}]")
    for pattern in patterns:
        if not any(_matches(name, [pattern]) for name in names):
            raise InvalidInput(
                f"ignore={pattern!r} matches no weight of the model, nor of the file; {nearest(pattern, names)}"
            )


def _check_values(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str) -> None:
    for name, tensor in tensors.items():
        target = wanted[name]
        if tensor.is_floating_point() != target.is_floating_point() or tensor.is_complex() != target.is_complex():
            kinds = [str(kind).removeprefix("torch.") for kind in (tensor.dtype, target.dtype)]
            raise InvalidInput(
                f"{source}: {name} is of the type {kinds[0]}, and the model's of {kinds[1]}: "
                "give the weights as floating-point numbers, not quantized"
            )
        if isinstance(target, nn.Parameter) and not bool(torch.isfinite(tensor.float()).all()):
            raise InvalidInput(f"{source}: {name} holds NaN or infinity; give weights of a training that went well")


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"


def _near(name: str, others: Sequence[str]) -> str:
    text = nearest(name, others, 1) if others else ""
    return f" ({name}: {text})" if text.startswith("did you mean") else ""


def _missing_text(missing: Sequence[str], surplus: Sequence[str], count: int) -> str:
    if not missing:
        return ""
    return f"the file lacks {_listed(missing)}, {len(missing)} of {count}{_near(missing[0], surplus)}"


def _surplus_text(surplus: Sequence[str], count: int) -> str:
    if not surplus:
        return ""
    return f"the model lacks {_listed(surplus)}, {len(surplus)} of {count} in the file"


def _misshapen_text(names: Sequence[str], used: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    if not names:
        return ""
    shapes = [f"{name} {tuple(used[name].shape)} in the file, {tuple(wanted[name].shape)} here" for name in names]
    return f"{len(names)} {'has' if len(names) == 1 else 'have'} another shape: {_listed(shapes)}"


def _remedy(names: Sequence[str], count: int, offers: bool) -> str:
    """What to do: build another model, or leave out a head where little differs and patterns are offered."""
    stems = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    if offers and len(names) <= max(4, count // 10) and all(stems) and len(stems) <= SHOWN:
        patterns = ", ".join(f"{stem}.*" for stem in stems)
        return f"for a new head give ignore=[{patterns}], else build the model that the file was saved from"
    return "build the model with the sizes and names that the file was saved with"
