"""Weight sharing: every layer's weights take few values, and a removed weight stays exactly 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ofa.compress.codebooks import MOST_LEVELS, STARTS, codebook, nearest_entries
from ofa.compress.entry_choice import MOST_PRICED, chosen_entries
from ofa.compress.integers import integer_levels
from ofa.errors import InvalidInput, is_number, is_whole, nearest
from ofa.plain_network import check_plain_weights

MOST_BITS = 16
INTEGERS = "integers"


@dataclass(frozen=True, eq=False)
class SharedTensor:
    """A tensor of few values.

    Attributes:
        codebook: (K,), the values.
        indices: int32 in the tensor's shape: 0 for a removed weight, otherwise 1 + the place in the codebook.
        step: where the values are whole multiples of one number, that number; None otherwise.
    """

    codebook: Tensor
    indices: Tensor
    step: float | None = None

    def values(self) -> Tensor:
        """Returns the tensor itself: zeros and values of the codebook."""
        return torch.cat([self.codebook.new_zeros(1), self.codebook])[self.indices]

    def estimated_bytes(self) -> float:
        """Returns bytes by the entropy of the indices, removed ones included, and the codebook as it is.

        It is what a coder needs that knows how often each value comes and nothing of where; one that knows rows
        and columns needs less.
        """
        counts = torch.bincount(self.indices.reshape(-1).long()).double()
        shares = counts[counts > 0] / max(self.indices.numel(), 1)
        bits = -float((shares * shares.log2()).sum()) * self.indices.numel()
        return bits / 8 + self.codebook.numel() * self.codebook.element_size()


@dataclass(frozen=True, eq=False)
class Sharing:
    """Tensors of few values, by the names of a model's parameters."""

    tensors: Mapping[str, SharedTensor]

    def values(self) -> dict[str, Tensor]:
        """Returns the tensors themselves, by name."""
        return {name: tensor.values() for name, tensor in self.tensors.items()}

    def estimated_bytes(self) -> float:
        """Returns the sum of the tensors' `estimated_bytes`."""
        return sum(tensor.estimated_bytes() for tensor in self.tensors.values())

    def put(self, model: nn.Module) -> nn.Module:
        """Returns the model, whose weights now have the shared values, in place.

        Raises:
            InvalidInput: a name that the model has not, or another shape.
        """
        parameters = self.parameters_of(model)
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                parameters[name].copy_(tensor.values())
        return model

    def parameters_of(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Returns the model's parameters by name, after checking that it has all shared ones.

        Raises:
            InvalidInput: a name that the model has not, or another shape.
        """
        parameters = dict(model.named_parameters())
        for name, tensor in self.tensors.items():
            if name not in parameters:
                raise InvalidInput(f"the model has no parameter {name!r} to share; {nearest(name, parameters)}")
            if parameters[name].shape != tensor.indices.shape:
                shapes = f"{tuple(parameters[name].shape)} in the model, {tuple(tensor.indices.shape)} in the sharing"
                raise InvalidInput(f"the parameter {name!r} has shape {shapes}")
        return parameters


def share(
    model: nn.Module | Mapping[str, Tensor],
    bits: int | Mapping[str, int] | None = None,
    *,
    levels: int | Mapping[str, int] | None = None,
    start: str = "linear",
    keep: Sequence[str] = (),
    generator: torch.Generator | None = None,
    importance: Mapping[str, Tensor] | None = None,
    bit_price: float = 0.0,
) -> Sharing:
    """Returns the weights as codebooks and indices, a codebook for each tensor; the model does not change.

    A number is for every matrix and kernel (two dimensions or more). A mapping gives it by glob; the last that
    matches counts, and what none matches is not shared. A glob names tensors ("fc1.weight", "*.bias") or layers
    ("fc1"); biases and norms, of one dimension, are shared only where a glob names them so that its last part is
    not "*" alone. Weights that are 0 are removed weights: they stay 0 and take no entry.

    Source: Han et al. 2016, 1510.00149, section 3.

    Args:
        model: a model, or tensors by name.
        bits: a tensor's weights take at most 2 ** bits values; 1 to 16.
        levels: in place of bits, how many values; not only powers of two.
        start: of k-means, see `codebook`; or "integers": whole multiples of one step a tensor, see `integer_levels`.
        keep: globs of tensors or layers that are not shared.
        generator: draws the random start.
        importance: how much the error of each weight counts, by name, see `codebook`; without, all the same.
        bit_price: the squared error that a bit of the file is worth, of a tensor's mean square but zeros: weights take
            commoner values, and those go that take many bits and do little, see `ofa.compress.entry_choice`. 0: the
            nearest value, as where a tensor takes more than 256.

    Raises:
        InvalidInput: not exactly one of bits and levels, one out of range, a glob that matches nothing, nothing to
            share, values that are not finite, a weight that a layer computes from others, or a price of integers.
    """
    tensors = shareable(model)
    wanted = _wanted(tensors, bits, levels, keep)
    if start != INTEGERS and start not in STARTS:
        raise InvalidInput(f"start={start!r} is unknown; {nearest(str(start), [*STARTS, INTEGERS])}")
    if not is_number(bit_price) or bit_price < 0 or (bit_price and start == INTEGERS):
        raise InvalidInput(
            f"bit_price={bit_price!r} of start={start!r}: give 0 or more, such as 0.02, and 0 for integers"
        )
    shared = {}
    for name, most in wanted.items():
        tensor = tensors[name]
        weights = None if importance is None else importance.get(name)
        try:
            shared[name] = (
                _integers(tensor, most) if start == INTEGERS else _clustered(tensor, most, start, generator, weights)
            )
            if bit_price and most <= MOST_PRICED:
                shared[name] = SharedTensor(*chosen_entries(tensor, shared[name].codebook, bit_price, weights))
        except InvalidInput as error:
            raise InvalidInput(f"sharing {name!r}: {error}") from None
    return Sharing(shared)


def shareable(model: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors that can be shared, by name: those of floating point that are not all 0.

    Raises:
        InvalidInput: a weight that a layer computes from others.
    """
    if isinstance(model, nn.Module):
        check_plain_weights(model, "share")
        model = dict(model.named_parameters())
    return {name: tensor.detach() for name, tensor in model.items() if tensor.is_floating_point() and tensor.any()}


def _wanted(
    tensors: Mapping[str, Tensor],
    bits: int | Mapping[str, int] | None,
    levels: int | Mapping[str, int] | None,
    keep: Sequence[str],
) -> dict[str, int]:
    """How many values each tensor that is shared may take."""
    if (bits is None) == (levels is None):
        raise InvalidInput(f"bits={bits!r}, levels={levels!r}: give exactly one of the two")
    word, given, most = ("bits", bits, MOST_BITS) if levels is None else ("levels", levels, MOST_LEVELS)
    by_glob = given if isinstance(given, Mapping) else {"*": given}
    wanted: dict[str, int] = {}
    for pattern, number in by_glob.items():
        if not is_whole(number, 1, most):
            raise InvalidInput(f"{word}={number!r} of {pattern!r}: give a whole number from 1 to {most}")
        names = matching(tensors, pattern)
        if not names:
            raise InvalidInput(f"{word}: {pattern!r} matches no tensor to share; {nearest(pattern, tensors)}")
        wanted |= dict.fromkeys(names, 2**number if levels is None else number)
    for pattern in keep:
        names = [name for name in tensors if any(fnmatchcase(part, pattern) for part in (name, _layer(name)))]
        if not names:
            raise InvalidInput(f"keep={pattern!r} matches no tensor to share; {nearest(pattern, tensors)}")
        wanted = {name: number for name, number in wanted.items() if name not in names}
    if not wanted:
        raise InvalidInput("nothing is left to share: every tensor is kept, or all their weights are 0")
    return wanted


def matching(tensors: Mapping[str, Tensor], pattern: str) -> list[str]:
    """Returns the names of the tensors that a glob means: vectors only where it names them, see `share`."""
    names_vectors = pattern.rpartition(".")[2] != "*"
    return [
        name
        for name, tensor in tensors.items()
        if (fnmatchcase(name, pattern) and (tensor.dim() >= 2 or names_vectors))
        or (fnmatchcase(_layer(name), pattern) and tensor.dim() >= 2)
    ]


def _layer(name: str) -> str:
    """The path of the layer that holds a tensor."""
    return name.rpartition(".")[0]


def _clustered(
    tensor: Tensor, levels: int, start: str, generator: torch.Generator | None, importance: Tensor | None
) -> SharedTensor:
    entries = codebook(tensor, levels, start, generator, importance)
    indices = nearest_entries(tensor, entries) + 1
    return SharedTensor(entries, indices.masked_fill_(tensor == 0, 0))


def _integers(tensor: Tensor, levels: int) -> SharedTensor:
    """Of the largest count of bits whose integers but 0 are no more than `levels`."""
    bits = int(math.log2(levels + 2))
    if bits < 2:
        raise InvalidInput(f"levels={levels}: integers have at least 2, -1 and 1, beside 0")
    whole, step = integer_levels(tensor, bits)
    used: Tensor = torch.unique(whole[whole != 0])
    indices = torch.bucketize(whole.contiguous(), used, out_int32=True) + 1
    return SharedTensor((used.double() * step).to(tensor.dtype), indices.masked_fill_(whole == 0, 0), step)
