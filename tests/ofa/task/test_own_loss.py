"""own_loss: networks that are called with their targets and return a loss."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.task import Batch, baseline_scores, classification, language_model, own_loss, regression, scores

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(40, 5, generator=GENERATOR)
LABELS = torch.randint(3, (40,), generator=GENERATOR)


@dataclass
class Output:
    """As transformers return it."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    attentions: tuple[Tensor, ...] | None = None


class Net(nn.Module):
    """Knows its loss: a cross entropy, doubled so that it is not another's."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.head, self.form = nn.Linear(5, 3), form

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Any:
        logits = self.head(features)
        loss = None if labels is None else 2 * nn.functional.cross_entropy(logits, labels)
        if self.form == "object":
            return Output(loss, logits)
        if self.form == "dictionary":
            return {"logits": logits} if loss is None else {"loss": loss, "logits": logits}
        if self.form == "only answer":
            return {"loss": loss, "answer": logits}
        return logits if loss is None else (loss, logits)


@pytest.mark.parametrize("form", ["object", "dictionary", "only answer", "tuple"])
@pytest.mark.parametrize("argument", ["labels", None])
def test_the_networks_own_loss_is_learned_and_its_answer_judged(form: str, argument: str | None) -> None:
    net, batch = Net(form), Batch(INPUTS, LABELS)
    task = own_loss(judge=partial(classification, num_classes=3), argument=argument)
    outputs = task.call(net, batch)
    task.check(outputs, batch)
    logits = net.head(INPUTS)
    assert torch.allclose(task.loss(outputs, batch), 2 * nn.functional.cross_entropy(logits, LABELS))
    plain = classification(num_classes=3)
    assert scores(net, [batch], task)["accuracy"] == scores(net.head, [batch], plain)["accuracy"]
    assert torch.equal(task.distill(outputs, outputs, batch), plain.distill(logits, logits, batch))
    assert torch.equal(task.predictions(outputs, batch), logits.softmax(1))
    assert baseline_scores(task, [batch], [batch]) == baseline_scores(plain, [batch], [batch])
    with pytest.raises(InvalidInput, match="run from 1 to 3"):
        task.check(outputs, Batch(INPUTS, LABELS + 1))


def test_several_inputs_by_keyword() -> None:
    net = Net("object")
    task = own_loss(judge=classification(num_classes=3))
    loader = [{"features": INPUTS, "labels": LABELS}]
    assert scores(net, loader, task)["accuracy"].examples == 40


def test_a_language_model_takes_its_inputs_as_labels() -> None:
    ids = torch.randint(3, (8, 6), generator=GENERATOR)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(3, 3)

        def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> Output:
            logits = self.table(input_ids)
            return Output(nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:]), logits)

    model, batch = Model(), Batch({"input_ids": ids}, ids)
    task = own_loss(judge=partial(language_model, shift=True, vocabulary=3, metrics=["cross_entropy"]))
    outputs = task.call(model, batch)
    task.check(outputs, batch)
    assert scores(model, [batch], task)["cross_entropy"].value == pytest.approx(task.loss(outputs, batch).item())


def test_what_is_no_loss_is_named() -> None:
    task = own_loss(judge=regression)
    with pytest.raises(InvalidInput, match="a dict with logits, and no loss; it must be named `loss`"):
        task.check({"logits": INPUTS}, Batch(INPUTS, LABELS))
    with pytest.raises(InvalidInput, match="judge made a int; it must be, or make"):
        own_loss(judge=lambda data: 3)


def test_a_network_that_takes_its_targets_by_another_name() -> None:
    task = own_loss(judge=classification(num_classes=3), argument="label")
    with pytest.raises(InvalidInput, match=r"argument='label' of own_loss: Net takes .*did you mean labels"):
        task.call(Net("object"), Batch(INPUTS, LABELS))
