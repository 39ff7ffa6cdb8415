import pytest
import torch
from torch import nn

from ofa import InvalidInput
from ofa.prune.context import PruneContext
from ofa.prune.criteria import fpgm, qualities, sensitivity_scan, std_threshold
from ofa.prune.weights import full_masks, prunable_weights


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 20))


def removed(model: nn.Sequential, layer: int) -> float:
    return float((model[layer].weight == 0).double().mean())


def planted(model: nn.Module) -> float:
    """An accuracy that falls five times as fast with what is gone of the first layer."""
    assert isinstance(model, nn.Sequential)
    return 0.9 - 0.5 * removed(model, 0) - 0.1 * removed(model, 2)


def test_a_scan_prunes_each_layer_alone_by_exact_counts_and_puts_it_back() -> None:
    model = two_layers()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    scan = sensitivity_scan(model, planted, [0.5, 0.1])
    assert [sparsity for sparsity, _ in scan["0.weight"]] == [0.0, 0.1, 0.5]
    assert [accuracy for _, accuracy in scan["0.weight"]] == pytest.approx([0.9, 0.85, 0.65])
    assert [accuracy for _, accuracy in scan["2.weight"]] == pytest.approx([0.9, 0.89, 0.85])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_scan_removes_the_smallest_weights_first_and_of_equals_the_later() -> None:
    model = nn.Sequential(nn.Linear(4, 1, bias=False))
    seen = []
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0, -1.0, 1.0, -3.0]]))
    sensitivity_scan(model, lambda net: seen.append(net[0].weight.tolist()[0]) or 0.0, [0.25, 0.5, 1.0])
    assert seen == [[2, -1, 1, -3], [2, -1, 0, -3], [2, 0, 0, -3], [0, 0, 0, 0]]


def test_a_scan_puts_the_weights_back_when_evaluation_fails() -> None:
    model = two_layers()
    before = model[0].weight.detach().clone()

    def fails(net: nn.Module) -> float:
        if removed(model, 0):
            raise KeyError
        return 0.0

    with pytest.raises(KeyError):
        sensitivity_scan(model, fails, [0.5])
    assert torch.equal(model[0].weight, before)


def test_a_scan_of_a_pruned_model_counts_what_is_alive_and_rows_can_be_scored() -> None:
    model = two_layers()
    weights = prunable_weights(model)
    masks = full_masks(weights)
    masks["0.weight"][:5] = False
    with torch.no_grad():
        weights["0.weight"].mul_(masks["0.weight"])
    gone: list[int] = []
    sensitivity_scan(
        model,
        lambda net: gone.append(int((weights["0.weight"] == 0).sum())) or 0.0,
        [0.2],
        criterion=fpgm,
        weights={"0.weight": weights["0.weight"]},
        masks=masks,
    )
    assert gone == [100, 120]


@pytest.mark.parametrize("drop", [0.0, 0.05, 0.2, 1.0])
def test_qualities_remove_exactly_the_sparsity_that_the_scan_tolerates(drop: float) -> None:
    model = two_layers()
    levels = [0.1, 0.2, 0.3, 0.4, 0.5, 0.8]
    scan = sensitivity_scan(model, planted, levels)
    result = qualities(scan, model, drop)
    weights = prunable_weights(model)
    context = PruneContext(model, weights, full_masks(weights), torch.Generator())
    scores = std_threshold(context, quality=result)
    for name, cost in (("0.weight", 0.5), ("2.weight", 0.1)):
        tolerated = max([level for level in [0.0, *levels] if cost * level <= drop + 1e-9])
        assert int((scores[name] < 1).sum()) == round(tolerated * weights[name].numel())


def test_the_most_sensitive_layer_gets_the_smallest_quality() -> None:
    model = two_layers()
    with torch.no_grad():  # the same spread in both, so that only the sensitivity differs
        model[2].weight.copy_(model[0].weight.t())
    result = qualities(sensitivity_scan(model, planted, [0.1, 0.2, 0.5, 0.8]), model, 0.05)
    assert result["0.weight"] < result["2.weight"]


def test_a_recovery_behind_a_drop_is_not_trusted_and_round_numbers_are() -> None:
    model = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    std = 1.25**0.5
    lucky = {"0.weight": [(0.0, 0.98), (0.25, 0.97), (0.5, 0.9), (0.75, 0.98)]}
    # 0.98 - 0.97 is above 0.01 in binary; one weight may go, so the threshold lies between 1 and 2.
    assert qualities(lucky, model, 0.01)["0.weight"] == pytest.approx(1.5 / std)


def test_wrong_input_is_refused() -> None:
    model = two_layers()
    with pytest.raises(InvalidInput, match="fraction from 0 to 1"):
        sensitivity_scan(model, planted, [90])
    with pytest.raises(InvalidInput, match="drop=-1"):
        qualities({}, model, -1)
    with pytest.raises(InvalidInput, match="no point at sparsity 0"):
        qualities({"0.weight": [(0.5, 0.9)]}, model, 0.1)
    with pytest.raises(InvalidInput, match="does not have"):
        qualities({"1.weight": [(0.0, 0.9)]}, model, 0.1)
