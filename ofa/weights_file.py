"""Weights from a file of any program: a state dict in safetensors or PyTorch's own format."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest

NESTED = ("state_dict", "model_state_dict", "model", "model_ema", "weights")  # where programs put a state dict
PREFIXES = ("module.", "_orig_mod.", "model.")  # of wrappers that the network was saved in
SHOWN = 3  # names that a refusal lists


def load_weights_(model: nn.Module, path: Path | str) -> None:
    """Fills a model's parameters and buffers, in place, from a file; all of them, or none and an error.

    Nothing in the file is executed. A state dict may be nested ("state_dict", "model") and its names may begin with a
    wrapper's prefix ("module.").

    Raises:
        InvalidInput: no such file, no state dict, names that are missing, unknown or of another shape; naming them.
    """
    weights = read_weights(path)
    wanted = model.state_dict()
    for prefix in PREFIXES:
        if weights and not weights.keys() & wanted.keys() and all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    tied = _first_of_tied(model)
    missing = [name for name in wanted if name not in weights and tied.get(name, name) not in weights]
    unknown = [name for name in weights if name not in wanted]
    if missing or unknown:
        raise InvalidInput(f"{path} is of another network than {type(model).__name__}: {_names_text(missing, unknown)}")
    for name, tensor in weights.items():
        if tensor.shape != wanted[name].shape:
            raise InvalidInput(
                f"{path}: {name} has the shape {tuple(tensor.shape)}, and that of {type(model).__name__} is "
                f"{tuple(wanted[name].shape)}: build the model with the sizes that the file was saved with"
            )
    model.load_state_dict(weights, strict=False)


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Returns the state dict of a .safetensors file, or of a file that `torch.save` wrote.

    Raises:
        InvalidInput: no such file, or it holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInput(f"{path} does not exist; give a .safetensors, .pt, .pth or .bin file of weights")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, ValueError) as error:
            raise InvalidInput(f"{path} is no safetensors file ({error})") from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"{path} is not a state dict alone ({reason:.120}): save one by torch.save(model.state_dict(), path)"
        ) from None
    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise InvalidInput(f"{path} holds a {type(content).__name__}, not a state dict of tensors by name")
    return {str(name): tensor for name, tensor in content.items()}


def _first_of_tied(model: nn.Module) -> dict[str, str]:
    """The first name of each tensor by its other names: a file may hold a tied weight once."""
    first: dict[int, str] = {}
    result = {}
    for name, tensor in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]:
        result[name] = first.setdefault(id(tensor), name)
    return result


def _names_text(missing: list[str], unknown: list[str]) -> str:
    parts = []
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        hint = f" ({nearest(missing[0], unknown)})" if unknown else ""
        parts.append(f"the file lacks {', '.join(missing[:SHOWN])}{more}{hint}")
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        parts.append(f"the model lacks {', '.join(unknown[:SHOWN])}{more}")
    return "; ".join(parts)
