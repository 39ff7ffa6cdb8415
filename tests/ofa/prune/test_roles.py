"""What stays whole by its role: found on models whose embeddings, positions and weights look alike."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa import InvalidInput
from ofa.models import GPT, ViT
from ofa.prune import OneShot, Pruner
from ofa.prune.granularity import Granularity, block, n_of_m, weight
from ofa.prune.roles import roles
from ofa.prune.weights import prunable_weights

TOKENS = torch.randint(0, 11, (2, 6), generator=torch.Generator().manual_seed(0))


class Bare(nn.Module):
    """Everything is a bare parameter: only a run tells a weight from a table that is added."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(5, 8))
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.weight = nn.Parameter(torch.randn(8, 8))
        self.standardized = nn.Parameter(torch.randn(8, 8))
        self.scale = nn.Parameter(torch.randn(6, 1))
        self.pair = nn.Parameter(torch.randn(6, 8))
        self.register_buffer("order", torch.arange(5))

    def forward(self, values: Tensor) -> Tensor:
        values = values + self.table[self.order]
        values = torch.cat([self.token.expand(len(values), -1, -1), values], dim=1) * self.scale + self.pair
        centered = self.standardized - self.standardized.mean(dim=1, keepdim=True)
        return functional.linear(functional.linear(values, self.weight), centered.t())


class Tied(nn.Module):
    def __init__(self, head_first: bool) -> None:
        super().__init__()
        parts = {"tokens": nn.Embedding(11, 8), "head": nn.Linear(8, 11, bias=False)}
        for name in sorted(parts, reverse=not head_first):
            self.add_module(name, parts[name])
        self.inside = nn.Linear(8, 8)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.inside(self.tokens(tokens)))


def test_a_run_tells_weights_from_positions_tokens_and_scales() -> None:
    model = Bare()
    assert set(prunable_weights(model, example_input=torch.randn(2, 5, 8))) == {"weight", "standardized"}
    # Without a run, what broadcasts over examples or has one dimension alone is no weight.
    assert set(roles(model)) == {"token", "scale"}


def test_finding_roles_changes_nothing() -> None:
    model = nn.Sequential(Bare(), nn.BatchNorm1d(6)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.random.get_rng_state()
    roles(model, torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)))
    assert model.training and torch.equal(torch.random.get_rng_state(), drawn)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("head_first", [False, True])
def test_a_tied_embedding_stays_whole_whichever_layer_comes_first(head_first: bool) -> None:
    model = Tied(head_first)
    assert list(prunable_weights(model)) == ["inside.weight"]
    name = "head.weight" if head_first else "tokens.weight"
    assert set(prunable_weights(model, include=["*" + name])) == {name, "inside.weight"}


@pytest.mark.parametrize("with_example", [True, False])
def test_transformers_prune_their_linear_layers_alone(with_example: bool) -> None:
    torch.manual_seed(0)
    models = (
        (GPT((16,), 11, width=16, depth=2, heads=2), torch.randint(0, 11, (2, 16))),
        (ViT((3, 8, 8), 5, patch=4, width=16, depth=2, heads=2), torch.randn(2, 3, 8, 8)),
        (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), torch.randn(2, 4, 16)),
    )
    for model, example in models:
        found = prunable_weights(model, example_input=example if with_example else None)
        multiplied = {
            f"{path}.{name}"
            for path, module in model.named_modules()
            for name, parameter in module.named_parameters(recurse=False)
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.MultiheadAttention)) and parameter.dim() > 1
        }
        assert multiplied <= set(found) <= multiplied | (set() if with_example else {"positions"})


def test_half_of_a_transformer_is_half_of_its_linear_layers() -> None:
    """Small embeddings used to take the whole of what was kept, and large linear layers were emptied."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(500, 16), nn.TransformerEncoderLayer(16, 2, 64, batch_first=True))
    pruner = Pruner(model, schedule=OneShot(0.5), example_input=torch.randint(0, 500, (2, 7)))
    assert "0.weight" not in pruner.masks and bool((model[0].weight != 0).all())
    assert pruner.density == pytest.approx(0.5, abs=1e-3)
    assert all(0.2 < row.density < 0.8 for row in pruner.report().rows)
    report = pruner.report()
    assert report.whole == {
        "embedding": 8000,
        "bias or norm": sum(p.numel() for p in model.parameters() if p.dim() == 1),
    }
    assert "8,000 embedding" in str(report)


@pytest.mark.parametrize("kind", [weight, partial(block, rows=2), partial(n_of_m, n=2, m=4)])
def test_what_is_included_is_pruned_too(kind: Granularity) -> None:
    model = Tied(False)
    pruner = Pruner(model, schedule=OneShot(0.5), granularity=kind, include=["tokens", "inside.bias"], seed=0)
    assert set(pruner.weights) == {"tokens.weight", "inside.weight", "inside.bias"}
    assert bool((model.tokens.weight == 0).any())
    assert {"tokens.weight"} == set(pruner.weights) - set(
        prunable_weights(model, keep=["tokens"], include=["tokens", "inside.bias"])
    )


def test_patterns_that_name_nothing_and_models_without_weights_are_said() -> None:
    with pytest.raises(InvalidInput, match=r"include='tokenz'.*tokens"):
        prunable_weights(Tied(False), include=["tokenz"])
    with pytest.raises(InvalidInput, match=r"0\.weight \(embedding\).*include="):
        prunable_weights(nn.Sequential(nn.Embedding(5, 3)))


def test_multiply_accumulates_of_a_tied_output_layer_are_still_counted() -> None:
    pruner = Pruner(Tied(False), example_input=TOKENS)
    assert pruner.report().macs == 6 * (8 * 8 + 8 * 11)
