"""Weights from files of any program: a state dict in safetensors or PyTorch's own format, in one file or in shards."""

from __future__ import annotations

import errno
import json
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest
from ofa.fill import Filled, fill_

# Where programs put a state dict, in the order in which they are looked for: the weights before their average.
NESTED = (
    *("state_dict", "model_state_dict", "model", "weights", "params", "network", "net", "module"),
    *("model_ema", "ema", "ema_state_dict", "state_dict_ema"),
)
# What the files of a folder are called, the first that is there: of this toolkit, and of Hugging Face's libraries.
WHOLE = ("model.safetensors", "pytorch_model.bin")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SAVED = "weights-*.safetensors"  # of `ofa.save`
SUPERNET = "supernet"  # the folder of a run's supernet in that of the run
KINDS = ".safetensors, .pt, .pth or .bin"
LARGEST_INDEX = 2**26  # bytes; that of a model of 10,000 weights has one million
# Faults of the machine: the file itself may be intact. A truncated file gives another one, of the system's call.
CANNOT_READ = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
CODE = re.compile(r"(?:GLOBAL|global|class) `?([\w.]+\.[\w.]+)")


def load_weights_(model: nn.Module, path: Path | str) -> Filled:
    """Returns what was filled, after filling all parameters and buffers of a model, in place, from a file or a folder.

    Nothing in the file is executed. A state dict may be nested ("state_dict", "model") and its names may begin with a
    wrapper's prefix ("module.").

    Raises:
        InvalidInput: no such file, no state dict, names that are missing, unknown or of another shape; naming them.
            Nothing is changed then.
    """
    return fill_(model, read_weights(path), str(path), None)


def weight_files(path: Path | str) -> tuple[Path, ...]:
    """Returns the files that hold the weights at a path: a file itself, or those of a folder.

    A folder is one that Hugging Face's libraries write (model.safetensors, pytorch_model.bin, or an index of shards),
    that `ofa.save` writes, or that of a run, whose supernet it stands for. The index of shards comes first.

    Raises:
        InvalidInput: no such file or folder, no weights in it, or an index that is damaged or names a missing shard.
    """
    path = Path(path)
    if path.is_dir():
        return _files_of_folder(path)
    if not path.is_file():
        raise InvalidInput(f"{path} does not exist{_nearest_file(path)}; give a {KINDS} file of weights")
    return _shards(path) if path.name.endswith(".index.json") else (path,)


def read_weights(path: Path | str, key: str | None = None) -> dict[str, Tensor]:
    """Returns the state dict at a path, on the CPU: of a .safetensors file, one that `torch.save` wrote, or a folder.

    Args:
        path: see `weight_files`.
        key: the entry of the file that holds the state dict, such as "ema"; None: the usual names are tried.

    Raises:
        InvalidInput: no such file; it is truncated, would run code, or holds no state dict.
    """
    files = weight_files(path)
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not file.name.endswith(".index.json"):
            tensors |= _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickled(file, key)
    return tensors


def _files_of_folder(folder: Path) -> tuple[Path, ...]:
    for name in WHOLE:
        if (folder / name).is_file():
            return (folder / name,)
    for name in INDEXES:
        if (folder / name).is_file():
            return _shards(folder / name)
    saved = sorted(folder.glob(SAVED))
    if len(saved) == 1:
        return (saved[0],)
    if (folder / SUPERNET).is_dir():
        return _files_of_folder(folder / SUPERNET)
    there = sorted(path.name for path in folder.iterdir())
    files = [name for name in there if name.endswith((".safetensors", ".pt", ".pth", ".bin"))]
    contents = (
        f"name one of its files: {', '.join(files[:4])}" if files else f"it holds {', '.join(there[:4]) or 'nothing'}"
    )
    raise InvalidInput(f"{folder} has no {', '.join((*WHOLE, INDEXES[0]))}: {contents}")


def _shards(index: Path) -> tuple[Path, ...]:
    """The index and the files that it names, each once, all of them beside it."""
    try:
        if index.stat().st_size > LARGEST_INDEX:
            raise ValueError("larger than any index")
        names = json.loads(index.read_bytes())["weight_map"].values()
        files = sorted({str(name) for name in names})
        if not files or any(Path(name).name != name for name in files):
            raise ValueError("its weight_map must name files beside it")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(f"{index} is damaged ({str(error)[:120]}); restore it") from None
    if missing := [name for name in files if not (index.parent / name).is_file()]:
        raise InvalidInput(
            f"{index} names {len(files)} files, and {len(missing)} of them are missing: {', '.join(missing[:3])}; "
            "copy the whole folder"
        )
    return (index, *(index.parent / name for name in files))


def _nearest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (nor does the folder {path.parent})"
    names = [other.name for other in path.parent.iterdir()]
    hint = nearest(path.name, names) if names else ""
    return f" ({hint})" if hint.startswith("did you mean") else ""


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # Copies: the file is memory-mapped, and the weights must not change with it later.
            return {name: file.get_tensor(name).clone() for name in file.keys()}
    except (SafetensorError, ValueError) as error:
        raise InvalidInput(f"{path} is truncated or no safetensors file ({str(error)[:120]})") from None


def _read_pickled(path: Path, key: str | None) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = CODE.search(str(error))
        held = (
            f"it holds a {named.group(1)}, and to load that would run code" if named else "no pickle of tensors alone"
        )
        raise InvalidInput(
            f"{path} is not a state dict alone ({held}): save one by torch.save(model.state_dict(), path)"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno in CANNOT_READ:
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(f"{path} is truncated or no file of torch.save ({reason:.120})") from None
    return _state_dict(content, path, key)


def _state_dict(content: Any, path: Path, key: str | None) -> dict[str, Tensor]:
    if key is not None:
        names = list(map(str, content)) if isinstance(content, Mapping) else []
        if key not in names:
            raise InvalidInput(f"{path} has no entry {key!r}; {nearest(key, names)}")
        content = content[key]
    while isinstance(content, Mapping) and not _is_state_dict(content):
        inner = next((name for name in NESTED if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            alone = [name for name, value in content.items() if isinstance(value, Mapping) and _is_state_dict(value)]
            if len(alone) != 1:
                held = ", ".join(map(str, list(content)[:6])) or "nothing"
                raise InvalidInput(f"{path} holds {held}, not a state dict of tensors by name; give key=, if one is")
            inner = alone[0]
        content = content[inner]
    if not isinstance(content, Mapping):
        raise InvalidInput(f"{path} holds a {type(content).__name__}, not a state dict of tensors by name")
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _is_state_dict(content: Mapping[Any, Any]) -> bool:
    """Whether a mapping holds tensors alone, but for counters beside them and what modules call extra state."""
    others = [value for name, value in content.items() if "_extra_state" not in str(name)]
    tensors = [value for value in others if isinstance(value, Tensor)]
    return bool(tensors) and all(isinstance(value, Tensor | int | float) for value in others)
