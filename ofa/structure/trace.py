"""Trace: everything recorded in one run of a model on labels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ofa.computed_weights import computed_weights
from ofa.structure import lanes
from ofa.structure.label_sets import distinct, missing, packed, unpacked
from ofa.structure.passing import Passing

Lanes = tuple[Tensor, ...]


@dataclass(frozen=True)
class Source:
    """A parameter or buffer: its first name, its tensor, and its first label along each dimension."""

    name: str
    tensor: Tensor
    offsets: tuple[int | None, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along each dimension."""
        return tuple(self.tensor.shape)


def find_sources(model: nn.Module) -> dict[str, Source]:
    """Returns every parameter and buffer of `model` once, under its first name, each with its own labels.

    Labels start at 1 (0 is the constant) and exist along dimensions of more than one entry. Kernels that a convolution
    computes have none along their positions: what counts those, as vectors of spectral norm do, would tie all channels.
    """
    sources: dict[str, Source] = {}
    seen: set[int] = set()
    kernels = _computed_kernels(model)
    label = lanes.CONSTANT + 1
    for name, tensor in [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]:
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        offsets: list[int | None] = []
        for dim, size in enumerate(tensor.shape):
            labeled = size > 1 and (dim < 2 or id(tensor) not in kernels)
            offsets.append(label if labeled else None)
            label += size if labeled else 0
        sources[name] = Source(name, tensor, tuple(offsets))
    return sources


def _computed_kernels(model: nn.Module) -> set[int]:
    """The ids of tensors of the shape of a kernel that a convolution computes from them."""
    computed: set[int] = set()
    for layer in model.modules():
        if isinstance(layer, _ConvNd):
            for weight in computed_weights(layer):
                tensors = dict([*layer.named_parameters(), *layer.named_buffers()])
                original = tensors.get(weight.original or "")
                computed |= {
                    id(tensor) for tensor in tensors.values() if original is not None and tensor.shape == original.shape
                }
    return computed


@dataclass(frozen=True)
class Factor:
    """One dimension of a product: its size, and the labels along it, one 1-d tensor for each lane that varies there."""

    size: int
    labels: tuple[Tensor, ...]


@dataclass(frozen=True)
class Contraction:
    """One multiply-accumulate op: `positions` times the weight's entries, for one example.

    Where no single weight takes part (a product of two activations) `weight` is None and `macs` is the whole count.
    `factors` are the labeled dimensions among those counted in `positions`, or in `macs` where there is no weight.
    """

    module: str
    weight: str | None
    positions: int
    macs: int
    factors: tuple[Factor, ...] = ()


@dataclass(frozen=True)
class Shared:
    """Labels over several dimensions, laid over something that changes only along `dims`, fewer than those.

    So may a vector over the channels of a head meet every head. `pairs` (n, 2) are the labels that meet, the
    constant or the vector's second.
    """

    labels: Tensor
    dims: tuple[int, ...]
    pairs: Tensor
    reason: str


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        module: its path.
        passing: what it returns when it is left out, where its output holds a residual sum of an argument; else None.
        why_not: why there is no `passing`.
        line: the line of the user's code that called it.
    """

    module: str
    passing: Passing | None
    why_not: str
    line: str


@dataclass(frozen=True)
class Mixing:
    """One op whose result depends on all entries along `dims`: its name, the labels it met, and the full sizes.

    Where some of those entries are removed, the result is that of the others alone. `lanes` are compact.
    """

    op: str
    shape: tuple[int, ...]
    dims: tuple[int, ...]
    lanes: Lanes


@dataclass
class Trace:
    """What was seen: labels that met, labels that must stay and why, products of sizes, and module calls.

    `mixings` are known by their module, their number among its ops of that kind, and the number of the operand;
    `epsilon` is the coarsest rounding of all floating-point results, `finite` whether the output was; `ops` are the
    names of all ops, in order.
    """

    pairs: list[Tensor] = field(default_factory=list)
    fixed: list[tuple[Tensor, str]] = field(default_factory=list)
    shared: list[Shared] = field(default_factory=list)
    grids: list[Tensor] = field(default_factory=list)
    renormalized: list[Tensor] = field(default_factory=list)
    contractions: list[Contraction] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    order: dict[str, int] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    where: dict[str, str] = field(default_factory=dict)
    mixings: dict[tuple[str, int, int], Mixing] = field(default_factory=dict)
    ops: list[str] = field(default_factory=list)
    epsilon: float = torch.finfo(torch.float64).eps
    finite: bool = True
    _stays: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool), init=False, repr=False)
    _noted: int = field(default=0, init=False, repr=False)  # how many of `fixed` are in `_stays`

    def meet(self, first: Tensor, second: Tensor, reason: str) -> None:
        """Records that labels laid over each other stay or go together; next to a constant they stay."""
        pairs = lanes.pair(first, second)
        constant = (pairs == lanes.CONSTANT).any(dim=1)
        if bool(constant.any()):
            self.fix(pairs[constant], reason)
            pairs = pairs[~constant]
        self.pairs.append(pairs)

    def lay_over(self, first: Tensor, second: Tensor, reason: str) -> None:
        """Records a meeting of two lanes of one shape, where the one may vary along fewer dimensions."""
        wide, narrow = (first, second) if len(lanes.varying(first)) > len(lanes.varying(second)) else (second, first)
        if not set(lanes.varying(narrow)) < set(lanes.varying(wide)):
            self.meet(first, second, reason)
            return
        self.shared.append(Shared(lanes.compact(wide), lanes.varying(narrow), lanes.pair(wide, narrow), reason))

    def stay_along(self, lane: Tensor, dims: Collection[int], reason: str) -> None:
        """Records that labels stay if they go one by one along `dims`; whole heads may go along the others."""
        if set(lanes.varying(lane)) <= set(dims):
            self.fix(lane, reason)
        elif along := tuple(dim for dim in lanes.varying(lane) if dim in dims):
            labels = torch.unique(lanes.compact(lane))
            constants = torch.full_like(labels, lanes.CONSTANT)
            self.shared.append(Shared(lanes.compact(lane), along, torch.stack([labels, constants], 1), reason))

    def fix(self, labels: Tensor, reason: str) -> None:
        """Records that these labels stay, and why."""
        self.fixed.append((torch.unique(lanes.compact(labels)), reason))

    def any_stays(self, labels: Tensor) -> bool:
        """Whether any of these labels is known to stay by now."""
        for new, _ in self.fixed[self._noted :]:
            if len(new) and (highest := int(new.max())) >= len(self._stays):
                self._stays = np.pad(self._stays, (0, 2 * highest + 1 - len(self._stays)))
            self._stays[new.numpy()] = True
        self._noted = len(self.fixed)
        known = labels.numpy()
        return bool(self._stays[known[known < len(self._stays)]].any())

    def joined(self, other: Trace) -> Trace:
        """Returns this trace with the meetings, reasons and layers of a run in another mode; costs are this one's."""
        return replace(
            self,
            pairs=[*self.pairs, *other.pairs],
            fixed=[*self.fixed, *other.fixed],
            shared=[*self.shared, *other.shared],
            grids=[*self.grids, *other.grids],
            renormalized=[*self.renormalized, *other.renormalized],
            order={name: number for number, name in enumerate(dict.fromkeys([*self.order, *other.order]))},
            grouped=self.grouped | other.grouped,
            epsilon=max(self.epsilon, other.epsilon),
            finite=self.finite and other.finite,
        )

    def shows_more_than(self, other: Trace) -> bool:
        """Whether labels meet, stay, mix or are split here that do not in the other run, or other modules run."""
        return bool(
            {call.module for call in self.calls} - {call.module for call in other.calls}
            or len(self.grids) != len(other.grids)
            or len(missing(self.pair_keys(), other.pair_keys()))
            or len(missing(self.fixed_labels(), other.fixed_labels()))
            or len(missing(distinct(self.renormalized), distinct(other.renormalized)))
        )

    def pair_keys(self) -> np.ndarray:
        """Returns the distinct unordered pairs, smaller label first, each packed into one int64, ascending."""
        return packed([*self.pairs, *(item.pairs for item in self.shared)])

    def pair_array(self) -> np.ndarray:
        """Returns the distinct unordered pairs that met, int64 (pairs, 2), smaller label first."""
        return unpacked(self.pair_keys())

    def tied_pairs(self) -> np.ndarray:
        """Returns those pairs that must stay or go together whatever else is found."""
        return unpacked(packed(self.pairs))

    def fixed_labels(self) -> np.ndarray:
        """Returns the distinct labels that stay, ascending."""
        return distinct([labels for labels, _ in self.fixed])
