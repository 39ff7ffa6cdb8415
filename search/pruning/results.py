"""What is kept of a pruned network: weights, masks, history, card, and the slim network where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ofa.checkpoint import save_checkpoint, weights
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.paths import write_atomic, write_json
from ofa.prune.prune_report import make_report
from ofa.prune.weights import full_masks, prunable_weights
from ofa.train.digest import digest_of
from search.export import TOLERANCE, onnx_bytes, onnx_difference
from search.paths import PrunedFolder
from search.progress import say
from search.pruning.dense import held_out
from search.pruning.job import Outcome

BINS = 40  # of a layer's histogram
VERIFY_IMAGES = 8


def save_outcome(outcome: Outcome, data: Dataset, files: PrunedFolder, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the card after writing everything that belongs to a pruned network."""
    net = outcome.model.to("cpu")
    masks = {name: mask.to("cpu") for name, mask in outcome.masks.items()}
    save_checkpoint(files.weights, weights(net), {"digest": digest_of(net)})
    save_checkpoint(files.masks, masks, {"digest": digest_of(net)})
    write_json(files.history, outcome.history)
    counted = outcome.weights or tuple(masks)
    total = sum(masks[name].numel() for name in counted)
    kept = sum(int(masks[name].sum()) for name in counted)
    card = {
        **facts,
        "digest": digest_of(net),
        "accuracy": held_out(net, data),
        "params": sum(parameter.numel() for parameter in net.parameters()),
        "weights": total,
        "kept": kept,
        "density": kept / total,
        "macs": full_macs(net, data),
        **outcome.facts,
        "layers": layer_rows(net, {name: masks[name] for name in counted}),
        "levels": [dict(row) for row in outcome.levels],
        "slim": None if outcome.slim is None else _save_slim(outcome.slim, data, files),
        "seconds": outcome.history[-1]["seconds"] if outcome.history else 0.0,
    }
    write_json(files.card, card)
    return card


def layer_rows(net: nn.Module, masks: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Returns a row a layer: name, shape, weights, kept, and the histogram of the weights that are left.

    A histogram has edges `low` and `high` and as many `counts` as there are bins; None where nothing is left.
    """
    parameters = dict(net.named_parameters())
    rows = []
    for name, mask in masks.items():
        left = parameters[name].detach().cpu()[mask].double().numpy()
        row = {"name": name, "shape": list(mask.shape), "weights": mask.numel(), "kept": int(mask.sum())}
        rows.append(row | {"histogram": _histogram(left)})
    return rows


def _histogram(values: np.ndarray[Any, Any]) -> dict[str, Any] | None:
    """Of values; its range is symmetric and holds all of them."""
    if not len(values):
        return None
    edge = float(np.abs(values).max()) or 1.0
    counts, _ = np.histogram(values, bins=BINS, range=(-edge, edge))
    return {"low": -edge, "high": edge, "counts": counts.tolist()}


def report_facts(net: nn.Module, masks: Mapping[str, Tensor], data: Dataset) -> dict[str, Any]:
    """Returns "kept_macs" and "predicted_bytes" of a network under masks, as a pruner's report has them."""
    report = make_report(net, prunable_weights(net), masks, torch.zeros(2, *data.input_shape))
    return {"kept_macs": report.macs, "predicted_bytes": report.bytes}


def full_macs(net: nn.Module, data: Dataset) -> int | None:
    """Returns the multiply-accumulates of all weights of a network for one image."""
    found = prunable_weights(net)
    return make_report(net, found, full_masks(found), torch.zeros(2, *data.input_shape)).macs


def _save_slim(net: nn.Module, data: Dataset, files: PrunedFolder) -> dict[str, Any]:
    """Writes the slim network's weights and ONNX; one that cannot be exported has weights alone."""
    net = net.to("cpu").eval()
    save_checkpoint(files.slim / "model.safetensors", weights(net), {"digest": digest_of(net)})
    images, _ = data.test.take(torch.arange(min(VERIFY_IMAGES, len(data.test))))
    card: dict[str, Any] = {
        "folder": files.slim.name,
        "params": sum(parameter.numel() for parameter in net.parameters()),
        "macs": full_macs(net, data),
        "accuracy": held_out(net, data),
        "shapes": {name: list(tensor.shape) for name, tensor in weights(net).items()},
        "onnx": None,
    }
    try:
        model = onnx_bytes(net, images[:1])
        with torch.no_grad():
            absolute, relative = onnx_difference(model, images, net(images))
        if relative <= TOLERANCE:
            write_atomic(files.slim / "model.onnx", model)
            card["onnx"] = {"max_abs_difference": absolute, "max_relative_difference": relative}
        else:
            say(f"prune: no ONNX file of the slim network, it would be off by {relative:.2g} of the largest logit")
    except InvalidInput as error:
        say(f"prune: no ONNX file of the slim network: {error}")
    write_json(files.slim / "card.json", card)
    return card
