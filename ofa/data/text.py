"""Made-up text for tests and timings: token ids from a Markov chain, the next token as the label. Nothing to read."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.data.dataset import Dataset, Preprocessing, Split
from ofa.errors import InvalidInput


def generated_text(
    *,
    vocabulary: int = 16,
    context: int = 16,
    samples: int = 4096,
    noise: float = 0.2,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Returns windows of `context` token ids (N, context) int64 whose label is the token that follows.

    The text is generated, and means nothing: a token is one of two, which the two tokens before it determine, and a
    fraction `noise` of all tokens are drawn evenly. The best guess from the two tokens before is right for about
    0.75 * (1 - noise) of the labels. Each split is a text of its own by the same rule.

    Raises:
        InvalidInput: a vocabulary below 4, a context below 2, fewer than 10 samples, or fractions that do not fit.
    """
    for name, value, least in (("vocabulary", vocabulary, 4), ("context", context, 2), ("samples", samples, 10)):
        if value < least:
            raise InvalidInput(f"generated_text {name}={value}: must be at least {least}")
    if not 0 <= noise <= 1:
        raise InvalidInput(f"generated_text noise={noise}: is a fraction, at least 0 and at most 1")
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise InvalidInput(f"generated_text validation={validation}, test={test}: must be above 0, together below 1")
    generator = torch.Generator().manual_seed(seed)
    follows = torch.randint(vocabulary, (vocabulary, vocabulary, 2), generator=generator)
    preprocessing = Preprocessing(1.0, (), (), stored=f"token ids below {vocabulary}, generated")
    counts = {"validation": max(1, round(validation * samples)), "test": max(1, round(test * samples))}
    counts["train"] = max(1, samples - sum(counts.values()))
    splits = {}
    for part in ("train", "validation", "test"):
        windows = _text(follows, counts[part], context + 1, noise, generator)
        origin = f"made from seed {seed}"
        splits[part] = Split(windows[:, :-1].contiguous(), windows[:, -1].contiguous(), preprocessing, origin=origin)
    return Dataset("generated_text", splits["train"], splits["validation"], splits["test"], vocabulary)


def _text(follows: Tensor, count: int, length: int, noise: float, generator: torch.Generator) -> Tensor:
    """Texts (count, length) of the chain: what follows (a, b) is follows[a, b, 0], or [a, b, 1] one time in four."""
    vocabulary = len(follows)
    tokens = torch.randint(vocabulary, (count, length), generator=generator)  # all noise, until it is written over
    second = (torch.rand((count, length), generator=generator) < 0.25).long()
    random = torch.rand((count, length), generator=generator) < noise
    for position in range(2, length):
        next_token = follows[tokens[:, position - 2], tokens[:, position - 1], second[:, position]]
        tokens[:, position] = torch.where(random[:, position], tokens[:, position], next_token)
    return tokens
