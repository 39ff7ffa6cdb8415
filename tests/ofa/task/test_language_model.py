"""language_model: which tokens are compared, and how they are judged."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.task import Batch, baseline_scores, classification, language_model, scores

GENERATOR = torch.Generator().manual_seed(0)
IDS = torch.randint(11, (6, 9), generator=GENERATOR)
NEXT = torch.cat([IDS[:, 1:], torch.randint(11, (6, 1), generator=GENERATOR)], dim=1)
LOGITS = torch.randn(6, 9, 11, generator=GENERATOR)


def nats(logits: Tensor, tokens: Tensor) -> float:
    return float(nn.functional.cross_entropy(logits.reshape(-1, 11), tokens.reshape(-1)))


def loss(task, outputs: Tensor, batch: Batch) -> float:
    task.check(outputs, batch)
    return float(task.loss(outputs, batch))


def test_targets_are_next_tokens_or_shifted_inputs() -> None:
    expected = nats(LOGITS[:, :-1], IDS[:, 1:])
    plain, shifted = language_model(), language_model(shift=True)
    assert loss(plain, LOGITS, Batch(IDS, NEXT)) == pytest.approx(nats(LOGITS, NEXT))
    assert loss(shifted, LOGITS, Batch(IDS, IDS)) == pytest.approx(expected)
    assert loss(plain, LOGITS, Batch(IDS)) == pytest.approx(expected)
    as_keywords = Batch({"input_ids": IDS, "attention_mask": torch.ones_like(IDS)})
    assert loss(plain, LOGITS, as_keywords) == pytest.approx(expected)


def test_padding_counts_nowhere() -> None:
    mask = torch.ones_like(IDS)
    mask[:, 6:] = 0
    expected = nats(LOGITS[:, :5], IDS[:, 1:6])
    padded = Batch({"input_ids": IDS, "attention_mask": mask})
    labeled = Batch(IDS, IDS.masked_fill(mask == 0, -100))
    for task, batch in ((language_model(), padded), (language_model(shift=True), labeled)):
        assert loss(task, LOGITS, batch) == pytest.approx(expected)
        found = scores(_Known(LOGITS), [batch], task)["perplexity"].value
        assert found == pytest.approx(math.exp(expected))
        same = task.distill(LOGITS.clone().requires_grad_(), LOGITS, batch)
        (gradient,) = torch.autograd.grad(
            task.distill(other := LOGITS.clone().requires_grad_(), LOGITS.flip(0), batch), other
        )
        assert torch.isfinite(same) and not gradient[:, 5:].any() and gradient[:, :5].any()


class _Known(nn.Module):
    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
        return {"logits": self.outputs}


def test_metrics_are_of_all_tokens() -> None:
    names = ("perplexity", "bits_per_byte", "bits_per_token", "cross_entropy", "token_accuracy")
    task = language_model(metrics=names, bytes_per_token=4)
    found = {name: score.value for name, score in scores(_Known(LOGITS), [Batch(IDS, NEXT)], task).items()}
    expected = nats(LOGITS, NEXT)
    assert found == pytest.approx(
        {
            "perplexity": math.exp(expected),
            "bits_per_byte": expected / math.log(2) / 4,
            "bits_per_token": expected / math.log(2),
            "cross_entropy": expected,
            "token_accuracy": float((LOGITS.argmax(-1) == NEXT).float().mean()),
        }
    )
    assert not task.objective.maximize and task.metrics[1].unit == "bits per byte"


def test_answers_of_the_last_position_alone_are_a_classification() -> None:
    last, following = LOGITS[:, -1], NEXT[:, -1]
    task, other = language_model(), classification(num_classes=11)
    batch = Batch(IDS, following)
    assert loss(task, last, batch) == pytest.approx(float(other.loss(last, batch)))
    assert float(task.distill(last, last.flip(0), batch)) == pytest.approx(
        float(other.distill(last, last.flip(0), batch)), rel=1e-5
    )


def test_the_baseline_is_the_entropy_of_single_tokens() -> None:
    tokens = torch.multinomial(torch.tensor([0.5, 0.25, 0.25]), 3000, replacement=True, generator=GENERATOR)
    batch = Batch(tokens.reshape(30, 100), tokens.reshape(30, 100))
    task = language_model(vocabulary=3, metrics=["bits_per_token"])
    assert baseline_scores(task, [batch], [batch])["bits_per_token"].value == pytest.approx(1.5, abs=0.02)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InvalidInput, match="bits_per_byte needs bytes_per_token"):
        language_model(metrics=["bits_per_byte"])
    with pytest.raises(InvalidInput, match="bytes_per_token=0 must be"):
        language_model(bytes_per_token=0)
    task = language_model(vocabulary=11)
    with pytest.raises(InvalidInput, match="texts of at least 2 tokens"):
        task.check(LOGITS[:, :1], Batch(IDS[:, :1]))
    with pytest.raises(InvalidInput, match=r"returns \(6, 9, 5\) .* needs logits \(6, T, 11\)"):
        task.check(LOGITS[..., :5], Batch(IDS, NEXT))
    with pytest.raises(InvalidInput, match="next tokens, or inputs that are token ids"):
        task.check(LOGITS, Batch(IDS.float()))
