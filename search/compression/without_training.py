"""Stages that do not train: layers as products (`low_rank`), few values (`share`), units in an order (`reorder`)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ofa.compress import Sharing, choose_ranks, coded_sizes
from ofa.compress import share as shared
from ofa.errors import InvalidInput
from ofa.inputs import as_inputs, call, output_tensors
from ofa.prune.granularity._channel import every_width
from ofa.sorting import importance_order, l1, nonzeros, reorder_
from ofa.structure.coupling import Group
from ofa.supernet import Supernet
from search.compression.compressed import Compressed, StageContext, partial_masks
from search.networks.compressed_file import factored
from search.run.compressed_cards import Factors
from search.run.progress import say

TOLERANCE = 1e-9  # of outputs in float64, as a fraction of the largest: sums are in another order


def low_rank(
    compressed: Compressed,
    context: StageContext,
    *,
    rank: float | None = None,
    energy: float | None = None,
    budget: float | None = None,
    layers: Sequence[str] = ("*",),
    method: str = "svd",
) -> Compressed:
    """Returns the network with layers of low rank in parts, see `ofa.compress.factorize`; larger ones stay as they are.

    Args:
        rank: of every layer, a whole number, or a fraction of the full rank.
        energy: the share of each weight's squared norm that is kept.
        budget: the fraction of the parameters that may stay.
        layers: globs of the layers that are looked at.
        method: "svd" (a convolution becomes two), or "tucker" (three).

    Raises:
        InvalidInput: not exactly one of rank, energy and budget, values out of range, or layers whose weights were
            removed or shared before: products are dense.
    """
    if compressed.sharing is not None:
        raise InvalidInput("the stage low_rank comes before share: products of shared values are not shared")
    options = {"layers": list(layers), "method": method}
    ranks = choose_ranks(compressed.network, rank=rank, energy=energy, budget=budget, **options)  # type: ignore[arg-type]
    removed = sorted({name.rpartition(".")[0] for name in compressed.masks} & ranks.keys())
    if removed:
        raise InvalidInput(
            f"the stage low_rank comes before prune: weights of {removed[0]} are removed, and its factors would be "
            "dense; name other layers, or begin with the dense network"
        )
    factors = Factors(method=method, ranks=ranks)
    return replace(compressed, network=factored(compressed.network, factors), factors=(*compressed.factors, factors))


def share(
    compressed: Compressed,
    context: StageContext,
    *,
    bits: int | Mapping[str, int] | None = None,
    levels: int | Mapping[str, int] | None = None,
    start: str = "linear",
    keep: Sequence[str] = (),
    bit_price: float = 0.0,
) -> Compressed:
    """Returns the network whose weights take few values, a codebook for each tensor; see `ofa.compress.share`.

    Args:
        bits: a tensor has at most 2 ** bits values; a number for all matrices and kernels, or numbers by glob.
        levels: in place of bits, how many values.
        start: of k-means: "linear", "density", "random" or "exact"; or "integers".
        keep: globs of tensors or layers that are not shared.
        bit_price: the squared error that a bit of the file is worth; above 0 weights go that take many bits.

    Raises:
        InvalidInput: not exactly one of bits and levels, one out of range, or a glob that matches nothing.
    """
    after = compressed.copied()
    generator = torch.Generator().manual_seed(context.training.seed)
    options = {"start": start, "keep": keep, "generator": generator, "bit_price": bit_price}
    sharing = shared(after.network, bits, levels=levels, **options)  # type: ignore[arg-type]
    sharing.put(after.network)
    if not bit_price:
        return replace(after, sharing=sharing)
    nonzero = {name: tensor.indices != 0 for name, tensor in sharing.tensors.items()}
    return replace(after, sharing=sharing, masks={**after.masks, **partial_masks(nonzero)})


def reorder(compressed: Compressed, context: StageContext) -> Compressed:
    """Returns the network with its hidden units in another order, if that makes its file smaller.

    Units that stay together are found as for a supernet; those that a layout fixes keep their place. Tried are the
    number of weights that are left of a unit, and their magnitude; the smallest file wins. Outputs are compared.

    Raises:
        InvalidInput: outputs that differ, or are not finite.
    """
    if context.rehearsal:
        return compressed
    example = context.data.example()
    try:
        double = every_width(copy.deepcopy(compressed.network).double(), as_inputs(example).map(_double))
    except InvalidInput as error:
        say(f"compress: reorder: nothing is moved: {str(error).splitlines()[0]}")
        return compressed
    best, least = compressed, _bytes(compressed)
    for criterion in (nonzeros, l1):
        order = positions(double, criterion)
        tried = moved(compressed, order)
        if (size := _bytes(tried)) < least:
            best, least = tried, size
    if best is not compressed:
        check_same_function(compressed.network, best.network, example)
    return best


def positions(supernet: Supernet, criterion: Callable[[Supernet, Group], Tensor]) -> dict[str, Tensor]:
    """Returns where each number of each tensor comes from, int64 of its shape, when units are sorted by a criterion.

    Args:
        supernet: in float64, which holds positions exactly; its weights are as they were afterwards.
    """
    order = importance_order(supernet, criterion)
    tensors = dict(supernet.tensors())
    originals = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    with torch.no_grad():
        for tensor in tensors.values():
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape))
        reorder_(supernet, order)
        indices = {name: tensor.detach().long().clone() for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            tensor.copy_(originals[name])
    return indices


def moved(compressed: Compressed, order: Mapping[str, Tensor]) -> Compressed:
    """Returns the network with its numbers, masks and shared values at the positions that `positions` gave."""
    after = compressed.copied()
    state = after.network.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, origin in order.items():
            tensor = state[name]
            tensor.copy_(_at(tensor, origin))
    masks = {name: _at(mask, order[name]) if name in order else mask for name, mask in after.masks.items()}
    return replace(after, masks=masks, sharing=None if after.sharing is None else _moved_sharing(after.sharing, order))


def _moved_sharing(sharing: Sharing, order: Mapping[str, Tensor]) -> Sharing:
    return Sharing(
        {
            name: replace(tensor, indices=_at(tensor.indices, order[name])) if name in order else tensor
            for name, tensor in sharing.tensors.items()
        }
    )


def _at(tensor: Tensor, origin: Tensor) -> Tensor:
    return tensor.reshape(-1)[origin.reshape(-1)].reshape(tensor.shape)


def check_same_function(first: nn.Module, second: nn.Module, example: object) -> None:
    """Checks that two networks give the same outputs, in float64.

    Raises:
        InvalidInput: they differ by more than rounding.
    """
    inputs = as_inputs(example).map(_double)  # type: ignore[arg-type]
    answers = []
    for net in (first, second):
        with torch.no_grad():
            answers.append(output_tensors(call(copy.deepcopy(net).double().eval(), inputs)))
    for output, other in zip(*answers, strict=True):
        off = float((output - other).abs().max()) / max(float(output.abs().max()), 1e-12)
        if not off <= TOLERANCE:
            raise InvalidInput(f"units in another order change outputs by {off:.2g} of the largest: leave reorder out")


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _bytes(compressed: Compressed) -> int:
    return coded_sizes(compressed.tensors).total
