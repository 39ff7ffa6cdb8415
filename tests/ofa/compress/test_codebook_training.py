from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ofa.data
from ofa.compress import share, sharing_of, with_codebooks, without_codebooks
from ofa.errors import InvalidInput
from ofa.train import TrainSettings, train_network


class Mixed(nn.Module):
    """Tied embeddings, attention and a head; integers (N, 5) to logits (N, 5, 7)."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(5, 8))
        self.words = nn.Embedding(7, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 7)
        self.head.weight = self.words.weight

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.words(tokens) + self.position
        logits: Tensor = self.head(hidden + self.attention(hidden, hidden, hidden)[0])
        return logits


def mixed() -> tuple[nn.Module, Tensor]:
    return Mixed(), torch.randint(7, (3, 5))


def convolutional() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(4, 3)
    ).to(memory_format=torch.channels_last), torch.randn(3, 2, 5, 5)


def recurrent() -> tuple[nn.Module, Tensor]:
    class Last(nn.LSTM):
        def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
            outputs: Tensor = super().forward(inputs)[0]
            return outputs

    return Last(3, 4, batch_first=True), torch.randn(2, 5, 3)


MODELS = {"mixed": mixed, "convolutional": convolutional, "recurrent": recurrent}


def prepared(kind: str, seed: int, *, dense: bool = False) -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, inputs = MODELS[kind]()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape))
                if parameter.dim() > 1 and not dense:
                    parameter.mul_(torch.rand(parameter.shape) > 0.5)
    return model.double(), inputs.double() if inputs.is_floating_point() else inputs


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.integers(0, 99), st.integers(1, 4), st.booleans(), st.booleans())
def test_gradients_are_the_sums_of_the_members(kind: str, seed: int, bits: int, dense: bool, integers: bool) -> None:
    model, inputs = prepared(kind, seed, dense=dense)
    sharing = share(model, bits, start="integers" if integers else "linear")
    trained = with_codebooks(model, sharing)
    sharing.put(model)
    outputs, expected = trained(inputs), model(inputs)
    torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-9)
    factors = torch.randn(outputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    (outputs * factors).sum().backward()
    (expected * factors).sum().backward()
    gradients = dict(trained.named_parameters())
    for name, parameter in model.named_parameters():
        if name not in sharing.tensors:
            torch.testing.assert_close(gradients[name].grad, parameter.grad)
            continue
        path, _, attribute = name.rpartition(".")
        codebook = gradients[f"{path}.parametrizations.{attribute}.original".lstrip(".")]
        assert codebook.grad is not None and parameter.grad is not None
        shared = sharing.tensors[name]
        sums = torch.zeros(len(shared.codebook) + 1, dtype=torch.float64)
        sums.index_add_(0, shared.indices.reshape(-1), parameter.grad.reshape(-1))
        if shared.step is None:
            torch.testing.assert_close(codebook.grad, sums[1:], rtol=1e-9, atol=1e-9)
        else:
            whole = shared.codebook / shared.step
            torch.testing.assert_close(codebook.grad, (sums[1:] * whole).sum().reshape(1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", sorted(MODELS))
@pytest.mark.parametrize("start", ["linear", "integers"])
def test_training_moves_entries_and_the_end_is_an_ordinary_model(kind: str, start: str) -> None:
    model, inputs = prepared(kind, 3)
    sharing = share(model, 2, start=start)
    trained = with_codebooks(model, sharing)
    optimizer = torch.optim.AdamW(trained.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        trained(inputs).square().mean().backward()
        optimizer.step()
    ended, now = without_codebooks(trained), sharing_of(trained)
    torch.testing.assert_close(ended(inputs), trained(inputs), rtol=0.0, atol=0.0)
    assert list(ended.state_dict()) == list(model.state_dict()) and type(ended) is type(model)
    assert [*dict(ended.named_parameters())] == [*dict(model.named_parameters())]
    parameters = dict(ended.named_parameters())
    for name, before in sharing.tensors.items():
        after = now.tensors[name]
        assert torch.equal(after.indices, before.indices) and not torch.equal(after.codebook, before.codebook)
        assert torch.equal(parameters[name], after.values())
        assert not parameters[name][before.indices == 0].any()
    assert parameters[next(iter(sharing.tensors))].requires_grad
    with_codebooks(ended, now)(inputs)  # and again


def test_ties_stay_and_the_given_model_is_left_alone() -> None:
    model, inputs = prepared("mixed", 1)
    before = model(inputs)
    trained = with_codebooks(model, share(model, 2))
    assert sum("original" in name for name, _ in trained.named_parameters()) == 4
    ended = without_codebooks(trained)
    assert ended.get_parameter("head.weight") is ended.get_parameter("words.weight")
    assert torch.equal(model(inputs), before) and not torch.equal(ended(inputs), before)
    assert torch.equal(trained(inputs), ended(inputs))  # it still looks its weights up


def test_frozen_weights_stay_frozen_and_kernels_in_their_layout() -> None:
    model, _ = prepared("convolutional", 2)
    model.get_parameter("0.weight").requires_grad_(False)
    trained = with_codebooks(model, share(model, 2))
    assert not trained.get_parameter("0.parametrizations.weight.original").requires_grad
    ended = without_codebooks(trained)
    assert not ended.get_parameter("0.weight").requires_grad
    assert ended.get_parameter("0.weight").is_contiguous(memory_format=torch.channels_last)


def test_the_loop_trains_codebooks_alone() -> None:
    data = ofa.data.digits()
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    sharing = share(model, 3)
    trained = with_codebooks(model, sharing)
    settings = TrainSettings(optimizer=partial(torch.optim.SGD, lr=0.05), epochs=3, batch_size=64, validate_every=0)
    history = train_network(trained, data, settings).history
    assert history[-1]["loss"] < history[0]["loss"]
    assert all(len(tensor.codebook) == 8 for tensor in sharing_of(trained).tensors.values())


def test_refused() -> None:
    model, _ = prepared("convolutional", 0)
    with pytest.raises(InvalidInput, match="no codebooks"):
        without_codebooks(model)
    with pytest.raises(InvalidInput, match="no codebooks"):
        sharing_of(model)
    with pytest.raises(InvalidInput, match=r"no parameter '0\.weight'"):
        with_codebooks(nn.Linear(3, 3), share(model, 2))
