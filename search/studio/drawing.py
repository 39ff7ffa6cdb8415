"""What is drawn of a setting's network: masks as images, histograms of weights, filters of the first layer."""

from __future__ import annotations

import base64
import dataclasses
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ofa.supernet import Supernet
from search.report.data import Choice
from search.report.pictures import in_model_order, silhouette
from search.studio.opened import Opened
from search.studio.shaping import Shaped

BINS = 48  # of a histogram
PIXELS = 64  # of an image's side, at most
MOST_FILTERS = 64


def picture_of(shaped: Shaped, opened: Opened) -> dict[str, Any]:
    """Returns what the page draws, as JSON has it.

    "silhouette" are bars of the layers' widths (none where no supernet is known), "layers" one object for each weight
    that can be pruned and is there, "filters" those of the first layer, or None.
    """
    parameters = dict(shaped.network.named_parameters())
    there = [name for name in opened.layers if name in parameters]
    return {
        "silhouette": _silhouette(shaped, opened),
        "layers": [layer_of(name, shaped, parameters[name].detach()) for name in there],
        "filters": filters_of(parameters[there[0]].detach(), shaped.data.input_shape) if there else None,
        "history": list(shaped.history),
    }


def layer_of(name: str, shaped: Shaped, weight: Tensor) -> dict[str, Any]:
    """Returns what is drawn of one weight: its image, and how its values lie before and after.

    The histogram spans the values before anything was removed; what was removed is not in "kept", so that the gap of a
    pruning by magnitude shows.
    """
    mask = shaped.masks.get(name)
    before = shaped.before[name]
    remaining = weight if mask is None else weight[mask]
    most = float(torch.stack([before.abs().max(), weight.abs().max()]).max()) or 1.0
    levels = None if shaped.sharing is None or name not in shaped.sharing.tensors else shaped.sharing.tensors[name]
    return {
        "name": name,
        "shape": list(weight.shape),
        "weights": weight.numel(),
        "sparsity": 0.0 if mask is None else float((~mask).double().mean()),
        "values": None if levels is None else int(levels.codebook.numel()),
        "range": most,
        "before": histogram(before, most),
        "kept": histogram(remaining, most),
        "image": image_of(weight if mask is None else mask.float(), signed=mask is None),
    }


def histogram(values: Tensor, most: float, bins: int = BINS) -> list[int]:
    """Returns the counts of values in bins of equal width from -most to most."""
    return [int(count) for count in torch.histc(values.reshape(-1).float(), bins, -most, most)]


def image_of(tensor: Tensor, *, signed: bool, most: float | None = None) -> dict[str, Any]:
    """Returns a weight as an image, outputs down and inputs with kernels across, no more than `PIXELS` a side.

    A byte a pixel, in base64: of a mask, 255 where all is kept; of weights, 128 is zero, with their sign around it,
    up to `most`, which is the image's own largest where it is None.
    """
    matrix = tensor.reshape(tensor.shape[0], -1)
    rows, columns = (min(PIXELS, size) for size in matrix.shape)
    small = functional.adaptive_avg_pool2d(matrix[None].float(), (rows, columns))[0]
    if signed:
        small = 0.5 + 0.5 * small / (most or max(float(small.abs().max()), 1e-12))
    pixels = (255 * small).round().clamp(0, 255).to(torch.uint8)
    text = base64.b64encode(pixels.numpy().tobytes()).decode()
    return {"rows": rows, "columns": columns, "signed": signed, "pixels": text}


def filters_of(weight: Tensor, input_shape: tuple[int, ...]) -> list[dict[str, Any]] | None:
    """Returns the filters of a first layer as images, the first channel of each; None where they are no images."""
    if weight.dim() == 4 and weight.shape[-1] > 1:
        images = weight[:, 0]
    elif weight.dim() == 2 and len(input_shape) == 3 and weight.shape[1] == math.prod(input_shape):
        images = weight.reshape(-1, *input_shape)[:, 0]
    else:
        return None
    most = max(float(images.abs().max()), 1e-12)
    return [image_of(each, signed=True, most=most) for each in images[:MOST_FILTERS]]


def _silhouette(shaped: Shaped, opened: Opened) -> list[dict[str, Any]]:
    """The bars of a subnet's layers in its supernet, in pixels of a box of `HEIGHT` and `WIDTH`."""
    if opened.trained is None:
        return []
    return [dataclasses.asdict(layer) for layer in silhouette(choices_of(opened.trained.supernet), shaped.arch.values)]


def choices_of(supernet: Supernet) -> list[Choice]:
    """Returns the choices of a supernet's space as the model has their layers."""
    return in_model_order([Choice(choice.kind, choice.name, choice.values) for choice in supernet.space.choices])
