"""Class pages that train nothing: what initializers do to the signal by layer, and schedules side by side."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Annotated, Any

import torch
from msgspec import Meta, Struct
from torch import Tensor, nn

from ofa.data import Dataset, digits
from ofa.models import LeNet300
from ofa.prune import resolved
from ofa.prune.lottery import seeded
from ofa.prune.schedules import events
from search.config.read import converted, group_option
from search.config.rules import Seed
from search.objects import make_partial
from search.studio.drawing import histogram
from search.studio.pacing import Tell
from search.studio.parts import menu, option_texts, schedule_of

IMAGES = 512  # that initializers see
BUILT = "built"  # the weights of the model's class
STEPS, EPOCHS = 400, 20  # of the training that schedules are drawn over


@cache
def data() -> Dataset:
    """Returns scikit-learn's digits, 8x8, on which all class pages compute."""
    return digits()


def perceptron(hidden: tuple[int, ...], seed: int) -> nn.Module:
    """Returns a perceptron for digits with these hidden layers and weights drawn from a seed."""
    return seeded(partial(drawn, hidden), seed)


def drawn(hidden: tuple[int, ...]) -> nn.Module:
    """Returns such a perceptron with weights from torch's own generator, which whoever calls it has seeded."""
    return LeNet300(data().input_shape, data().num_outputs, hidden)


class Depth(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page of initializers asks for: hidden layers, units in each, and a seed."""

    depth: Annotated[int, Meta(ge=1, le=20)] = 8
    width: Annotated[int, Meta(ge=4, le=256)] = 64
    seed: Seed = 0


def initializers(body: Mapping[str, Any], tell: Tell) -> None:
    """Tells, for each initializer, the spread of each layer's output before its nonlinearity, and its histogram."""
    request = converted(body, Depth, "initializers")
    images = data().calibration(IMAGES)
    for name, text in option_texts("initializer").items():
        tell({})
        net = perceptron((request.width,) * request.depth, request.seed)
        if name != BUILT:
            initialize = make_partial("initializer", group_option("initializer", name))
            initialize(net, images, torch.Generator().manual_seed(request.seed))
        tell({"initializer": {"name": name, "text": text, "layers": signals(net, images)}})


def signals(net: nn.Module, images: Tensor) -> list[dict[str, Any]]:
    """Returns for each linear layer the deviation of its outputs on images, the share above zero, and a histogram."""
    rows: list[dict[str, Any]] = []

    def note(name: str, output: Tensor) -> None:
        spread = float(output.std())
        most = 4 * spread or 1.0
        bins = histogram(output, most, 32)
        rows.append(
            {"name": name, "deviation": spread, "active": float((output > 0).double().mean()), "histogram": bins}
        )

    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with torch.no_grad():
            net.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return rows


class Course(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page of schedules asks for: the final sparsity, and where removal begins and ends."""

    sparsity: Annotated[float, Meta(gt=0, lt=1)] = 0.9
    begin: Annotated[float, Meta(ge=0, le=1)] = 0.0
    end: Annotated[float, Meta(ge=0, le=1)] = 0.7


def schedules(body: Mapping[str, Any], tell: Tell) -> None:
    """Tells, for each schedule, the share of the training and the sparsity at each of its events."""
    request = converted(body, Course, "schedules")
    for name, text in menu("schedule").items():
        times: dict[str, Any] = {"begin": request.begin, "end": request.end, "at": request.begin}
        known = group_option("prune/schedule", name)
        schedule = schedule_of(name, request.sparsity, {key: at for key, at in times.items() if key in known})
        points = events(resolved(schedule, STEPS, STEPS // EPOCHS), STEPS)
        tell({"schedule": {"name": name, "text": text, "points": [[step / STEPS, level] for step, level in points]}})
