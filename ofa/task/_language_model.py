"""Language model: the next token at every position, from logits (N, T, vocabulary)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ofa.errors import InvalidInput, is_number
from ofa.inputs import as_inputs, logits_of
from ofa.task._classification import check_temperature
from ofa.task.batch import Batch
from ofa.task.choosing import chosen, names_in
from ofa.task.classification_metrics import share
from ofa.task.facts import class_count
from ofa.task.forms import check_outputs, check_range, check_targets
from ofa.task.losses import full_precision
from ofa.task.metric import Metric
from ofa.task.task import Task

IGNORED = -100  # a target that counts nowhere, as in torch and transformers


def language_model(
    data: Any = None,
    *,
    metrics: Sequence[str | Metric] = ("perplexity", "token_accuracy"),
    shift: bool = False,
    bytes_per_token: float | None = None,
    temperature: float = 1.0,
    vocabulary: int | None = None,
) -> Task:
    """Returns the task of guessing the next token, from logits (N, T, vocabulary) and targets (N, T) int64.

    Targets of -100 count nowhere. Without targets they are the input ids, one position on, where an attention mask
    allows. Logits (N, vocabulary) of the last position alone fit targets (N,). The loss is the mean over tokens.
    Metrics: perplexity, bits_per_byte, bits_per_token, cross_entropy (nats a token), token_accuracy.

    Args:
        data: a data set whose `num_classes` is the vocabulary, perhaps with `bytes_per_token`.
        metrics: names as above, or Metrics; the objective first.
        shift: whether targets stand at the positions of the inputs, as `labels` in transformers do: the one at t is
            then compared with the logits at t - 1.
        bytes_per_token: of the text, on average; makes perplexities of unlike tokens comparable.
        temperature: of both softmaxes of distillation.
        vocabulary: how many tokens there are.

    Raises:
        InvalidInput: an unknown metric, an argument out of range, or bits_per_byte where nothing says bytes per token.
    """
    check_temperature(temperature)
    size = bytes_per_token if bytes_per_token is not None else getattr(data, "bytes_per_token", None)
    if size is not None and (not is_number(size) or not size > 0):
        raise InvalidInput(f"bytes_per_token={size!r} must be a number above 0")
    if size is None and "bits_per_byte" in names_in(metrics):
        raise InvalidInput("bits_per_byte needs bytes_per_token, which the data set does not say; set it in the task")
    nats = partial(_nats, shift=shift)
    bits = partial(_bits, bytes_per_token=1.0)
    offered = [
        Metric(name="perplexity", statistics=nats, value=_perplexity, maximize=False),
        Metric(name="bits_per_token", statistics=nats, value=bits, maximize=False, unit="bits per token"),
        Metric(name="cross_entropy", statistics=nats, value=share, maximize=False, unit="nats per token"),
        Metric(name="token_accuracy", statistics=partial(_right, shift=shift), value=share, unit="%"),
    ]
    if size is not None:
        bits = partial(_bits, bytes_per_token=float(size))
        offered.append(Metric(name="bits_per_byte", statistics=nats, value=bits, maximize=False, unit="bits per byte"))
    return Task(
        name="language_model",
        loss=partial(_loss, shift=shift),
        metrics=chosen(
            metrics, {metric.name: metric for metric in offered}, "language_model", partial(_pairs, shift=shift)
        ),
        distill=partial(_distill, shift=shift, temperature=temperature),
        check=partial(_check, shift=shift, vocabulary=class_count(data, vocabulary)),
        checks_batches=True,
        constant=partial(_constant, shift=shift, vocabulary=class_count(data, vocabulary)),
        predictions=partial(_log_probabilities, shift=shift),
        terms=partial(_counted, shift=shift),
    )


def _targets(batch: Batch, shift: bool) -> Tensor:
    """The next token at each position that has one, (N, T) int64."""
    if batch.targets is not None:
        targets: Tensor = batch.targets if batch.targets.dim() > 1 else batch.targets[:, None]
        return targets[:, 1:] if shift else targets
    inputs = as_inputs(batch.inputs)
    ids = inputs.kwargs.get("input_ids", next(iter(inputs.tensors().values())))
    mask = inputs.kwargs.get("attention_mask")
    following: Tensor = ids[:, 1:].long()
    return following if mask is None else following.masked_fill(mask[:, 1:] == 0, IGNORED)


def _logits(outputs: Any, batch: Batch, shift: bool) -> Tensor:
    """The logits that the targets are compared with, (N, T, vocabulary)."""
    logits = full_precision(logits_of(outputs))
    if logits.dim() == 2:
        logits = logits[:, None]
    return logits[:, :-1] if (shift or batch.targets is None) and logits.shape[1] > 1 else logits


def _tokens(outputs: Any, batch: Batch, shift: bool) -> tuple[Tensor, Tensor]:
    """The loss of each token and whether it counts, both (N, T); a single answer is given at every position."""
    targets = _targets(batch, shift)
    logits = _logits(outputs, batch, shift).expand(-1, targets.shape[1], -1)
    real = targets != IGNORED
    losses = functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
    return losses, real


def _mean(losses: Tensor, real: Tensor) -> Tensor:
    return (losses * real).sum() / real.sum().clamp(min=1)


def _loss(outputs: Any, batch: Batch, *, shift: bool) -> Tensor:
    return _mean(*_tokens(outputs, batch, shift))


def _counted(batch: Batch, *, shift: bool) -> Tensor:
    return (_targets(batch, shift) != IGNORED).sum()


def _distill(outputs: Any, teacher: Any, batch: Batch, *, shift: bool, temperature: float) -> Tensor:
    targets = _targets(batch, shift)
    taught = (_logits(teacher, batch, shift).detach() / temperature).softmax(dim=-1)
    logits = _logits(outputs, batch, shift) / temperature
    losses = functional.cross_entropy(logits.transpose(1, 2), taught.transpose(1, 2), reduction="none")
    return _mean(losses, targets != IGNORED) * temperature**2


def _log_probabilities(outputs: Any, batch: Batch, *, shift: bool) -> Tensor:
    return _logits(outputs, batch, shift).log_softmax(dim=-1)


def _pairs(outputs: Any, batch: Batch, *, shift: bool) -> tuple[Tensor, Tensor]:
    return _log_probabilities(outputs, batch, shift=shift), _targets(batch, shift)


def _check(outputs: Any, batch: Batch, *, shift: bool, vocabulary: int | None) -> None:
    logits, targets, count = logits_of(outputs), batch.targets, batch.examples
    fits = logits.dim() in (2, 3) and len(logits) == count and vocabulary in (None, logits.shape[-1])
    check_outputs(logits, fits, f"logits ({count}, T, {vocabulary or 'vocabulary'})", "language_model", count)
    if targets is None:
        ids = next(iter(as_inputs(batch.inputs).tensors().values()))
        fits = ids.dim() == 2 and not ids.is_floating_point() and logits.dim() == 3
        check_targets(targets, fits, f"next tokens, or inputs that are token ids ({count}, T)", "language_model")
    else:
        fits = isinstance(targets, Tensor) and targets.dtype == torch.int64 and targets.shape == logits.shape[:-1]
        check_targets(
            targets, fits, f"a token for each position, {tuple(logits.shape[:-1])} torch.int64", "language_model"
        )
    tokens = _targets(batch, shift)
    if not tokens.numel():
        raise InvalidInput("there is no next token: language_model needs texts of at least 2 tokens")
    check_range(tokens[tokens != IGNORED], logits.shape[-1], f"target tokens, beside {IGNORED} for none,")


def _constant(batches: Iterable[Batch], *, shift: bool, vocabulary: int | None) -> Tensor:
    """The log frequencies of tokens, (1, vocabulary), for every position."""
    counts = torch.zeros(vocabulary or 1)
    for batch in batches:
        tokens = _targets(batch, shift).cpu()
        more = torch.bincount(tokens[tokens != IGNORED], minlength=len(counts))
        counts = functional.pad(counts, (0, len(more) - len(counts))) + more
    return torch.log((counts + 1) / (counts.sum() + len(counts)))[None]


def _nats(outputs: Any, batch: Batch, *, shift: bool) -> Tensor:
    """(N, 2): the loss of an example's tokens, and how many count."""
    losses, real = _tokens(outputs, batch, shift)
    return torch.stack([(losses.double() * real).sum(dim=1), real.sum(dim=1).double()], dim=1)


def _right(outputs: Any, batch: Batch, *, shift: bool) -> Tensor:
    targets = _targets(batch, shift)
    real = targets != IGNORED
    right = (_logits(outputs, batch, shift).argmax(dim=-1) == targets) & real
    return torch.stack([right.sum(dim=1), real.sum(dim=1)], dim=1)


def _perplexity(sums: Tensor) -> Tensor:
    return share(sums).exp()


def _bits(sums: Tensor, *, bytes_per_token: float) -> Tensor:
    return share(sums) / (math.log(2) * bytes_per_token)
