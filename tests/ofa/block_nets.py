"""Networks around residual blocks: how blocks are held and called, and what happens between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.ofa.residual_blocks import (
    SIZE,
    Base,
    WithShape,
)


class Net(nn.Module):
    """A stem, four blocks, and a mean of positions with a classifier."""

    def __init__(self, make: Callable[[int], nn.Module] = Base, count: int = 4) -> None:
        super().__init__()
        self.stem = nn.Linear(3, SIZE)
        self.layers: nn.Module = nn.ModuleList(make(index) for index in range(count))
        self.head = nn.Linear(SIZE, 5)

    def blocks(self, x: Tensor) -> Any:
        for block in self.layers:  # type: ignore[attr-defined]
            x = block(x)
        return x

    def forward(self, x: Tensor) -> Any:
        return self.head(self.blocks(self.stem(x)).mean(1))


def mask_of(x: Tensor) -> Tensor:
    return (x[..., :1] > -10).to(x.dtype) * 0.5


class ByKeyword(Net):
    def blocks(self, x: Tensor) -> Any:
        mask = mask_of(x)
        for block in self.layers:  # type: ignore[attr-defined]
            x = block(x, mask=mask)
        return x


class HiddenByKeyword(Net):
    def blocks(self, x: Tensor) -> Any:
        mask = mask_of(x)
        for block in self.layers:  # type: ignore[attr-defined]
            x = block(mask=mask, x=x)
        return x


class Positional(Net):
    def blocks(self, x: Tensor) -> Any:
        mask = mask_of(x)
        tables = (x.new_full((1, 5, 1), 0.5), x.new_full((1, 5, 1), 0.1))
        for block in self.layers:  # type: ignore[attr-defined]
            x = block(x, tables, mask)
        return x


class CollectsMaps(Net):
    def forward(self, x: Tensor) -> Any:
        x, maps, hidden = self.stem(x), [], ()
        for block in self.layers:  # type: ignore[attr-defined]
            hidden += (x,)  # type: ignore[assignment]
            x, attention = block(x)
            maps.append(attention)
        return {"logits": self.head(x.mean(1)), "maps": maps, "hidden": (*hidden, x)}


class First(Net):
    def blocks(self, x: Tensor) -> Any:
        for block in self.layers:  # type: ignore[attr-defined]
            x = block(x)[0]
        return x


class ByName(Net):
    def blocks(self, x: Tensor) -> Any:
        for block in self.layers:  # type: ignore[attr-defined]
            x = block(x)["hidden"]
        return x


class ByField(Net):
    def blocks(self, x: Tensor) -> Any:
        for block in self.layers:  # type: ignore[attr-defined]
            x = block(x).hidden
        return x


class Dictionary(Net):
    def __init__(self, make: Callable[[int], nn.Module] = Base) -> None:
        super().__init__(make)
        self.layers = nn.ModuleDict({f"block_{index}": make(index) for index in range(4)})

    def blocks(self, x: Tensor) -> Any:
        for name, block in self.layers.items():  # type: ignore[operator]
            x = block(x)[0] if name else x
        return x


class ByAttribute(Net):
    def __init__(self) -> None:
        super().__init__(count=0)
        for index in range(4):
            setattr(self, f"layer{index}", Base(index))

    def blocks(self, x: Tensor) -> Any:
        for index in range(4):
            x = getattr(self, f"layer{index}")(x)
        return x


class InPlainList(ByAttribute):
    def __init__(self) -> None:
        super().__init__()
        self.chain = [getattr(self, f"layer{index}") for index in range(4)]

    def blocks(self, x: Tensor) -> Any:
        for block in self.chain:
            x = block(x)
        return x


class ByIndex(Net):
    def blocks(self, x: Tensor) -> Any:
        for index in range(4):
            x = self.layers[index](x)  # type: ignore[index]
        return x


class Face(Net):
    """As in transformers: a slice of the list, keywords, and settings by the block's own index."""

    kinds = ("full", "half", "full", "half")

    def blocks(self, x: Tensor) -> Any:
        masks = {"full": mask_of(x), "half": 2 * mask_of(x)}
        for block in self.layers[:4]:  # type: ignore[index]
            x = block(x, attention_mask=masks[self.kinds[block.index]], output_map=False)[0]
        return x


class Checkpointed(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return checkpoint(self.block, *args, use_reentrant=False, **kwargs)


class LayerDrop(Net):
    def blocks(self, x: Tensor) -> Any:
        for block in self.layers:  # type: ignore[attr-defined]
            if not (self.training and torch.rand(()) < 0.3):
                x = block(x)
        return x


class EncoderDecoder(Net):
    def blocks(self, x: Tensor) -> Any:
        memory = x.flip(1)[:, :4]
        for block in self.layers:  # type: ignore[attr-defined]
            x = block(x, memory, memory_mask=None)
        return x


class Streams(Net):
    def blocks(self, x: Tensor) -> Any:
        image, text = x, x[:, :3]
        for block in self.layers:  # type: ignore[attr-defined]
            image, text = block(image, text=text)
        return torch.cat([image, text], 1)


class PassesAlong(Net):
    def __init__(self, make: Callable[[int], nn.Module] = WithShape) -> None:
        super().__init__(make)
        self.layers = nn.Sequential(*(make(index) for index in range(4)))

    def blocks(self, x: Tensor) -> Any:
        return self.layers((x, x.shape[1]))[0]


class Taps(Net):
    """The second and the last block's output are used: the last must stay in its list."""

    def blocks(self, x: Tensor) -> Any:
        taps = []
        for index, block in enumerate(self.layers):  # type: ignore[arg-type]
            x = block(x)
            if index in (1, 3):
                taps.append(x)
        return torch.cat(taps, 1)


class SharedBetween(Net):
    """A layer that all rounds of the loop share runs where its block is left out, too."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(SIZE, SIZE)

    def blocks(self, x: Tensor) -> Any:
        for block in self.layers:  # type: ignore[attr-defined]
            x = torch.tanh(self.shared(block(x)))
        return x


class WorksBetween(Net):
    """Every round of the loop computes something from which nothing follows."""

    def blocks(self, x: Tensor) -> Any:
        start = x
        for block in self.layers:  # type: ignore[attr-defined]
            x = block(x, mask=(start @ start.transpose(1, 2)).mean((1, 2), keepdim=True) * 0 + 1)
        return x


class BiasPassing(Net):
    def blocks(self, x: Tensor) -> Any:
        bias = None
        for block in self.layers:  # type: ignore[attr-defined]
            x, bias = block(x, bias=bias)
        return x
