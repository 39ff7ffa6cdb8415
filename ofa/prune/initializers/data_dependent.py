"""Initial weights from data: every neuron starts with the same spread, every layer with the same pace of learning."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput, nearest
from ofa.inputs import Example
from ofa.prune.initializers.calibrating import calibrate_layers_
from ofa.prune.initializers.directions import clustered, principal
from ofa.prune.initializers.layers import TRANSPOSED, Layer, fans, layers, normal, reset_, rows, set_rows_
from ofa.prune.initializers.measuring import followed_by_norm, normalizing, on_model, output_of, run

MOST = 2**25  # numbers in memory at once: 256 MiB


def patches(layer: Layer, inputs: Tensor, count: int, generator: torch.Generator) -> Tensor | None:
    """Returns up to `count` input vectors of the layer, float64 on the CPU: (groups, vectors, inputs of one output).

    A vector is what one row of the weight is multiplied with: padded, strided and dilated as the layer does it.
    Images and positions are drawn with replacement, or all taken where there are no more than `count`. None for
    transposed convolutions, which have no such vectors. Very wide layers give fewer, to bound the memory.
    """
    if isinstance(layer, TRANSPOSED):
        return None
    count = max(1, min(count, MOST // (fans(layer)[0] * getattr(layer, "groups", 1))))
    if isinstance(layer, nn.Linear):
        vectors = inputs.flatten(0, -2)
        return vectors[_draws(len(vectors), count, generator).to(vectors.device)].double().cpu()[None]
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    windows = functional.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    dimensions = inputs.dim() - 2
    for axis in range(dimensions):
        kernel, stride, dilation = layer.kernel_size[axis], layer.stride[axis], layer.dilation[axis]
        windows = windows.unfold(2 + axis, (kernel - 1) * dilation + 1, stride)[..., ::dilation]
    places = (windows.shape[0], *windows.shape[2 : 2 + dimensions])  # images and positions
    chosen = torch.unravel_index(_draws(torch.Size(places).numel(), count, generator).to(windows.device), places)
    vectors = windows.movedim(1, 1 + dimensions)[chosen]  # (vectors, channels, kernel...)
    grouped: Tensor = vectors.reshape(len(vectors), layer.groups, -1).transpose(0, 1)
    return grouped.double().cpu()


def _draws(available: int, count: int, generator: torch.Generator) -> Tensor:
    """Indices of all, or of `count` drawn ones (few enough of many, so repetitions do no harm)."""
    if available <= count:
        return torch.arange(available)
    return torch.randint(available, (count,), generator=generator)


METHODS = ("random", "pca", "kmeans")


def data_dependent_(
    model: nn.Module,
    images: Example | None,
    generator: torch.Generator,
    *,
    method: str = "random",
    calibrate: bool = True,
    bias: float = 0.1,
    rounds: int = 10,
    vectors: int = 10_000,
) -> None:
    """Sets the weights layer by layer from what each layer sees of `images` (N, ...), in place.

    Within a layer: rows are drawn ("random": normal), or are principal components ("pca") or cluster means ("kmeans")
    of the layer's input vectors; each row is divided by the deviation of its output, and its bias makes the mean
    output `bias`. Between layers (`calibrate`): up to `rounds` rounds scale whole layers until the gradients are
    equally large against the weights (see `calibrate_layers_`). Layers are visited in the order of one forward
    pass, by hooks, so any model will do.

    A layer that a norm layer follows gets rows of length 1 and no bias, since a scale there has no effect. So does a
    row whose output is constant, or a layer that is not called as a module. Transposed convolutions are always random.
    "pca" and "kmeans" take up to `vectors` input vectors of a layer, and the eigenvectors of their covariance: seconds
    for a layer whose neurons have a thousand inputs.

    Source: Kraehenbuehl et al. 2016, 1511.06856, algorithms 1 and 2; `bias` 0.1 is that of its code.

    Raises:
        InvalidInput: an unknown method, fewer than two images, or several outputs, none named logits.
    """
    if method not in METHODS:
        raise InvalidInput(f"data_dependent_ method={method!r} is unknown; {nearest(method, METHODS)}")
    examples = on_model(model, images, "data_dependent_")
    reset_(model)
    for layer in layers(model).values():
        set_rows_(layer, _unit(normal(rows(layer).shape, generator)))
    with normalizing(model):
        with torch.no_grad():
            normed = followed_by_norm(model, examples)

            def arrival(path: str, layer: Layer, inputs: Tensor) -> None:
                if method != "random":
                    _take_directions_(layer, inputs, method, vectors, generator)
                if path not in normed:
                    _normalize_rows_(layer, inputs, bias)

            run(model, examples, arrival)
        if calibrate:
            calibrate_layers_(model, examples, generator, rounds=rounds, leave=normed)


def _take_directions_(layer: Layer, inputs: Tensor, method: str, count: int, generator: torch.Generator) -> None:
    """Sets the rows to directions of the layer's input vectors, of length 1, each group by itself."""
    seen = patches(layer, inputs, count, generator)
    if seen is None:
        return
    rows_per_group = len(rows(layer)) // len(seen)
    directions = principal if method == "pca" else clustered
    set_rows_(layer, torch.cat([_unit(directions(group, rows_per_group, generator)) for group in seen]))


def _normalize_rows_(layer: Layer, inputs: Tensor, bias: float) -> None:
    """Makes each row's output have deviation 1 and mean `bias`; a row with a constant output keeps its scale."""
    output = output_of(layer, inputs).double()
    mean, deviation = output.mean(dim=1), output.std(dim=1, correction=0)
    deviation = torch.where(deviation > 1e-6 * mean.abs().clamp_min(1e-6), deviation, torch.ones_like(deviation))
    set_rows_(layer, rows(layer) / deviation[:, None])
    if layer.bias is not None:
        layer.bias.copy_(bias - mean / deviation)


def _unit(matrix: Tensor) -> Tensor:
    """The rows at length 1; a row of zeros stays."""
    return functional.normalize(matrix, dim=1)
