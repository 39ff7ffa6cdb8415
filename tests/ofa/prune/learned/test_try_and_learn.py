import json
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.prune.learned import try_and_learn
from ofa.prune.learned.filter_policy import BASELINES
from tests.ofa.nets import from_zoo
from tests.ofa.prune.learned.planted import FINE, agreement, planted, vectors


@pytest.mark.parametrize(("baseline", "seed"), [(BASELINES[0], 5), (BASELINES[1], 1)])
def test_planted_useless_units_are_found(baseline: str, seed: int) -> None:
    model, matter = planted((4, 16), seed=seed)
    images = vectors()
    supernet = ofa.Supernet(model, images[:2], FINE)
    evaluate = agreement(model, images)
    result = try_and_learn(supernet, evaluate, bound=0.03, seed=seed, baseline=baseline)
    # Of 12 useless units at most two are left, and at most one of the 4 useful ones was not worth its place.
    assert int(result.units["0"].sum()) <= 6 and int(result.units["0"][matter[0]].sum()) >= 3
    assert result.accuracy >= 0.97
    assert result.accuracy == evaluate(result.net) == evaluate(result.masked)
    counts = [int(result.units[name].sum()) for name in ("0", "2")]
    assert result.cost == 8 * counts[0] + counts[0] * counts[1] + 5 * counts[1] and result.full_cost == 464


@pytest.mark.parametrize("name", ["residual", "shuffle", "dense"])
def test_any_model_keeps_within_the_bound_and_both_forms_agree(name: str) -> None:
    supernet, images = from_zoo(name)
    before = {key: value.clone() for key, value in supernet.model.state_dict().items()}
    state = torch.random.get_rng_state()
    with torch.no_grad():
        target = supernet.model(images)

    def evaluate(net: nn.Module) -> float:
        with torch.no_grad():
            closeness = float((net(images) - target).norm() / target.norm())
            for parameter in net.parameters():  # the network is the function's own
                parameter.zero_()
        return 1 / (1 + closeness)

    rows: list[Mapping[str, object]] = []
    result = try_and_learn(supernet, evaluate, bound=0.3, updates=6, samples=2, progress=rows.append)
    assert result.accuracy >= 0.7
    assert json.loads(json.dumps(rows)) == json.loads(json.dumps(result.history))
    assert result.units.keys() == {c.name for c in supernet.space.choices if c.kind == "width"}
    assert all(bool(keep.any()) for keep in result.units.values())
    with torch.no_grad():
        torch.testing.assert_close(result.net(images), result.masked(images), rtol=1e-9, atol=1e-9)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in supernet.model.state_dict().items())


def test_a_bound_that_nothing_keeps_leaves_the_network_whole() -> None:
    model, _ = planted((16, 16))
    supernet = ofa.Supernet(model, vectors(2), FINE)
    whole = sum(int((parameter != 0).sum()) for parameter in model.parameters())
    result = try_and_learn(
        supernet,
        lambda net: float(sum(int((parameter != 0).sum()) for parameter in net.parameters()) == whole),
        updates=5,
    )
    assert result.accuracy == 1.0 and all(bool(keep.all()) for keep in result.units.values())


def test_a_seed_gives_the_same_networks() -> None:
    model, _ = planted((4, 8))
    images = vectors(64)
    supernet = ofa.Supernet(model, images[:2], FINE)
    runs = [
        try_and_learn(supernet, agreement(model, images), updates=5, seed=seed, initial_keep=0.7).history
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("tune_trials", [False, True])
def test_tuned_networks_keep_their_masks_and_go_on_to_the_next_layer(tune_trials: bool) -> None:
    model, _ = planted((4, 8))
    images = vectors(64)
    supernet = ofa.Supernet(model, images[:2], FINE)
    calls: list[int] = []

    def tune(net: nn.Module, masks: Mapping[str, Tensor]) -> None:
        calls.append(sum(int((~mask).sum()) for mask in masks.values()))
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(1e-4)  # removed weights too: the surgeon puts the masks back

    result = try_and_learn(
        supernet, agreement(model, images), bound=0.1, updates=4, tune=tune, tune_trials=tune_trials, layers=["0", "2"]
    )
    assert len(calls) == 2 if not tune_trials else len(calls) > 2
    for name, mask in result.masks.items():
        assert not result.masked.get_parameter(name)[~mask].any()
    with torch.no_grad():
        torch.testing.assert_close(result.net(images), result.masked(images), rtol=1e-5, atol=1e-5)
    changed = result.masked.get_parameter("4.bias") - model[4].bias
    assert bool((changed > 0).all())


def test_what_does_not_fit_is_refused() -> None:
    model, _ = planted((4, 8))
    supernet = ofa.Supernet(model, vectors(2), FINE)
    for options, message in [
        ({"bound": 0}, "above 0"),
        ({"layers": ["conv*"]}, "'conv\\*'"),
        ({"updates": 0}, "updates"),
        ({"samples": 1.5}, "samples"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"baseline": "self-critical"}, "did you mean self_critical"),
        ({"metric": "mac"}, "did you mean macs"),
        ({"tune_trials": True}, "tune=None"),
        ({"initial_keep": 1}, "below 1"),
    ]:
        with pytest.raises(ofa.InvalidInput, match=message):
            try_and_learn(supernet, lambda net: 0.5, **options)
    with pytest.raises(ofa.InvalidInput, match=r"\[0, 1\]"):
        try_and_learn(supernet, lambda net: 97.0)
