"""The stages of a MobileNet as values: checked, read from configs, and fitted to the size of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ofa.errors import InvalidInput, nearest
from ofa.models.sizes import check_between, check_positive

ACTIVATIONS = ("relu", "hardswish")


@dataclass(frozen=True)
class Stage:
    """A run of equal blocks: `width` channels out; inside, `expansion` times the input in multiples of 8."""

    width: int
    blocks: int = 2
    stride: int = 1
    kernel_size: int = 3
    expansion: float = 4
    squeeze_excite: bool = True
    activation: str = "hardswish"

    def __post_init__(self) -> None:
        sizes = {
            "width": self.width,
            "blocks": self.blocks,
            "stride": self.stride,
            "kernel_size": self.kernel_size,
        }
        check_positive("MobileNet stage", **sizes)
        check_between("MobileNet stage", 1, 17, expansion=self.expansion)
        if self.kernel_size % 2 == 0:
            raise InvalidInput(f"MobileNet stage kernel_size={self.kernel_size}: must be odd (3, 5, 7)")
        if self.activation not in ACTIVATIONS:
            rule = nearest(str(self.activation), ACTIVATIONS)
            raise InvalidInput(f"MobileNet stage activation={self.activation!r} is unknown; {rule}")


# MobileNetV3-Large (1905.02244, table 1) with equal blocks within a stage.
DEFAULT_STAGES = (
    Stage(16, blocks=1, expansion=1, squeeze_excite=False, activation="relu"),
    Stage(24, blocks=2, stride=2, expansion=4, squeeze_excite=False, activation="relu"),
    Stage(40, blocks=3, stride=2, kernel_size=5, expansion=3, activation="relu"),
    Stage(80, blocks=4, stride=2, expansion=3, squeeze_excite=False),
    Stage(112, blocks=2, expansion=6),
    Stage(160, blocks=3, stride=2, kernel_size=5, expansion=6),
)


def read_stages(stages: Sequence[Stage | Mapping[str, Any]]) -> tuple[Stage, ...]:
    """Returns the stages, those given as mappings read by field name.

    Raises:
        InvalidInput: no stages, or one with an unknown field, without its width, or not a mapping.
    """
    if not stages:
        raise InvalidInput("MobileNet stages=[]: give at least one stage")
    names = [field.name for field in fields(Stage)]
    plan = []
    for position, stage in enumerate(stages):
        if isinstance(stage, Stage):
            plan.append(stage)
            continue
        if not isinstance(stage, Mapping):
            raise InvalidInput(f"MobileNet stages[{position}]={stage!r}: give a mapping with {', '.join(names)}")
        for name in stage:
            if name not in names:
                raise InvalidInput(f"MobileNet stages[{position}] has no {name!r}; {nearest(str(name), names)}")
        if "width" not in stage:
            raise InvalidInput(f"MobileNet stages[{position}] lacks width, its number of channels")
        plan.append(Stage(**{str(name): value for name, value in stage.items()}))
    return tuple(plan)


def drop_strides(strides: Sequence[int], image_size: int, least_map: int) -> list[int]:
    """Returns the strides, the earliest set to 1 until `image_size` pixels end as `least_map` or more."""

    def size_after(strides: list[int]) -> int:
        size = image_size
        for stride in strides:
            size = -(-size // stride)  # padding makes a strided layer round up
        return size

    result = list(strides)
    for position in range(len(result)):
        if size_after(result) >= least_map:
            break
        result[position] = 1
    return result


def multiple_of_8(size: float) -> int:
    """Returns the multiple of 8 nearest to `size`, at least 8: widths that run fast."""
    return max(8, int(size + 4) // 8 * 8)
