"""Training of codebooks: what moves are the shared values, and what is removed stays 0."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ofa.compress.sharing import SharedTensor, Sharing
from ofa.computed_weights import copied
from ofa.errors import InvalidInput


def with_codebooks(model: nn.Module, sharing: Sharing) -> nn.Module:
    """Returns a copy of the model whose shared weights are looked up in codebooks, which are its parameters now.

    The gradient of a codebook's entry is the sum of those of the weights that have it; removed weights are no part of
    any and stay 0. Any optimizer and `ofa.train.train_network` train it as it is; what is not shared trains too.
    Weights that layers share have one codebook. `without_codebooks` gives an ordinary model again.

    Source: Han et al. 2016, 1510.00149, section 3.3.

    Raises:
        InvalidInput: the sharing is not of this model.
    """
    sharing.parameters_of(model)
    network = copied(model)
    parameters = dict(network.named_parameters())
    names = {id(parameters[name]): name for name in sharing.tensors}
    orders = {layer: tuple(layer._parameters) for layer in network.modules()}
    trained: dict[str, nn.Parameter] = {}
    for layer, attribute, parameter in list(_held(network)):
        name = names.get(id(parameter))
        if name is None:
            continue
        lookup = _Lookup(sharing.tensors[name], parameter, orders[layer])
        # Registering makes the parameter itself the codebook, also where another layer holds it.
        own = nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)
        layer.register_parameter(attribute, own)
        parametrize.register_parametrization(layer, attribute, lookup)
        chain = layer.get_submodule(f"parametrizations.{attribute}")
        original = chain.get_parameter("original")
        if name in trained:
            chain.register_parameter("original", trained[name])
        trained.setdefault(name, original)
    return network


def without_codebooks(model: nn.Module) -> nn.Module:
    """Returns a copy of a model of `with_codebooks` with ordinary weights, which have the values of its codebooks.

    Raises:
        InvalidInput: a model without codebooks.
    """
    network = copied(model)
    weights: dict[int, nn.Parameter] = {}
    for layer, attribute, lookup, trained in list(_lookups(network)):
        if id(trained) not in weights:
            values = lookup(trained).detach()
            weights[id(trained)] = nn.Parameter(values, requires_grad=trained.requires_grad)
        parametrize.remove_parametrizations(layer, attribute, leave_parametrized=False)
        layer.register_parameter(attribute, weights[id(trained)])
        if not parametrize.is_parametrized(layer):
            ordered = [name for name in lookup.order if name in layer._parameters]
            for name in [*ordered, *(other for other in layer._parameters if other not in ordered)]:
                layer._parameters[name] = layer._parameters.pop(name)
    if not weights:
        raise InvalidInput("the model has no codebooks: it must come from ofa.compress.with_codebooks")
    return network


def sharing_of(model: nn.Module) -> Sharing:
    """Returns the sharing that a model of `with_codebooks` has now, its codebooks as trained.

    Raises:
        InvalidInput: a model without codebooks.
    """
    tensors: dict[str, SharedTensor] = {}
    seen: set[int] = set()
    paths = {id(layer): path for path, layer in model.named_modules()}
    for layer, attribute, lookup, trained in _lookups(model):
        if id(trained) not in seen:
            seen.add(id(trained))
            path = paths[id(layer)]
            tensors[f"{path}.{attribute}" if path else attribute] = lookup.shared(trained)
    if not tensors:
        raise InvalidInput("the model has no codebooks: it must come from ofa.compress.with_codebooks")
    return Sharing(tensors)


class _Lookup(nn.Module):
    """A parametrization: a codebook (K,), or the step of integers (1,), to the weight."""

    places: Tensor
    entries: Tensor
    integers: Tensor

    def __init__(self, shared: SharedTensor, weight: Tensor, order: tuple[str, ...]) -> None:
        super().__init__()
        self.shape = weight.shape
        self.order = order  # of the layer's parameters, so that its state has the same order afterwards
        channels_last = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.start = shared.codebook.to(weight)
        flat = shared.indices.reshape(-1).to(weight.device)
        places = flat.nonzero().reshape(-1)
        self.removes = len(places) < flat.numel()
        self.register_buffer("places", places if self.removes else places[:0])
        self.register_buffer("entries", (flat[places] - 1).int())
        whole = torch.round(shared.codebook.double() / shared.step) if shared.step is not None else torch.empty(0)
        self.register_buffer("integers", whole.to(weight))

    def forward(self, trained: Tensor) -> Tensor:
        """Returns the weight in its shape."""
        table = trained * self.integers if len(self.integers) else trained
        picked = table.index_select(0, self.entries)
        if self.removes:
            picked = picked.new_zeros(self.shape.numel()).index_copy(0, self.places, picked)
        return picked.reshape(self.shape).contiguous(memory_format=self.memory_format)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Returns what is trained in the weight's place."""
        if len(self.integers):
            largest = self.integers.abs().argmax()
            return (self.start[largest] / self.integers[largest]).reshape(1)
        return self.start.clone()

    def shared(self, trained: Tensor) -> SharedTensor:
        """Returns the tensor that the values make."""
        table = (trained * self.integers if len(self.integers) else trained).detach().clone()
        flat = torch.zeros(self.shape.numel(), dtype=torch.int32, device=table.device)
        if self.removes:
            flat[self.places] = self.entries + 1
        else:
            flat = self.entries + 1
        step = float(trained.detach()) if len(self.integers) else None
        return SharedTensor(table, flat.reshape(self.shape), step)


def _held(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    """Every parameter of every layer once for each layer that holds it: layer, attribute, parameter."""
    for layer in network.modules():
        for attribute, parameter in layer._parameters.items():
            if parameter is not None:
                yield layer, attribute, parameter


def _lookups(network: nn.Module) -> Iterator[tuple[nn.Module, str, _Lookup, nn.Parameter]]:
    """Every weight that comes from a codebook: layer, attribute, lookup, what is trained."""
    for layer in network.modules():
        if parametrize.is_parametrized(layer):
            for attribute, chain in layer.get_submodule("parametrizations").named_children():
                lookup = next(iter(chain.children()))
                if isinstance(lookup, _Lookup):
                    yield layer, attribute, lookup, chain.get_parameter("original")
