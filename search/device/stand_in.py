"""Stand-ins: a network to be timed elsewhere, without the weights that somebody trained."""

from __future__ import annotations

import copy
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput

PERIOD = 127  # a prime, so that rows of weights differ; half a kilobyte, which a zip finds again
SCALES = (1.0, 0.1, 0.0)  # of tensors that have a sign, where numbers grow too large on their way through


def stand_in(net: nn.Module, example_input: Tensor) -> nn.Module:
    """Returns a copy of `net` in eval mode whose every tensor is a repeating pattern of its mean and deviation.

    It takes the same time, as that does not depend on values that are ordinary numbers, and zips to little. What has
    no negative number in it, such as a variance, becomes constant.

    Raises:
        InvalidInput: what it returns for `example_input` is not finite, whatever the pattern.
    """
    for scale in SCALES:
        made = copy.deepcopy(net).to("cpu").eval()
        tensors = [tensor for tensor in chain(made.parameters(), made.buffers()) if tensor.is_floating_point()]
        with torch.no_grad():
            for number, tensor in enumerate(tensors):
                _replace(tensor, number, scale)
            result = made(example_input.detach().cpu())
        if bool(torch.isfinite(result).all()):
            return made
    raise InvalidInput(f"{type(net).__name__} returns NaN or infinity with stand-ins for its weights")


def _replace(tensor: Tensor, number: int, scale: float) -> None:
    mean, deviation = tensor.mean(), tensor.std(correction=0)
    if not bool(torch.isfinite(mean)) or not bool(torch.isfinite(deviation)):
        return  # a mask of infinities
    if bool((tensor >= 0).all()):
        tensor.fill_(mean.item())
        return
    # From another place in each tensor: an exporter stores equal ones once, and the memory they take is timed too.
    pattern = np.roll(_pattern(), -37 * number)
    values = torch.from_numpy(np.resize(pattern, tensor.numel())).to(tensor.dtype).reshape(tensor.shape)
    tensor.copy_(scale * (mean + deviation * values))


def _pattern() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Normal numbers of mean 0 and deviation 1."""
    drawn = np.random.default_rng(0).standard_normal(PERIOD)
    pattern: np.ndarray[tuple[int], np.dtype[np.float32]] = ((drawn - drawn.mean()) / drawn.std()).astype(np.float32)
    return pattern
