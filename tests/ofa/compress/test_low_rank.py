import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import ofa
from ofa.compress import choose_ranks, factorize
from ofa.models import LeNet5, LeNet300, MobileNet, ResNet
from ofa.randomize import randomize_
from tests.ofa.zoo import PLAIN, example

SHAPE = (3, 16, 16)
MODELS = {
    "lenet300": lambda: LeNet300(SHAPE, 10),
    "lenet5": lambda: LeNet5(SHAPE, 10, batch_norm=True),
    "resnet": lambda: ResNet(SHAPE, 10, depth=8),
    "mobilenet": lambda: MobileNet(SHAPE, 10),
}


def params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, images: Tensor) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images)
    return counter.get_total_flops() / 2 / len(images)


def made(name: str) -> tuple[nn.Module, Tensor]:
    return randomize_(MODELS[name]().double().eval()), torch.randn(2, *SHAPE, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "method"), [*((name, "svd") for name in MODELS), ("lenet5", "tucker"), ("resnet", "tucker")]
)
def test_full_energy_keeps_the_function_of_shipped_models(name: str, method: str) -> None:
    model, images = made(name)
    before = copy.deepcopy(model.state_dict())
    net = factorize(model, energy=1.0, method=method, only_if_smaller=False)
    assert isinstance(net.classifier, nn.Sequential)
    with torch.no_grad():
        torch.testing.assert_close(net(images), model(images), rtol=1e-8, atol=1e-8)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    addresses = {parameter.data_ptr() for parameter in model.parameters()}
    assert not addresses & {parameter.data_ptr() for parameter in net.parameters()}


@pytest.mark.parametrize("name", PLAIN)
def test_full_energy_keeps_the_function_of_other_peoples_models(name: str) -> None:
    model, images = randomize_(PLAIN[name]().double().eval()), example().double()
    with torch.no_grad():
        net = factorize(model, energy=1.0, method="tucker", only_if_smaller=False)
        torch.testing.assert_close(net(images), model(images), rtol=1e-8, atol=1e-8)


def test_a_model_that_is_one_layer() -> None:
    layer = nn.Linear(6, 6).double()
    net = factorize(layer, rank=2)
    assert isinstance(net, nn.Sequential) and params(net) == 30


def test_only_what_gets_smaller_is_replaced() -> None:
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10))
    # 10 x 10 in two of rank r: 20 r weights, so 5 saves nothing.
    assert choose_ranks(model, rank={"0": 4, "1": 5}) == {"0": (4,)}
    assert choose_ranks(model, rank={"0": 4, "1": 5}, only_if_smaller=False) == {"0": (4,), "1": (5,)}
    net = factorize(model, rank={"0": 4, "1": 5})
    assert isinstance(net[0], nn.Sequential) and isinstance(net[1], nn.Linear)
    assert params(net) == params(model) - 20


def test_shared_layers_stay_shared_and_shared_weights_stay() -> None:
    model = randomize_(PLAIN["shared"]().double().eval())
    net = factorize(model, rank=1, only_if_smaller=False)
    assert isinstance(net.body.twice, nn.Sequential)
    assert type(net.body.one) is nn.Conv2d and net.body.one.weight is net.body.two.weight
    both = nn.Module()
    both.first = both.second = nn.Linear(8, 8)
    split = factorize(both, rank=1)
    assert split.first is split.second and isinstance(split.first, nn.Sequential)


def test_rank_by_glob_fraction_and_pair() -> None:
    model = nn.ModuleDict({"conv": nn.Conv2d(8, 16, 3), "point": nn.Conv2d(8, 16, 1), "full": nn.Linear(20, 30)})
    ranks = choose_ranks(model, rank={"*": 2, "conv": (5, 3), "full": 0.35}, method="tucker", only_if_smaller=False)
    assert ranks == {"conv": (5, 3), "point": (2,), "full": (7,)}
    assert choose_ranks(model, rank=99, only_if_smaller=False) == {"conv": (16,), "point": (8,), "full": (20,)}


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 1), st.integers(0, 99), st.sampled_from(["svd", "tucker"]))
def test_energy_is_kept_and_no_rank_is_wasted(energy: float, seed: int, method: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(7, 9), nn.Conv2d(4, 6, 3)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    (rank,) = choose_ranks(model, energy=energy, layers=["0"], only_if_smaller=False)["0"]
    squares = torch.linalg.svdvals(model[0].weight.detach()).square()
    assert float(squares[:rank].sum() / squares.sum()) >= energy - 1e-9
    assert rank == 1 or float(squares[: rank - 1].sum() / squares.sum()) < energy
    # A split convolution loses no more than the energy that was given up, once for each unfolding.
    net = factorize(model, energy=energy, method=method, layers=["1"], only_if_smaller=False)
    parts = [part.weight.detach() for part in net[1]]
    if method == "svd":
        weight = torch.einsum("or,rcxy->ocxy", parts[1].flatten(1), parts[0])
    else:
        weight = torch.einsum("or,rsxy,sc->ocxy", parts[2].flatten(1), parts[1], parts[0].flatten(1))
    whole = model[1].weight.detach()
    lost = float((weight - whole).square().sum() / whole.square().sum())
    assert lost <= (1 - energy) * (2 if method == "tucker" else 1) + 1e-9


@pytest.mark.parametrize("method", ["svd", "tucker"])
@pytest.mark.parametrize("metric", ["params", "macs"])
@pytest.mark.parametrize("budget", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", ["lenet5", "resnet"])
def test_budgets_are_met_and_used(name: str, budget: float, metric: str, method: str) -> None:
    model, images = made(name)
    net = factorize(model, budget=budget, metric=metric, method=method, example_input=images)
    full, left = (
        (float(params(model)), float(params(net))) if metric == "params" else (macs(model, images), macs(net, images))
    )
    coarse = (
        0.8 if (name, metric) == ("lenet5", "macs") else 0.95
    )  # one rank of its larger convolution is a tenth of them
    assert coarse * budget * full < left <= budget * full
    with torch.no_grad():
        assert net(images).shape == (2, 10)


def test_macs_of_strided_convolutions_count_both_sizes() -> None:
    conv = nn.Conv2d(16, 16, 3, stride=4, padding=1).double()
    images = torch.randn(2, 16, 16, 16, dtype=torch.float64)
    # The 1x1 convolution before the stride works on 256 pixels, the dense layer on 16: fewer weights, more MACs.
    assert choose_ranks(conv, rank=8, method="tucker") == {"": (8, 8)}
    assert choose_ranks(conv, rank=10, method="tucker", metric="macs", example_input=images) == {}
    assert macs(factorize(conv, rank=10, method="tucker"), images) > macs(conv, images)


def test_the_parts_can_be_trained() -> None:
    torch.manual_seed(0)
    model, images = LeNet5(SHAPE, 10), torch.randn(4, *SHAPE)
    net = factorize(model, budget=0.4)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), torch.arange(4))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


def test_what_does_not_fit_is_refused() -> None:
    model = LeNet300(SHAPE, 10)
    for options, message in [
        ({}, "exactly one"),
        ({"rank": 2, "energy": 0.5}, "exactly one"),
        ({"energy": 1.5}, "at most 1"),
        ({"budget": 0}, "above 0"),
        ({"rank": 0}, "full rank"),
        ({"rank": 1.5}, "full rank"),
        ({"rank": (2, 2)}, "full rank"),
        ({"rank": 2, "method": "cp"}, "svd"),
        ({"rank": 2, "metric": "latency"}, "params"),
        ({"rank": 2, "metric": "macs"}, "example_input"),
        ({"rank": 2, "layers": ["hiden*"]}, "matches no layer"),
        ({"rank": {"classifer": 2}}, "did you mean classifier"),
        ({"budget": 0.001}, "rank 1"),
    ]:
        with pytest.raises(ofa.InvalidInput, match=message):
            factorize(model, **options)
    broken = nn.Sequential(nn.Linear(4, 4))
    with torch.no_grad():
        broken[0].weight[1, 2] = float("nan")
    with pytest.raises(ofa.InvalidInput, match="'0' has entries"):
        factorize(broken, energy=0.9)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.sampled_from(["svd", "tucker"]))
def test_the_full_rank_is_that_of_full_energy(groups: int, inputs: int, outputs: int, kernel: int, method: str) -> None:
    conv = nn.Conv2d(groups * inputs, groups * outputs, kernel, groups=groups).double()
    options = {"method": method, "only_if_smaller": False}
    assert choose_ranks(conv, rank=1.0, **options) == choose_ranks(conv, energy=1.0, **options)
