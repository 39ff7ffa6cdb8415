"""Networks of residual blocks as users write them: what blocks get, what they return, and how they are held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

SIZE = 8


class Base(nn.Module):
    """x + f(x) with a normalization first."""

    def __init__(self, index: int = 0) -> None:
        super().__init__()
        self.index = index
        self.norm = nn.LayerNorm(SIZE)
        self.up = nn.Linear(SIZE, 2 * SIZE)
        self.down = nn.Linear(2 * SIZE, SIZE)

    def branch(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(self.norm(x))))

    def forward(self, x: Tensor) -> Any:
        return x + self.branch(x)


class Masked(Base):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x + (self.branch(x) if mask is None else self.branch(x) * mask)


class Rotated(Base):
    def forward(self, x: Tensor, tables: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        cos, sin = tables
        y = self.branch(x)
        return x + (y * cos + y.flip(1) * sin) * mask


class Attending(Base):
    def forward(self, x: Tensor, want_map: bool = True) -> tuple[Tensor, Tensor | None]:
        scores = torch.softmax(x @ x.transpose(1, 2), -1)
        return x + scores @ self.branch(x), scores if want_map else None


class Listed(Base):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x + self.branch(x)]


class Named(Base):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"hidden": x + self.branch(x), "mean": x.mean(1)}


@dataclass
class Output:
    hidden: Tensor
    extra: Tensor | None = None


class Structured(Base):
    def forward(self, x: Tensor) -> Output:
        return Output(x + self.branch(x), x.mean(1))


class PostNorm(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + F.dropout(self.down(F.gelu(self.up(x))), 0.1, self.training))


class PostRootNorm(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = x + self.down(F.gelu(self.up(x)))
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.norm.weight


class Parallel(Base):
    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        self.other = nn.Linear(SIZE, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.other(y) + self.down(F.gelu(self.up(y)))


class Twice(Base):
    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        self.scale = nn.Parameter(torch.ones(SIZE))
        self.other = nn.Linear(SIZE, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        n, length, size = x.shape
        x = (x + self.scale * self.branch(x)).reshape(n * length, size)
        return (x + self.other(x)).reshape(n, length, size)


class Caching(Base):
    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y = self.branch(x)
        return x + y, (y, 2 * y)


class WithShape(Base):
    def forward(self, inputs: tuple[Tensor, int]) -> tuple[Tensor, int]:
        x, length = inputs
        assert length == x.shape[1]
        return x + self.branch(x), length


class Decoding(Base):
    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> Tensor:
        y = self.branch(x)
        return x + y + torch.softmax(y @ memory.transpose(1, 2), -1) @ memory


class TwoStreams(Base):
    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        return image + self.branch(image) * text.mean(1, keepdim=True), text + self.branch(text)


class BiasMaking(Base):
    """The first makes a bias, the others use it: T5's relative positions."""

    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        self.bias = nn.Parameter(torch.zeros(1, 5, SIZE)) if index == 0 else None

    def forward(self, x: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if bias is None:
            assert self.bias is not None
            bias = self.bias.expand(x.shape)
        return x + self.branch(x + bias), bias


class Sliced(Base):
    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None, *, output_map: bool = False) -> Any:
        y = hidden_states + self.branch(hidden_states)
        return (y, y.mean(1)) if output_map else (y,)


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


NETS: dict[str, Callable[[], nn.Module]] = {
    "keyword": lambda: ByKeyword(Masked),
    "hidden by keyword": lambda: HiddenByKeyword(Masked),
    "positional": lambda: Positional(Rotated),
    "maps and hidden states": lambda: CollectsMaps(Attending),
    "tuple": lambda: First(Attending),
    "list": lambda: First(Listed),
    "dictionary of outputs": lambda: ByName(Named),
    "dataclass": lambda: ByField(Structured),
    "post-norm": lambda: Net(PostNorm),
    "post-norm by hand": lambda: Net(PostRootNorm),
    "parallel": lambda: Net(Parallel),
    "two sums, reshaped": lambda: Net(Twice),
    "caches": lambda: CollectsMaps(Caching),
    "module dict": lambda: Dictionary(Listed),
    "attributes": ByAttribute,
    "plain list": InPlainList,
    "index": ByIndex,
    "slice and settings": lambda: Face(Sliced),
    "checkpointed": lambda: Net(lambda index: Checkpointed(Base(index))),
    "layer drop": LayerDrop,
    "encoder-decoder": lambda: EncoderDecoder(Decoding),
    "two streams": lambda: Streams(TwoStreams),
    "sequential of tuples": PassesAlong,
    "taps": Taps,
    "shared between": SharedBetween,
    "works between": lambda: WorksBetween(Masked),
    "bias of the first": lambda: BiasPassing(BiasMaking),
}


def images() -> Tensor:
    """An input of these networks: (2, 5, 3)."""
    return torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(3))
