"""The precision in which a model is judged: double, where all of it is computed so."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

import ofa
from ofa.randomize import randomize_


class _Coarsest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the coarsest rounding of what is computed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.epsilon = torch.finfo(torch.float64).eps

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        results = [value for value in tree_flatten(out)[0] if isinstance(value, Tensor) and value.is_floating_point()]
        self.epsilon = max([self.epsilon, *(torch.finfo(value.dtype).eps for value in results)])
        return out


def in_double(supernet: ofa.Supernet, inputs: ofa.Inputs) -> tuple[ofa.Inputs, bool]:
    """Returns the inputs in double precision, the model too, and whether everything that it computes is.

    A model that names a type of its own may run so all the same, with parts in single precision, such as the norms of
    Llama; where it does not run, both are unchanged.
    """
    randomize_(supernet.model)
    double = inputs.map(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)
    types = {name: tensor.dtype for name, tensor in supernet.tensors().items()}
    try:
        supernet.model.double()
        with torch.no_grad(), _Coarsest() as seen:
            double.call(supernet.model)
        return double, seen.epsilon == torch.finfo(torch.float64).eps
    except Exception:
        for name, tensor in supernet.tensors().items():
            tensor.data = tensor.data.to(types[name])
        return inputs, False
