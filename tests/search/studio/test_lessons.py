"""The pages for a class compute what they say, and the same each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from ofa.errors import InvalidInput
from ofa.models import LeNet300
from ofa.prune import Cubic
from ofa.prune.initializers import lsuv_
from ofa.prune.lottery import seeded
from ofa.prune.schedules import events
from search.studio import comparisons, lessons
from search.studio.pacing import Tell
from search.studio.parts import option_texts


def rows(page: Callable[[Mapping[str, Any], Tell], None], key: str, **body: Any) -> list[dict[str, Any]]:
    pieces: list[Mapping[str, Any]] = []
    page(body, pieces.append)
    return [piece[key] for piece in pieces if key in piece]


def test_tickets_and_controls_have_masks_of_their_density_and_weights_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lessons, "DENSITIES", (1.0, 0.25, 0.06))
    found = rows(lessons.tickets, "ticket", epochs=10)
    assert [(row["density"], row["kind"]) for row in found] == [
        (1.0, "ticket"),
        *((density, kind) for density in (0.25, 0.06) for kind in ("ticket", "reinit", "random")),
    ]
    ticket, reinit, random = found[-3:]
    assert ticket["image"] == reinit["image"] != random["image"]
    assert ticket["score"] > reinit["score"] > random["score"]  # far apart at this density


def test_proximal_regularizers_make_zeros_and_groups_make_whole_units_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    some = {"none": 0.0, "proximal_l1": 6e-2, "group_lasso": 0.1}
    monkeypatch.setattr(lessons, "REGULARIZERS", some)
    found = rows(lessons.regularizers, "epoch", epochs=8)
    last = {row["name"]: row for row in found}
    assert [row["epoch"] for row in found] == [*range(9)] * 3
    assert last["none"]["zeros"] == 0 < last["proximal_l1"]["zeros"]
    assert last["group_lasso"]["zeros"] == last["group_lasso"]["rows"] > 0


def test_bytes_shrink_stage_by_stage() -> None:
    found = rows(lessons.compression, "stage", epochs=2, sparsity=0.8, bits=3)
    sizes = {row["name"]: row["ofaz"] for row in found}
    assert len(found) == 6
    assert sizes["trained"] > 3 * sizes["pruned"] > 6 * sizes["weights shared"] >= 6 * sizes["units reordered"]
    assert all(row["ofaz"] <= row["huffman"] for row in found)


def test_signals_are_those_of_the_initializer() -> None:
    found = {row["name"]: row["layers"] for row in rows(comparisons.initializers, "initializer", depth=3, width=16)}
    assert found.keys() == option_texts("initializer").keys()
    data = comparisons.data()
    net = seeded(lambda: LeNet300(data.input_shape, 10, (16,) * 3), 0)
    images = data.calibration(comparisons.IMAGES)
    lsuv_(net, images, torch.Generator().manual_seed(0))
    first = net.hidden[0](images.flatten(1))
    assert found["lsuv"][0]["deviation"] == pytest.approx(float(first.detach().std()), rel=1e-6)
    assert found["lsuv"][0]["deviation"] == pytest.approx(1, abs=0.05)


def test_schedules_are_drawn_at_their_events() -> None:
    found = {row["name"]: row["points"] for row in rows(comparisons.schedules, "schedule", sparsity=0.8, end=0.5)}
    cubic = events(Cubic(0.8, begin=0, end=200, every=4), 400)
    assert found["cubic"] == [[step / 400, level] for step, level in cubic]
    assert all(points[-1][1] == pytest.approx(0.8) for points in found.values())


@pytest.mark.parametrize(
    ("page", "body", "said"),
    [
        (lessons.tickets, {"epochs": 0}, "tickets.epochs=0 must be a whole number"),
        (lessons.compression, {"bits": 40}, "compression.bits=40 must be a whole number from 1 to 16"),
        (comparisons.schedules, {"begin": 0.8, "end": 0.2}, "end=0.2 comes before begin=0.8"),
        (comparisons.initializers, {"depths": 3}, "initializers.depths is unknown; did you mean depth"),
    ],
)
def test_what_cannot_be_is_said(page: Any, body: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        page(body, lambda piece: None)
