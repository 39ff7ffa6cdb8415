"""Networks of other people's libraries, built from their configuration: timm and Hugging Face's transformers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ofa.errors import InvalidInput, nearest
from ofa.models.library import library, offline, one_line, quiet

CONFIG = "config.json"
LARGEST = 2**20  # bytes of a config.json
OF_IMAGES, OF_TEXTS = "AutoModelForImageClassification", "AutoModelForSequenceClassification"


def from_transformers(
    input_shape: Sequence[int],
    num_classes: int,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    kind: str | None = None,
) -> nn.Module:
    """Returns a network of Hugging Face's transformers with fresh weights; `ofa.start.transformers` fills them.

    It takes token ids (N, T) or images (N, C, H, W), and its output has `logits`. It returns no cache.

    Args:
        input_shape: (T,) of texts or (C, H, W) of images. Images' channels and size are the configuration's unless it
            has others.
        num_classes: the number of labels of a classifier, or of tokens where the configuration names no vocabulary.
        name: a local folder with a config.json, or a name in the hub; not read where `config` is given.
        config: what config.json holds, such as {"model_type": "gpt2", "n_layer": 2}.
        kind: a class that chooses by configuration, such as "AutoModelForCausalLM"; a classifier of images or texts
            where None.

    Raises:
        InvalidInput: the package is missing, neither name nor config is given, or they describe no such network.
    """
    package = library("transformers")
    if config is None:
        if name is None:
            raise InvalidInput("a network of transformers needs model.name=FOLDER or model.config={model_type: ...}")
        config = transformers_config(name)
    values = {**_sizes(input_shape, num_classes, config), **config}
    values.pop("transformers_version", None)
    kind = kind or (OF_IMAGES if len(input_shape) == 3 else OF_TEXTS)
    maker = getattr(package, kind, None)
    if maker is None or not hasattr(maker, "from_config"):
        kinds = [each for each in dir(package) if each.startswith("AutoModel")]
        raise InvalidInput(f"model.kind={kind!r} is no AutoModel class of transformers; {nearest(kind, kinds)}")
    if "model_type" not in values:
        raise InvalidInput("model.config has no model_type, such as gpt2, bert or vit")
    if "ForCausalLM" not in kind and "Masked" not in kind:  # the number of a classifier's outputs is that of the data
        values = {key: value for key, value in values.items() if key not in ("id2label", "label2id", "num_labels")}
        values["num_labels"] = num_classes
    try:
        with quiet(package):
            made = package.AutoConfig.for_model(**values)
            if hasattr(made, "use_cache"):
                made.use_cache = False
            attention = "sdpa" if _has_sdpa(maker, made) else "eager"
            net: nn.Module = maker.from_config(made, attn_implementation=attention)
    except Exception as error:  # whatever the library says about a configuration
        raise InvalidInput(f"transformers makes no {kind} of this configuration: {one_line(error)}") from error
    if len(input_shape) == 1 and "attention_mask" in inspect.signature(net.forward).parameters:
        net.register_forward_pre_hook(_with_mask, with_kwargs=True)
    return net.float()


def _with_mask(
    _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Adds the mask of all tokens where none is given.

    Without one the library looks in the positions for where texts end, by an operator that no ONNX file knows.
    """
    if len(args) != 1 or not isinstance(args[0], torch.Tensor) or kwargs.get("attention_mask") is not None:
        return None
    return args, {**kwargs, "attention_mask": torch.ones_like(args[0])}


def transformers_config(name: str) -> dict[str, Any]:
    """Returns what the config.json of a local folder, or of a name in the hub, holds; no code of theirs is run.

    Raises:
        InvalidInput: no such folder or name, or a file that is no configuration.
    """
    folder = Path(name)
    if folder.is_dir():
        return _read_config(folder)
    package = library("transformers")
    try:
        with quiet(package):
            values: dict[str, Any] = package.AutoConfig.from_pretrained(name, local_files_only=offline()).to_dict()
    except Exception as error:  # whatever the hub and the network raise
        raise InvalidInput(
            f"model.name={name!r} is no folder here, and its configuration is neither in the cache nor could it be "
            f"fetched from https://huggingface.co/{name} ({one_line(error)}): give a local folder with {CONFIG}"
        ) from error
    return json.loads(json.dumps(values, default=str))  # type: ignore[no-any-return]


def from_timm(
    input_shape: Sequence[int], num_classes: int, name: str, arguments: Mapping[str, Any] | None = None
) -> nn.Module:
    """Returns a network of timm for images with fresh weights; `ofa.start.timm` fills them.

    Args:
        input_shape: (C, H, W).
        num_classes: of the head.
        name: such as "resnet18", or "resnet18.a1_in1k" with the name of weights; or a local folder as timm saves one
            for the hub, whose config.json names the architecture.
        arguments: of the network besides, such as {"img_size": 32}.

    Raises:
        InvalidInput: the package is missing, or it has no network of that name and these arguments.
    """
    package = library("timm")
    if len(input_shape) != 3:
        raise InvalidInput(f"timm's networks take images (C, H, W), and the data has inputs {tuple(input_shape)}")
    if Path(name).is_dir():
        name, stored = timm_architecture(name)
        arguments = {**stored, **(arguments or {})}
    plain = name.partition(".")[0]
    if not package.is_model(plain):
        raise InvalidInput(f"timm has no network {plain!r}; {nearest(plain, package.list_models())}")
    try:
        net: nn.Module = package.create_model(
            name, pretrained=False, num_classes=num_classes, in_chans=int(input_shape[0]), **(arguments or {})
        )
    except Exception as error:  # whatever timm says about arguments
        raise InvalidInput(f"timm makes no {name} with {dict(arguments or {})}: {one_line(error)}") from error
    return net


def timm_architecture(folder: str) -> tuple[str, dict[str, Any]]:
    """Returns the name and the arguments of the network that a folder of timm's holds.

    Raises:
        InvalidInput: its config.json is missing, damaged, or names no architecture.
    """
    values = _read_config(Path(folder))
    name, arguments = values.get("architecture"), values.get("model_args") or {}
    if not isinstance(name, str) or not isinstance(arguments, Mapping):
        raise InvalidInput(f"{Path(folder) / CONFIG} names no architecture: it is not of timm")
    return name, dict(arguments)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise InvalidInput(f"{folder} has no {CONFIG}; give a folder that save_pretrained wrote")
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("larger than any configuration")
        values = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is damaged ({one_line(error)}); restore it") from None
    if not isinstance(values, dict):
        raise InvalidInput(f"{path} is damaged (no object); restore it")
    return values


def _sizes(input_shape: Sequence[int], num_classes: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the data decides where the configuration says nothing."""
    if len(input_shape) == 3:
        channels, height, width = (int(size) for size in input_shape)
        return {"num_channels": channels, "image_size": height if height == width else [height, width]}
    return {} if "vocab_size" in config else {"vocab_size": num_classes}


def _has_sdpa(maker: Any, config: Any) -> bool:
    """Whether the network of a configuration computes its attention by torch's own function."""
    kind = maker._model_mapping[type(config)]
    return bool(getattr(kind[0] if isinstance(kind, tuple) else kind, "_supports_sdpa", False))
