"""Rows of extracted subnets, what tables and reports show; kept beside the folders, one list a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.figures import LATENCY
from search.free_figures import PEAK

OF_CARD = (
    *("device", "limit_ms", "limits", "predicted_ms", "measured_ms", "predicted", "measured"),
    *("accuracy", "macs", "params", "bytes", PEAK, "margin", "onnx"),
)


def row_of(card: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """Returns the row of a subnet from its card; None stands for what the card does not say."""
    row = {key: card.get(key) for key in OF_CARD}
    return {**row, "largest": False, "folder": None if folder is None else str(folder)}


def is_largest(row: Mapping[str, Any]) -> bool:
    """Whether a row is of the largest subnet; rows of older versions mark it by having no limit."""
    return bool(row.get("largest", row["limit_ms"] is None))


def limits_of(row: Mapping[str, Any]) -> dict[str, float]:
    """Returns the limits that a subnet was chosen for, by figure; rows of older versions have a latency limit alone."""
    if row.get("limits") is not None:
        return dict(row["limits"])
    return {} if row["limit_ms"] is None else {LATENCY: row["limit_ms"]}


def is_for(row: Mapping[str, Any], target: Mapping[str, float]) -> bool:
    """Whether a row is of the subnet that was chosen for `target`; older rows know of its latency limit alone."""
    if row.get("limits") is not None:
        return dict(row["limits"]) == dict(target)
    return bool(row["limit_ms"] == target.get(LATENCY))


def times_of(row: Mapping[str, Any], kind: str = "measured") -> dict[str, float]:
    """Returns latencies in ms by figure, of a row or of a network in finalists.json.

    `kind` is "measured" or "predicted". Files of older versions have one latency, under another name.
    """
    if row.get(kind) is not None:
        return dict(row[kind])
    return {LATENCY: row[f"{kind}_ms"]}
