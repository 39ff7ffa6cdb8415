import pytest
import torch

import ofa
from ofa.sorting import importance_order, l1, nonzeros, reorder_, sort_channels_
from tests.ofa.nets import SHIPPED, from_zoo, shipped
from tests.ofa.zoo import AWKWARD, PLAIN


@pytest.mark.parametrize("name", SHIPPED)
def test_sorting_keeps_the_function_of_shipped_models(name: str) -> None:
    supernet, images = shipped(name)
    with torch.no_grad():
        before = supernet.model(images)
        ofa.sort_channels_(supernet)
        torch.testing.assert_close(supernet.model(images), before, rtol=1e-10, atol=1e-10)
    for group in supernet.groups:
        scores = l1(supernet, group)
        assert bool((scores[:-1] >= scores[1:] - 1e-12).all())


@pytest.mark.parametrize("name", [*PLAIN, *AWKWARD])
def test_random_orders_keep_the_function_of_other_peoples_models(name: str) -> None:
    supernet, images = from_zoo(name)
    generator = torch.Generator().manual_seed(0)
    order = {group.name: torch.randperm(group.units, generator=generator) for group in supernet.groups}
    with torch.no_grad():
        before = supernet.model(images)
        reorder_(supernet, order)
        torch.testing.assert_close(supernet.model(images), before, rtol=1e-10, atol=1e-10)


def test_a_narrow_subnet_keeps_the_most_important_channels() -> None:
    supernet, _ = from_zoo("residual")
    group = supernet.groups[1]
    kept = torch.topk(l1(supernet, group), 2).values
    ofa.sort_channels_(supernet)
    torch.testing.assert_close(l1(supernet, group)[:2], kept)


@pytest.mark.parametrize("name", ["residual", "two_branches"])
def test_units_sorted_by_their_weights_keep_the_function_and_every_value(name: str) -> None:
    supernet, images = from_zoo(name)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in supernet.model.parameters():
            parameter.mul_(torch.rand(parameter.shape, generator=generator) < torch.rand(1, generator=generator))
        before = supernet.model(images)
        order = importance_order(supernet, nonzeros)
        values = {name: tensor.clone() for name, tensor in supernet.tensors().items()}
        sort_channels_(supernet, nonzeros)
        torch.testing.assert_close(supernet.model(images), before, rtol=1e-10, atol=1e-10)
        for group in supernet.groups:
            counts = nonzeros(supernet, group)
            assert group.name in supernet.unsortable or bool((counts[:-1] >= counts[1:]).all())
        reorder_(supernet, {name: torch.argsort(ranks) for name, ranks in order.items()})
    assert all(torch.equal(tensor, values[name]) for name, tensor in supernet.tensors().items())


def test_any_criterion_can_rank_and_ties_keep_their_order() -> None:
    supernet, _ = from_zoo("residual")
    order = importance_order(supernet, lambda net, group: torch.zeros(group.units))
    assert all(ranks.tolist() == list(range(len(ranks))) for ranks in order.values())
    last_first = importance_order(supernet, lambda net, group: torch.arange(group.units, dtype=torch.float64))
    assert last_first[supernet.groups[0].name].tolist() == list(reversed(range(8)))


@pytest.mark.parametrize("scores", [torch.zeros(3), torch.full((8,), float("nan"))])
def test_scores_that_do_not_fit_are_refused(scores: torch.Tensor) -> None:
    supernet, _ = from_zoo("residual")
    with pytest.raises(ofa.InvalidInput, match="finite numbers"):
        ofa.sort_channels_(supernet, lambda net, group: scores)


def test_optimizer_state_moves_with_the_weights() -> None:
    torch.manual_seed(0)
    plain, images = from_zoo("residual")
    moved, _ = from_zoo("residual")
    optimizers = []
    for supernet in (plain, moved):
        optimizer = torch.optim.SGD(supernet.parameters(), lr=1e-4, momentum=0.9)
        supernet.model(images).square().sum().backward()
        optimizer.step()
        optimizers.append(optimizer)
    generator = torch.Generator().manual_seed(0)
    reorder_(moved, {g.name: torch.randperm(g.units, generator=generator) for g in moved.groups}, optimizers[1])
    for supernet, optimizer in zip((plain, moved), optimizers, strict=True):
        for _ in range(3):
            optimizer.zero_grad()
            supernet.model(images).square().sum().backward()
            optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(plain.model(images), moved.model(images), rtol=1e-8, atol=1e-8)
