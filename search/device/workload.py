"""Workload: what one timed run of a network computes: a batch, a text of some length, or one more token of it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ofa.errors import InvalidInput
from ofa.inputs import Example, Inputs, as_inputs
from ofa.modes import in_mode
from ofa.records import AtLeastOne, Part

PASTS = ("past_key_values", "cache")  # names of the argument and of the output's field; transformers has had both
CACHED = "use_cache"  # the argument by which networks return a cache


class Workload(Part, frozen=True, kw_only=True, omit_defaults=True):
    """What one timed run computes.

    Attributes:
        batch: how many examples at once.
        sequence: how many tokens of each; None for as many as the supernet was built with.
        decode: one more token after `sequence` others, whose keys and values are in the network's cache; where
            `sequence` is None, the last one that the supernet was built with.
    """

    batch: AtLeastOne = 1
    sequence: AtLeastOne | None = None
    decode: bool = False

    def inputs(self, example: Example) -> Inputs:
        """Returns the inputs of a run, made of the first example; those of the tokens before, for `decode`.

        Raises:
            InvalidInput: a `sequence` or `decode` of inputs without token ids (N, T).
        """
        inputs = as_inputs(example).rows(0, 1)
        if self.sequence is not None or self.decode:
            inputs = _of_length(inputs, self.sequence, before_last=self.decode)
        batched = {id(tensor) for tensor in inputs.tensors().values() if inputs.is_batched(tensor)}
        if self.batch == 1:
            return inputs
        return inputs.map(
            lambda tensor: tensor.expand(self.batch, *tensor.shape[1:]).clone() if id(tensor) in batched else tensor
        )

    def network(self, net: nn.Module, example: Example) -> tuple[nn.Module, Inputs]:
        """Returns what is timed and its input: a network in eval mode as it is, or its next token.

        Raises:
            InvalidInput: the network does not run on such inputs, or has no cache.
        """
        inputs = self.inputs(example)
        if self.sequence is not None:
            _check_runs(net, inputs)
        return next_token(net, inputs) if self.decode else (net, inputs)

    @property
    def is_usual(self) -> bool:
        """Whether a run is one example as the supernet was built with."""
        return self == Workload()

    @property
    def unit(self) -> str:
        """The unit of a latency, such as "ms", "ms per batch of 32" or "ms per token after 128"."""
        length = "" if self.sequence is None else f" after {self.sequence}" if self.decode else f" of {self.sequence}"
        if self.decode:
            step = f"ms per token{length}"
            return step if self.batch == 1 else f"{step}, {self.batch} texts at once"
        if self.sequence is not None:
            first = f"ms to the first token{length}"
            return first if self.batch == 1 else f"{first}, {self.batch} texts at once"
        return "ms" if self.batch == 1 else f"ms per batch of {self.batch}"

    @property
    def axis(self) -> str:
        """The unit of a latency on an axis, which says what a run is, such as "ms (batch 1)"."""
        return "ms (batch 1)" if self.is_usual else self.unit

    @property
    def manner(self) -> str:
        """How latencies were measured, in words, such as "at batch size 1" or "in ms per batch of 32"."""
        return "at batch size 1" if self.is_usual else f"in {self.unit}"

    def rate_text(self, ms: float) -> str:
        """Returns how much a device does in a second at a latency, such as "9,800 examples/s"."""
        return f"{float(f'{1000 * self.batch / ms:.3g}'):,.10g} {'tokens' if self.decode else 'examples'}/s"

    def text(self, ms: float) -> str:
        """Returns a latency for people, with the rate where runs are not of one example."""
        latency = f"{ms:.3g} {self.unit}"
        return latency if self.is_usual else f"{latency} ({self.rate_text(ms)})"


USUAL = Workload()


def _of_length(inputs: Inputs, length: int | None, *, before_last: bool) -> Inputs:
    """Inputs whose texts have `length` tokens, repeated or cut; also what has one entry for each token.

    Where `length` is None they stay as they are, or lose the last token if `before_last`.
    """
    texts = [
        tensor
        for tensor in inputs.tensors().values()
        if inputs.is_batched(tensor) and tensor.dim() == 2 and not tensor.is_floating_point()
    ]
    if not texts:
        raise InvalidInput(
            f"the supernet takes {inputs.shapes}; device.profile.sequence and device.profile.decode are for networks "
            "of token ids (N, T): drop them"
        )
    before = texts[0].shape[1]
    length = before - int(before_last) if length is None else length
    if length == before:
        return inputs
    rows = torch.arange(length) % before

    def changed(tensor: Tensor) -> Tensor:
        by_token = not tensor.is_floating_point() or all(size in (1, before) for size in tensor.shape[1:])
        if not (by_token and inputs.is_batched(tensor)):
            return tensor
        for dim in range(1, tensor.dim()):
            if tensor.shape[dim] == before:
                tensor = tensor.index_select(dim, rows.to(tensor.device))
        return tensor

    return inputs.map(changed)


def _check_runs(net: nn.Module, inputs: Inputs) -> None:
    try:
        with in_mode(net, training=False), torch.no_grad():
            inputs.call(net)
    except Exception as error:  # whatever the network's own code raises
        reason = (str(error) or repr(error)).splitlines()[0]
        network = net.network if isinstance(net, NextToken) else net
        what = "one more token after the texts" if isinstance(net, NextToken) else f"inputs of {inputs.shapes}"
        raise InvalidInput(
            f"{type(network).__name__} does not run on {what} ({reason}): device.profile.sequence must be a length "
            "that it takes, and a shorter one than its table of positions with device.profile.decode"
        ) from error


def next_token(net: nn.Module, inputs: Inputs) -> tuple[nn.Module, Inputs]:
    """Returns the network that computes the token after `inputs` from its cache, and the input of that step.

    Raises:
        InvalidInput: the network takes or returns no cache.
    """
    name = type(net).__name__
    parameters = inspect.signature(net.forward).parameters
    open_ended = any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    past_name = next((each for each in PASTS if each in parameters), None)
    if past_name is None or not (CACHED in parameters or open_ended):
        raise InvalidInput(
            f"{name} has no cache: its forward takes no {PASTS[0]} and {CACHED}, so each token costs a whole text; "
            "time that with device.profile.sequence=LENGTH and without device.profile.decode"
        )
    kwargs = {**inputs.kwargs, CACHED: True}
    with in_mode(net, training=False), torch.no_grad():
        output = net(*inputs.args, **kwargs)
    cache = _cache_of(output)
    past = None if cache is None else cache_tensors(cache)
    if not past:
        raise InvalidInput(f"{name} returns no cache for {CACHED}=True: neither as {PASTS[0]} nor after its logits")
    texts = next(tensor for tensor in inputs.tensors().values() if inputs.is_batched(tensor) and tensor.dim() == 2)
    step, after = NextToken(net, past_name, cache).eval(), Inputs(texts[:, -1:].clone(), *past)
    _check_runs(step, after)
    return step, after


class NextToken(nn.Module):
    """A network's next token: ids (N, 1) and the cache's tensors to logits and the tensors of the longer cache."""

    def __init__(self, network: nn.Module, past_name: str, cache: Any) -> None:
        super().__init__()
        self.network = network
        self.past_name = past_name
        self._cache = cache

    def forward(self, ids: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """Returns the logits, and the cache's tensors with those of this token."""
        output = self.network(ids, **{self.past_name: with_tensors(self._cache, past), CACHED: True})
        logits = output[0] if isinstance(output, tuple) else output.logits
        return logits, *cache_tensors(_cache_of(output))


def _cache_of(output: Any) -> Any:
    """The cache in a network's output: a field of that name, or what follows the logits; None without one."""
    for name in PASTS:
        if getattr(output, name, None) is not None:
            return getattr(output, name)
    return output[1] if isinstance(output, tuple) and len(output) > 1 else None


def cache_tensors(cache: Any) -> list[Tensor]:
    """Returns the keys and values of a cache: of any pytree, or of an object with `layers` that have them."""
    layers = getattr(cache, "layers", None)
    if layers is not None:
        return [tensor for layer in layers for tensor in (layer.keys, layer.values)]
    return [leaf for leaf in tree_flatten(cache)[0] if isinstance(leaf, Tensor)]


def with_tensors(cache: Any, tensors: Sequence[Tensor]) -> Any:
    """Returns a cache like this one with other tensors; networks may put their own in it and leave this one alone."""
    if getattr(cache, "layers", None) is not None:
        result = copy.copy(cache)
        result.layers = [copy.copy(layer) for layer in cache.layers]
        for number, layer in enumerate(result.layers):
            layer.keys, layer.values = tensors[2 * number], tensors[2 * number + 1]
        return result
    leaves, structure = tree_flatten(cache)
    given = iter(tensors)
    return tree_unflatten([next(given) if isinstance(leaf, Tensor) else leaf for leaf in leaves], structure)
