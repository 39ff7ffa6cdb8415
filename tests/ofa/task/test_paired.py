"""Paired differences: their standard error is that of many samples of examples, and the draws are shared."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.task import Batch, Metric, Task, classification, paired_difference, replicates, scores


class Guess(nn.Module):
    """Answers with the first or the second number of its input."""

    def __init__(self, column: int) -> None:
        super().__init__()
        self.column = column
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        right = inputs[:, self.column, None]
        return torch.cat([right, 1 - right], 1)


def answers(examples: int, seed: int, shared: float = 0.9) -> Tensor:
    """Whether each of two networks is right about an example, which most often both are or none is."""
    generator = torch.Generator().manual_seed(seed)
    alike = torch.rand(examples, 1, generator=generator) < shared
    both = (torch.rand(examples, 1, generator=generator) < 0.8).float()
    own = (torch.rand(examples, 2, generator=generator) < torch.tensor([0.8, 0.7])).float()
    return torch.where(alike, both, own)


def batches(inputs: Tensor, size: int = 64) -> list[tuple[Tensor, Tensor]]:
    return [(part, torch.zeros(len(part), dtype=torch.long)) for part in inputs.split(size)]


def difference(inputs: Tensor, task: Task, size: int = 64) -> tuple[float, float]:
    found = paired_difference(*(replicates(Guess(column), batches(inputs, size), task) for column in (0, 1)))
    assert found.standard_error is not None and found.examples == len(inputs)
    return found.value, found.standard_error


def right(outputs: Tensor, batch: Batch) -> list[float]:
    return [float(output[0] > output[1]) for output in outputs]


LISTED = Metric(name="listed", statistics=right, value=lambda found: sum(found) / len(found), additive=False)


def test_the_error_is_the_spread_over_samples_of_examples() -> None:
    task = classification()
    found = torch.tensor([difference(answers(400, seed), task) for seed in range(60)])
    assert float(found[:, 1].mean()) == pytest.approx(float(found[:, 0].std()), rel=0.3)


def test_it_is_smaller_than_of_different_examples_and_that_of_one_score_is_the_known_one() -> None:
    task, inputs = classification(), answers(2000, 0)
    alone = [scores(Guess(column), batches(inputs), task)["accuracy"] for column in (0, 1)]
    assert replicates(Guess(0), batches(inputs), task).scores == scores(Guess(0), batches(inputs), task)
    value, error = difference(inputs, task)
    errors = [score.standard_error for score in alone]
    assert value == alone[0].value - alone[1].value
    assert error < 0.6 * sum(each**2 for each in errors if each is not None) ** 0.5
    drawn = replicates(Guess(0), batches(inputs), task).drawn
    assert drawn is not None and float(drawn.std()) == pytest.approx(errors[0], rel=0.2)


def test_how_examples_are_cut_into_batches_changes_nothing() -> None:
    task, inputs = classification(), answers(300, 1)
    assert difference(inputs, task, 7) == pytest.approx(difference(inputs, task, 300), abs=1e-12)


def test_a_network_differs_from_itself_by_nothing_for_certain() -> None:
    assert difference(answers(100, 2)[:, :1].expand(-1, 2), classification()) == (0.0, 0.0)


def test_a_metric_of_lists_has_one_too() -> None:
    task = Task(name="lists", loss=lambda outputs, batch: outputs.sum(), metrics=(LISTED,))
    inputs = answers(500, 3)
    value, error = difference(inputs, task)
    known_value, known_error = difference(inputs, classification())
    assert value == pytest.approx(known_value) and error == pytest.approx(known_error, rel=0.4)


def test_other_examples_and_none_are_refused() -> None:
    task = classification()
    few, many = (replicates(Guess(0), batches(answers(count, 0)), task) for count in (10, 20))
    with pytest.raises(InvalidInput, match="scores on 10 and on 20 examples"):
        paired_difference(few, many)
    with pytest.raises(InvalidInput, match="of 0 examples"):
        replicates(Guess(0), [], task)
