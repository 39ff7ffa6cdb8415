"""OneOf: a choice between operators of one model, such as a convolution, a pooling and the identity."""

from __future__ import annotations

from typing import Any

from torch import nn

from ofa.errors import InvalidInput, nearest


class OneOf(nn.Module):
    """Runs one of several layers that take the same input and return outputs of one shape.

    A supernet chooses which, `operator.<path>` in its space: subnets hold the chosen layer alone, in the place of this
    one. On its own it runs the last layer, the one of the largest subnet.

        self.mix = ofa.OneOf(skip=nn.Identity(), pool=nn.AvgPool2d(3, 1, 1), conv=nn.Conv2d(16, 16, 3, padding=1))

    Args:
        layers: two or more, the largest last; named by their numbers.
        named: the same by name.

    Raises:
        InvalidInput: fewer than two layers, or something that is no module.
    """

    def __init__(self, *layers: nn.Module, **named: nn.Module) -> None:
        super().__init__()
        options = {**{str(number): layer for number, layer in enumerate(layers)}, **named}
        for name, layer in options.items():
            if not isinstance(layer, nn.Module):
                raise InvalidInput(f"OneOf: {name}={layer!r:.60} is no torch.nn.Module; for none, give nn.Identity()")
        if len(options) < 2:
            raise InvalidInput(f"OneOf has {len(options)} layers: give two or more, the largest last")
        self.options = nn.ModuleDict(options)
        self.chosen = list(options)[-1]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the output of the chosen layer."""
        return self.options[self.chosen](*args, **kwargs)

    def choose_(self, name: str) -> None:
        """Sets the layer that runs.

        Raises:
            InvalidInput: there is none of that name.
        """
        if name not in self.options:
            raise InvalidInput(f"{name!r} is no layer of this OneOf; {nearest(name, self.options)}")
        self.chosen = name
