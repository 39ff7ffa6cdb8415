"""Extract: one subnet as a folder that needs nothing of this toolkit to run."""

from __future__ import annotations

import dataclasses
import io
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ofa.arch import Arch
from ofa.calibrate import calibrate
from ofa.checkpoint import save_checkpoint
from ofa.cost import cost
from ofa.errors import InvalidInput
from ofa.paths import write_atomic, write_json
from ofa.rules import SpaceRules
from search.export import INPUT, OPSET, OUTPUT, TOLERANCE, onnx_bytes, onnx_difference
from search.profile import tool_version
from search.subnet_folder import replaced

if TYPE_CHECKING:
    from ofa.supernet import Supernet

SCHEMA = 1
VERIFY_IMAGES = 8


def extract_subnet(
    supernet: Supernet,
    arch: Arch,
    folder: Path,
    *,
    calibration_images: torch.Tensor,
    verify_images: torch.Tensor,
    facts: Mapping[str, Any],
    model_config: Mapping[str, Any] | None = None,
    space_rules: SpaceRules | None = None,
    network: nn.Module | None = None,
    masks: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, Any]:
    """Returns the card of `arch`'s subnet after writing its folder (see `SubnetFolder` for the files).

    The folder appears complete or not at all; one that was there before stays until then.

    Args:
        calibration_images: training images (N, C, H, W) for the norm statistics.
        verify_images: real inputs (N, C, H, W), preprocessed; the first 8 go into verify.npz.
        facts: what only the caller knows, JSON-able, such as device, runtime, limit_ms, predicted_ms,
            measured_ms, accuracy, num_classes, preprocessing, config_hash.
        model_config: the resolved config that built the model, with `_target_`, for `search.rebuild.load`.
        space_rules: the rules that the supernet was made with.
        network: the subnet with weights of its own, as after a fine-tuning; None for the supernet's weights.
        masks: bool, True is kept, of its weights by name: a file of their own where there are any.

    Raises:
        InvalidInput: an Arch of another space, logits that are not finite, facts that are not JSON or name a
            figure that is found here, or an ONNX file that is off by more than 1e-4 of the largest logit.
    """
    supernet.space.validate(arch)
    if len(verify_images) < 1:
        raise InvalidInput(f"verify_images has {len(verify_images)} images; {VERIFY_IMAGES} are wanted")
    net = (network or calibrate(supernet.extract(arch), calibration_images)).to("cpu").float().eval()
    images = verify_images[:VERIFY_IMAGES].detach().to("cpu").float()
    logits = logits_of(net, images)
    model = onnx_bytes(net, images[:1])
    absolute, relative = onnx_difference(model, images, logits)
    if not relative <= TOLERANCE:
        raise InvalidInput(
            f"{folder}: the ONNX file is off by {absolute:.2g} ({relative:.2g} of the largest logit, and "
            f"{TOLERANCE:g} is allowed): the exporter froze something that depends on the input"
        )
    costs = {name: int(values[0]) for name, values in cost(supernet, [arch]).items()}
    found = {
        "schema": SCHEMA,
        "arch_digest": arch.digest,
        "supernet": supernet.digest,
        "space": supernet.space.digest,
        **costs,
        "input_shape": list(images.shape[1:]),
        "output_shape": list(logits.shape[1:]),
        "onnx": {
            "opset": OPSET,
            "input": INPUT,
            "output": OUTPUT,
            "max_abs_difference": absolute,
            "max_relative_difference": relative,
        },
        "rebuild": {
            "model": None if model_config is None else plain(model_config),
            "space_rules": None if space_rules is None else plain(dataclasses.asdict(space_rules)),
        },
        "versions": {
            "ofa-search": tool_version(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    card = {**_told(facts, found), **found}
    with replaced(folder) as building:
        save_checkpoint(building.weights, _state(net), {"arch": arch.to_dict()})
        if masks is not None:
            save_checkpoint(building.masks, dict(masks), {"arch": arch.to_dict()})
        write_atomic(building.onnx, model)
        write_json(building.arch, arch.to_dict())
        write_atomic(building.verify, _npz({INPUT: images, OUTPUT: logits}))
        write_json(building.card, card)
    return card


def logits_of(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Returns the logits (N, classes) of a network in eval mode.

    Raises:
        InvalidInput: they are not finite.
    """
    with torch.no_grad():
        logits: torch.Tensor = net(images)
    if not torch.isfinite(logits).all():
        raise InvalidInput(f"{type(net).__name__} returns NaN or infinite logits: it cannot be extracted")
    return logits


def plain(value: Any) -> Any:
    """Returns a config's value as JSON-able dictionaries, lists and scalars."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def _told(facts: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    if clash := sorted(set(facts) & set(found)):
        raise InvalidInput(f"facts may not give {', '.join(clash)}: found by the extraction itself")
    told = plain(facts)
    try:
        json.dumps(told, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"facts are not JSON: {error}") from None
    return dict(told)


def _state(net: nn.Module) -> dict[str, torch.Tensor]:
    """Returns the state_dict with memory of its own under every name, as a hand-built model expects it."""
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def _npz(tensors: Mapping[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: tensor.numpy().astype(np.float32) for name, tensor in tensors.items()}
    np.savez(buffer, **arrays)
    return buffer.getvalue()
