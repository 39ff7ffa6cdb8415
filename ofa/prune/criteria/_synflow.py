"""SynFlow: how much of the flow from inputs to outputs passes a weight. No data."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ofa.errors import InvalidInput
from ofa.inputs import Inputs, output_tensors
from ofa.norms import NORMS
from ofa.prune.context import PruneContext
from ofa.prune.layers import undisturbed


def synflow(context: PruneContext, input_shape: Sequence[int] | None = None) -> dict[str, Tensor]:
    """Returns R = |w| * dS/d|w|, of each weight's shape, float64, never below 0.

    S is the sum of the outputs of the model in eval mode, its weights replaced by their absolute values and what
    it adds (biases, running means) by 0, on one input of ones of `input_shape` (C, H, W); without it, on the first
    of the context's inputs, its floating-point tensors made ones. The sum of R over a layer through which all paths
    go is then S, the same for every such layer, which is what keeps layers from emptying. Norms that take their
    statistics from the input only scale. That S counts paths holds for ReLU-like activations and pooling, not for
    tanh or a softmax.

    Use many events before training, not one: the schedule `geometric` with about 100 `rounds` (the paper's
    exponential schedule), all applied before the first step. Each round measures the flow of what is left.

    Raises:
        InvalidInput: neither input_shape nor batches, or a flow beyond what float64 holds.
    Source: Tanaka et al. 2020, 2006.05467, equation 2 and algorithm 1.
    """
    model = context.model
    state = {name: _without_sign(name, tensor) for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    owners = {id(parameter): name for name, parameter in model.named_parameters()}
    leaves = {name: state[owners[id(weight)]].requires_grad_(True) for name, weight in context.weights.items()}
    device = next(iter(context.weights.values())).device
    with undisturbed(model), torch.enable_grad(), ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, NORMS) and getattr(module, "running_mean", None) is None:
                stack.callback(module.register_forward_hook(_only_scale).remove)
        if input_shape is not None:
            inputs = Inputs(torch.ones(1, *input_shape, dtype=torch.float64, device=device))
        else:
            inputs = context.labeled("synflow")[0][0].rows(0, 1).map(_ones)
        output = functional_call(model, state, inputs.args, dict(inputs.kwargs))
        flow = torch.stack([value.sum() for value in output_tensors(output) if value.is_floating_point()]).sum()
        gradients = torch.autograd.grad(flow, list(leaves.values()), allow_unused=True, materialize_grads=True)
    if not bool(torch.isfinite(flow)) or not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
        raise InvalidInput(
            f"the synaptic flow of {type(model).__name__} is {flow.item()!r}, beyond what float64 holds: "
            f"its weights are too large for its depth"
        )
    return {name: leaf.detach() * gradient for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True)}


def _ones(tensor: Tensor) -> Tensor:
    return torch.ones_like(tensor, dtype=torch.float64) if tensor.is_floating_point() else tensor


def _without_sign(name: str, tensor: Tensor) -> Tensor:
    """What replaces a parameter or buffer: 0 if it is added, else its absolute value in float64."""
    if not tensor.is_floating_point():
        return tensor.detach().clone()
    tensor_name = name.rpartition(".")[2]
    positive = tensor.detach().abs().double()
    return torch.zeros_like(positive) if "bias" in tensor_name or tensor_name == "running_mean" else positive


def _only_scale(norm: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """The input of a norm times the norm's scale, in place of its output."""
    values, scale = args[0], norm.weight
    if not isinstance(scale, Tensor):
        return values
    if isinstance(norm, (nn.LayerNorm, nn.RMSNorm)):
        return values * scale
    return values * scale.reshape(-1, *(1 for _ in values.shape[2:]))
