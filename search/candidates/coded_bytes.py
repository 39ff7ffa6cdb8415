"""Bytes of subnets as coded files (.ofaz): predicted for many Archs at once, by a model of a few that were coded."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from ofa._cost import entries_of
from ofa.arch import Arch
from ofa.checkpoint import weights
from ofa.compress import FileSizes
from ofa.compress.ofaz import encoded
from ofa.identity import as_json
from search.candidates.figures import Floats
from search.run.progress import say

if TYPE_CHECKING:
    from ofa.supernet import Supernet

SAMPLES = 24  # subnets that are coded, at most
FEWEST = 8
MOST_NUMBERS = 60_000_000  # in all samples together: what takes some seconds to code
FOLDS = 5
SHARES = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])  # shares of numbers that stay after pruning


@dataclass(frozen=True)
class CodedBytes:
    """What files of a supernet's subnets take, by an entropy model of tensors, fitted to subnets that were coded.

    A tensor takes bytes for each of its numbers and some at all. Of one that may be pruned, those of a number depend on
    the share of numbers that are kept, by a line through the points of `SHARES`, the same for all tensors but for a
    factor of each. Weights of a fine-tuning are predicted by those that the supernet has.

    Attributes:
        names: of the tensors.
        rates: (2, tensors), bytes of a number and of the tensor where nothing is pruned.
        curve: (points,), bytes of a number at each share of `SHARES`; empty where nothing may be pruned.
        factors: (tensors,), of the curve; 0 of tensors that are never pruned.
        rest: bytes of header and card.
        held_out_error: mean absolute error relative to the file, of subnets that the model was fitted without.
        samples: how many were coded.
    """

    names: tuple[str, ...]
    rates: Floats
    curve: Floats
    factors: Floats
    rest: float
    held_out_error: float
    samples: int

    def predict(self, supernet: Supernet, archs: Sequence[Arch], removed: Mapping[str, Floats] | None = None) -> Floats:
        """Returns the bytes of each Arch's file, (archs,).

        Args:
            removed: the fraction of a tensor's numbers that is zero, (archs,) by name; 0 of all others.
        """
        entries = entries_of(supernet, archs, self.names).astype(np.float64)
        share = np.ones_like(entries)
        for row, name in enumerate(self.names):
            if removed is not None and name in removed:
                share[row] = 1 - removed[name]
        return self._of(entries, share)

    def _of(self, entries: Floats, share: Floats) -> Floats:
        """The same of numbers and shares of them that are kept, (tensors, archs)."""
        whole = self.rates[0][:, None] * entries + self.rates[1][:, None] * (entries > 0)
        if len(self.curve):
            by_curve = self.factors[:, None] * np.interp(share, SHARES, self.curve) * entries
            whole = np.where(self.factors[:, None] > 0, by_curve, whole)
        total: Floats = whole.sum(axis=0) + self.rest
        return total


@dataclass(frozen=True)
class _Samples:
    """Coded subnets: numbers, shares kept and bytes of tensors (tensors, samples), and of the rest (samples,)."""

    names: tuple[str, ...]
    entries: Floats
    share: Floats
    sizes: Floats
    rests: Floats

    def some(self, chosen: Any) -> _Samples:
        """Returns some of them."""
        parts = (part[..., chosen] for part in (self.entries, self.share, self.sizes, self.rests))
        return _Samples(self.names, *parts)


def coded_bytes(supernet: Supernet, pruned: Sequence[str] = (), seed: int = 0) -> CodedBytes:
    """Returns the model of what files of a supernet's subnets take, after coding some of them.

    They are the largest, the smallest and random ones.

    Args:
        pruned: the weights that may be pruned, by name: those of a subnet are, by size, to each of `SHARES` in turn.
    """
    samples = _samples(supernet, pruned, np.random.default_rng(seed))
    count = len(samples.rests)
    totals, errors = samples.sizes.sum(axis=0) + samples.rests, np.zeros(count)
    for fold in range(FOLDS):
        held = np.arange(count) % FOLDS == fold
        model = _fitted(samples.some(~held), pruned)
        errors[held] = np.abs(model._of(samples.entries[:, held], samples.share[:, held]) / totals[held] - 1)
    return replace(_fitted(samples, pruned), held_out_error=float(errors.mean()))


def said_bytes(supernet: Supernet, pruned: Sequence[str] = ()) -> CodedBytes:
    """Returns what `coded_bytes` does, after saying how far the model is off on this supernet."""
    model = coded_bytes(supernet, pruned)
    of = "subnets, pruned to between 2 and 100 %," if pruned else "subnets"
    error = f"{100 * model.held_out_error:.2f} %"
    say(f"search: bytes on disk of {of} are predicted, off by {error} on those of {model.samples} that were held out")
    return model


def _samples(supernet: Supernet, pruned: Sequence[str], random: np.random.Generator) -> _Samples:
    space, names = supernet.space, tuple(supernet.cost_terms.tensors)
    numbers = int(entries_of(supernet, [space.largest], names).sum())
    count = min(SAMPLES, max(FEWEST, MOST_NUMBERS // max(1, numbers)))
    archs = [space.largest, space.smallest, *(space.sample(random) for _ in range(count - 2))]
    entries = entries_of(supernet, archs, names).astype(np.float64)
    share, sizes, rests = np.ones_like(entries), np.zeros_like(entries), np.zeros(count)
    for number, arch in enumerate(archs):
        tensors = _dense(supernet.extract(arch))
        # One sparsity for all, since small tensors are coded together, and their bytes told apart by their numbers.
        sparsity = 1 - float(SHARES[number % len(SHARES)])
        tensors |= {name: _pruned(tensors[name], sparsity) for name in pruned if name in tensors}
        coded = _coded(tensors, arch, supernet)
        rests[number] = coded.total - sum(each.total for each in coded.tensors.values())
        for row, name in enumerate(names):
            if name in tensors:
                sizes[row, number] = coded.tensors[name].total
                if name in pruned:
                    share[row, number] = int(tensors[name].count_nonzero()) / tensors[name].numel()
    return _Samples(names, entries, share, sizes, rests)


def _fitted(samples: _Samples, pruned: Sequence[str]) -> CodedBytes:
    """The model of some samples, without its error."""
    entries, sizes, names = samples.entries, samples.sizes, samples.names
    rates, factors = np.zeros((2, len(names))), np.zeros(len(names))
    for row in range(len(names)):
        present = sizes[row] > 0
        if present.any():
            scale = entries[row].max()
            rates[:, row] = nnls(np.stack([entries[row, present] / scale, present[present]]).T, sizes[row, present])[0]
            rates[0, row] /= scale
    curve = np.zeros(0)
    rows = [row for row, name in enumerate(names) if name in pruned and sizes[row].any()]
    if rows:
        # Columns: what each point of the curve weighs in a number's bytes.
        weights_of = np.stack([np.interp(samples.share[rows], SHARES, point) for point in np.eye(len(SHARES))], axis=-1)
        parts = (weights_of * entries[rows][..., None]).reshape(-1, len(SHARES))
        scale = parts.max(axis=0) + 1e-12
        curve = nnls(parts / scale, sizes[rows].reshape(-1))[0] / scale
        expected = (np.interp(samples.share[rows], SHARES, curve) * entries[rows]).sum(axis=1)
        factors[rows] = sizes[rows].sum(axis=1) / np.maximum(expected, 1e-12)
    return CodedBytes(names, rates, curve, factors, float(samples.rests.mean()), 0.0, len(samples.rests))


def file_bytes(tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> int:
    """Returns what the file of these tensors and this card takes, to the byte: it is coded, and not written."""
    return len(encoded(tensors, card)[0])


def _dense(network: torch.nn.Module) -> dict[str, Tensor]:
    """The tensors of a network, norm statistics like any that are measured: a supernet has those of no subnet."""
    random = torch.Generator().manual_seed(0)
    buffers = {name for name, buffer in network.named_buffers() if buffer.is_floating_point()}
    return {
        name: torch.randn(tensor.shape, generator=random) if name in buffers else tensor.detach().contiguous()
        for name, tensor in weights(network).items()
    }


def _coded(tensors: Mapping[str, Tensor], arch: Arch, supernet: Supernet) -> FileSizes:
    """What a file takes with a card that is about as long as that of `ofa compress`."""
    rules = dataclasses.asdict(supernet.rules)
    card = {"arch": arch.to_dict(), "rules": as_json(rules), "model": str(type(supernet.model))}
    return encoded(tensors, card)[1]


def _pruned(tensor: Tensor, sparsity: float) -> Tensor:
    """A tensor without its smallest numbers."""
    count = round(sparsity * tensor.numel())
    if not count:
        return tensor
    threshold = tensor.abs().flatten().kthvalue(count).values
    return torch.where(tensor.abs() > threshold, tensor, 0.0)  # a product would leave zeros with a sign
