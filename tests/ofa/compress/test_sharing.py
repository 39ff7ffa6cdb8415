import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ofa.compress import codebook, integer_levels, share
from ofa.compress.codebooks import STARTS
from ofa.errors import InvalidInput
from ofa.prune.regularizers import IntegerAttracting


def pruned(seed: int = 0, share_removed: float = 0.6) -> nn.Sequential:
    """A convolution, a norm and two linear layers with random values, most weights of matrices removed."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(6, 9), nn.Linear(9, 4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            if parameter.dim() > 1:
                parameter.mul_(torch.rand(parameter.shape, generator=generator) > share_removed)
    return model


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(1, 5), st.sampled_from([*STARTS, "integers"]), st.floats(0, 0.9))
def test_values_are_of_the_codebook_and_zeros_stay(seed: int, bits: int, start: str, removed: float) -> None:
    model = pruned(seed, removed)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    sharing = share(model, bits, start=start, generator=torch.Generator().manual_seed(seed))
    assert set(sharing.tensors) == {name for name, tensor in before.items() if tensor.dim() > 1 and tensor.any()}
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    sharing.put(model)
    for name, parameter in model.named_parameters():
        if name not in sharing.tensors:
            assert torch.equal(parameter, before[name])
            continue
        tensor = sharing.tensors[name]
        assert len(tensor.codebook) <= max(2**bits, 2)
        kept = tensor.indices > 0
        assert torch.isin(parameter[kept], tensor.codebook).all() and not parameter[~kept].any()
        if start == "integers":
            assert tensor.step is not None
            whole, _ = integer_levels(before[name], max(bits, 2))
            torch.testing.assert_close(parameter.double(), whole.double() * tensor.step, rtol=1e-6, atol=0.0)
        else:
            assert torch.equal(kept, before[name] != 0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.integers(1, 9), st.sampled_from(STARTS))
def test_sharing_again_changes_nothing(seed: int, levels: int, start: str) -> None:
    options = {"start": start, "generator": torch.Generator().manual_seed(seed)}
    once = share(pruned(seed), levels=levels, **options)  # type: ignore[arg-type]
    twice = share(once.values(), levels=levels, **options)  # type: ignore[arg-type]
    assert all(torch.equal(value, twice.values()[name]) for name, value in once.values().items())


def test_every_weight_takes_the_nearest_entry() -> None:
    weight = pruned().get_parameter("3.weight").detach()
    shared = share({"w": weight}, levels=5).tensors["w"]
    assert torch.equal(shared.codebook, codebook(weight, 5))
    distances = (weight[..., None] - shared.codebook).abs()
    kept = weight != 0
    chosen = distances.gather(-1, (shared.indices.long() - 1).clamp_min(0)[..., None])[..., 0]
    assert (chosen == distances.amin(-1))[kept].all()


def test_the_last_glob_counts_and_vectors_must_be_named() -> None:
    model = pruned()
    sharing = share(model, levels={"*": 4, "3": 7, "*.bias": 3, "1.weight": 2}, keep=["4.weight"])
    sizes = {name: len(tensor.codebook) for name, tensor in sharing.tensors.items()}
    assert sizes == {
        **{"0.weight": 4, "0.bias": 3, "1.weight": 2, "1.bias": 3},
        **{"3.weight": 7, "3.bias": 3, "4.bias": 3},
    }
    assert set(share(model, {"3.*": 2}).tensors) == {"3.weight"}


def test_importance_draws_the_codebook() -> None:
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    heavy = torch.tensor([[1.0, 1.0, 1.0, 1e6]])
    assert share({"w": weight}, levels=1, importance={"w": heavy}).tensors["w"].codebook.item() > 3.99


def test_estimated_bytes_are_the_entropy_and_the_codebook() -> None:
    weight = torch.tensor([[0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]])
    assert share({"w": weight}, levels=3).estimated_bytes() == pytest.approx(8 * 2 / 8 + 3 * 4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(2, 8))
def test_integers_cost_the_regularizer_nothing(seed: int, bits: int) -> None:
    weight = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    whole, step = integer_levels(weight, bits)
    whole = whole.double()
    assert whole.abs().max() == 2 ** (bits - 1) - 1 and (weight - whole * step).abs().max() <= step / 2 + 1e-12
    drawn = IntegerAttracting(1.0, bits=bits)
    ended = nn.Parameter(whole * step)
    assert float(drawn.penalty({"w": ended}, 1.0).detach()) == pytest.approx(0.0, abs=1e-18)


def test_integers_keep_the_type_and_drop_what_rounds_to_zero() -> None:
    tensor = share({"w": torch.tensor([[0.1, 3.0, -2.0, 1.4]])}, 3, start="integers").tensors["w"]
    assert tensor.step == 1.0 and torch.equal(tensor.values(), torch.tensor([[0.0, 3.0, -2.0, 1.0]]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "exactly one"),
        ({"bits": 2, "levels": 4}, "exactly one"),
        ({"bits": 0}, "bits=0"),
        ({"bits": 17}, "from 1 to 16"),
        ({"levels": {"3": 2.0}}, "levels=2.0"),
        ({"bits": {"3.wieght": 2}}, "did you mean 3.weight"),
        ({"bits": 2, "keep": ["*"]}, "nothing is left"),
        ({"bits": 2, "keep": ["9"]}, "keep='9'"),
        ({"bits": 2, "start": "lnear"}, "did you mean linear"),
        ({"levels": 1, "start": "integers"}, "sharing '0.weight': levels=1"),
    ],
)
def test_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        share(pruned(), **options)  # type: ignore[arg-type]


def test_put_on_another_model_is_refused() -> None:
    sharing = share(pruned(), 2)
    with pytest.raises(InvalidInput, match=r"no parameter '3\.weight'"):
        sharing.put(nn.Sequential(nn.Conv2d(2, 6, 3)))
    other = pruned()
    other[3] = nn.Linear(6, 8)
    with pytest.raises(InvalidInput, match=r"\(8, 6\) in the model, \(9, 6\) in the sharing"):
        sharing.put(other)


@pytest.mark.parametrize("value", [Tensor([float("inf"), 1.0]), Tensor([float("nan")])])
def test_values_must_be_finite(value: Tensor) -> None:
    with pytest.raises(InvalidInput, match="sharing 'w'"):
        share({"w": value}, {"w": 2})
