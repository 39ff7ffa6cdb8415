"""Stages of a compression: each does what it says, and nothing that earlier ones did is undone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ofa.compress import coded_sizes
from ofa.errors import InvalidInput
from ofa.prune.granularity._channel import every_width
from ofa.sorting import nonzeros
from search.compression import finetune, low_rank, prune, reorder, share
from search.compression.compressed import Compressed, clean_, zeros_as_masks
from search.compression.without_training import check_same_function, moved, positions
from tests.search.compression.small import DATA, begin, context


def removed(compressed: Compressed) -> float:
    """Returns the fraction of the weights of matrices and kernels that is zero."""
    weights = [tensor for name, tensor in compressed.network.named_parameters() if tensor.dim() >= 2]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


def bits(compressed: Compressed) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in compressed.tensors.items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.parametrize("epochs", [0, 1])
def test_prune_removes_what_it_says_and_what_was_removed_stays(epochs: int, tmp_path: Path) -> None:
    start = begin()
    before = bits(start)
    once = clean_(prune(start, context(tmp_path), sparsity=0.5, epochs=0))
    assert same(bits(start), before)  # a stage changes nothing that it is given
    assert removed(once) == pytest.approx(0.5, abs=0.01)
    after = clean_(prune(once, context(tmp_path, distill=0.5), sparsity=0.7, epochs=epochs))
    assert removed(after) == pytest.approx(0.7, abs=0.01) and after.density < once.density
    parameters = dict(after.network.named_parameters())
    for name, mask in once.masks.items():
        zeros = parameters[name][~mask]
        assert len(zeros) and not zeros.any() and not torch.signbit(zeros).any()
    found = zeros_as_masks(after.network)
    assert found.keys() == after.masks.keys()
    assert all(torch.equal(mask, found[name]) for name, mask in after.masks.items())


def test_prune_refuses_what_cannot_be(tmp_path: Path) -> None:
    half = prune(begin(), context(tmp_path), sparsity=0.5, epochs=0)
    with pytest.raises(InvalidInput, match=r"sparsity=0.3 of the stage prune: 0.5\d* of the weights are removed"):
        prune(half, context(tmp_path), sparsity=0.3, epochs=0)
    with pytest.raises(InvalidInput, match="comes before share"):
        prune(share(half, context(tmp_path), bits=2), context(tmp_path), sparsity=0.9)
    for sparsity in (0, 1, -0.1, True):
        with pytest.raises(InvalidInput, match="more than 0 and less than 1"):
            prune(half, context(tmp_path), sparsity=sparsity)


def test_finetune_moves_what_is_kept_alone(tmp_path: Path) -> None:
    pruned = prune(begin(), context(tmp_path), sparsity=0.6, epochs=0)
    tuned = clean_(finetune(pruned, context(tmp_path, distill=0.5), epochs=1))
    parameters, before = dict(tuned.network.named_parameters()), dict(pruned.network.named_parameters())
    for name, mask in pruned.masks.items():
        assert not parameters[name][~mask].any() and not torch.equal(parameters[name], before[name])
    assert tuned.masks.keys() == pruned.masks.keys()


def test_share_at_a_price_removes_weights_for_good_and_makes_a_smaller_file(tmp_path: Path) -> None:
    pruned = prune(begin(), context(tmp_path), sparsity=0.6, epochs=0)
    plain = share(pruned, context(tmp_path), bits=3)
    priced = share(pruned, context(tmp_path), bits=3, bit_price=0.1)
    assert removed(priced) > removed(plain) == pytest.approx(removed(pruned)) and priced.density < plain.density
    assert coded_sizes(priced.tensors).total < coded_sizes(plain.tensors).total
    tuned = clean_(finetune(priced, context(tmp_path), epochs=1))
    assert removed(tuned) == pytest.approx(removed(priced)) and tuned.density == priced.density


def test_finetune_of_shared_values_keeps_them_shared(tmp_path: Path) -> None:
    pruned = prune(begin(), context(tmp_path), sparsity=0.6, epochs=0)
    shared = clean_(share(pruned, context(tmp_path), bits=2))
    tuned = clean_(finetune(shared, context(tmp_path), epochs=1))
    assert shared.sharing is not None and tuned.sharing is not None
    parameters = dict(tuned.network.named_parameters())
    for name, tensor in tuned.sharing.tensors.items():
        assert torch.equal(tensor.indices, shared.sharing.tensors[name].indices)
        assert torch.equal(parameters[name], tensor.values())
        assert len(parameters[name][parameters[name] != 0].unique()) <= 4
        assert not torch.equal(tensor.codebook, shared.sharing.tensors[name].codebook)
    assert type(tuned.network) is type(shared.network) and list(tuned.tensors) == list(shared.tensors)


def test_no_epochs_train_nothing(tmp_path: Path) -> None:
    start = begin()
    assert same(bits(finetune(start, context(tmp_path), epochs=0)), bits(start))
    for wrong in ({"epochs": -1}, {"epochs": 1.5}, {"learning_rate": 0.0}):
        with pytest.raises(InvalidInput, match="of a stage"):
            finetune(start, context(tmp_path), **wrong)  # type: ignore[arg-type]


def test_low_rank_makes_fewer_numbers_and_comes_first(tmp_path: Path) -> None:
    start = begin()
    thin = low_rank(start, context(tmp_path), rank=2.0 / 12)
    assert sum(t.numel() for t in thin.tensors.values()) < sum(t.numel() for t in start.tensors.values())
    assert thin.factors[0].method == "svd" and thin.factors[0].ranks
    half = prune(start, context(tmp_path), sparsity=0.5, epochs=0)
    with pytest.raises(InvalidInput, match="comes before prune"):
        low_rank(half, context(tmp_path), rank=2.0 / 12)
    with pytest.raises(InvalidInput, match="comes before share"):
        low_rank(share(start, context(tmp_path), bits=2), context(tmp_path), rank=2.0 / 12)


@pytest.mark.parametrize("seed", [0, 1])
def test_reorder_changes_no_output_and_is_never_larger(seed: int, tmp_path: Path) -> None:
    compressed = share(prune(begin(seed), context(tmp_path), sparsity=0.8, epochs=0), context(tmp_path), bits=3)
    after = reorder(compressed, context(tmp_path))
    assert coded_sizes(after.tensors).total <= coded_sizes(compressed.tensors).total
    check_same_function(compressed.network, after.network, DATA.example())


def test_what_is_moved_moves_with_its_masks_and_shared_values(tmp_path: Path) -> None:
    compressed = share(prune(begin(), context(tmp_path), sparsity=0.8, epochs=0), context(tmp_path), bits=3)
    double = every_width(compressed.copied().network.double(), DATA.example().double())
    order = positions(double, nonzeros)
    after = moved(compressed, order)
    assert not same(bits(after), bits(compressed))  # something did move
    check_same_function(compressed.network, after.network, DATA.example())
    parameters = dict(after.network.named_parameters())
    assert after.sharing is not None
    for name, tensor in after.sharing.tensors.items():
        assert torch.equal(tensor.values(), parameters[name])
    for name, mask in after.masks.items():
        assert not parameters[name][~mask].any()
        assert int(mask.sum()) == int(compressed.masks[name].sum())


def test_another_function_is_seen() -> None:
    with pytest.raises(InvalidInput, match="change outputs"):
        check_same_function(begin(0).network, begin(1).network, DATA.example())


def test_copies_share_nothing() -> None:
    start = begin()
    with torch.no_grad():
        next(replace(start).copied().network.parameters()).zero_()
    assert bool(next(start.network.parameters()).any())
