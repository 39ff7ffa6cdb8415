"""Roles: which parameters multiply activations, and which are embeddings, positions or tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ofa.inputs import Example, as_inputs
from ofa.modes import op_by_op
from ofa.norms import NORMS
from ofa.prune.layers import LAYERS, undisturbed

EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
MULTIPLYING = (*LAYERS, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)
_PRODUCTS = frozenset(
    "mm addmm bmm baddbmm addbmm mv addmv dot vdot matmul linear einsum convolution _convolution mkldnn_convolution "
    "_trilinear _cdist_forward _thnn_fused_lstm_cell _thnn_fused_gru_cell lstm gru rnn_tanh rnn_relu mkldnn_rnn_layer "
    "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
    "_scaled_dot_product_efficient_attention _scaled_dot_product_attention_math "
    "_scaled_dot_product_cudnn_attention".split()
)
_ATTENTION_BIASES = ("bias_k", "bias_v")


def roles(model: nn.Module, example_input: Example | None = None) -> dict[str, str]:
    """Returns what each parameter of 2 or more dimensions is that multiplies nothing: by name, its role.

    "norm" is of a norm layer; "embedding" is looked up, by any module that holds it, also where an output layer is tied
    to it; "position or token" is added to activations or joined to them (positions, class tokens, tables of relative
    positions, scales of layers). Weights of products are not named. The layers of torch say their roles themselves. Of
    other parameters `example_input` shows which are multiplied, from one run in eval mode; without it, those with a
    first dimension of 1, which broadcasts over examples, and those with one dimension above 1 count as no weights.
    """
    holders = _holders(model)
    result: dict[str, str] = {}
    unclear: dict[str, nn.Parameter] = {}
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            continue
        modules = holders[id(parameter)]
        if any(isinstance(module, NORMS) for module in modules):
            result[name] = "norm"
        elif any(isinstance(module, EMBEDDINGS) for module in modules):
            result[name] = "embedding"
        elif name.rpartition(".")[2] in _ATTENTION_BIASES:
            result[name] = "position or token"
        elif not any(isinstance(module, MULTIPLYING) for module in modules):
            unclear[name] = parameter
    if not unclear:
        return result
    multiplied = None if example_input is None else _multiplied(model, example_input)
    for name, parameter in unclear.items():
        is_weight = _looks_multiplied(parameter) if multiplied is None else name in multiplied
        if not is_weight:
            result[name] = "position or token"
    return result


def _holders(model: nn.Module) -> dict[int, list[nn.Module]]:
    """The modules that hold each parameter, by its id; a tied one has several."""
    holders: dict[int, list[nn.Module]] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            holders.setdefault(id(parameter), []).append(module)
    return holders


def _looks_multiplied(parameter: Tensor) -> bool:
    return parameter.shape[0] > 1 and sum(size > 1 for size in parameter.shape) > 1


def _multiplied(model: nn.Module, example_input: Example) -> set[str]:
    """Names of the parameters that a product takes, itself or what only parameters and constants made of it."""
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    watch = _Watch(dict(model.named_parameters()), model.buffers())
    with undisturbed(model), torch.no_grad(), op_by_op():
        inputs = as_inputs(example_input).to(device)
        with watch:
            inputs.call(model)
    return watch.multiplied


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows parameters through the ops of a run, and notes which of them meet activations in a product."""

    def __init__(self, parameters: Mapping[str, Tensor], buffers: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.multiplied: set[str] = set()
        self._made_of = {_memory(tensor): frozenset([name]) for name, tensor in parameters.items()}
        self._made_of |= {_memory(buffer): frozenset() for buffer in buffers}
        self._held: list[Tensor] = []  # so that no memory is used twice

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        made_of = [self._made_of.get(_memory(tensor)) for tensor in given]
        names = frozenset().union(*(parents for parents in made_of if parents is not None))
        if None not in made_of:  # made of parameters and constants alone
            for leaf in tree_leaves(result):
                if isinstance(leaf, Tensor) and _memory(leaf) not in self._made_of:
                    self._made_of[_memory(leaf)] = names
                    self._held.append(leaf)
        elif func.overloadpacket.__name__ in _PRODUCTS:
            self.multiplied |= names
        return result


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
