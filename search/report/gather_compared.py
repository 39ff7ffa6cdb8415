"""From comparison.json to what the report shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.paths import read_json
from search.compare_words import purposes_text
from search.paths import RunFolder
from search.report.data import Compared, ComparedPair, ComparedSide, ComparedSubnet, OnDevice
from search.run_contents import found_by_searches
from search.stages import hash_of, is_complete


def gather_compared(run: RunFolder) -> Compared | None:
    """Returns what was compared in a run, None where nothing was.

    Raises:
        InvalidInput: the file is damaged, by name.
    """
    if not is_complete(run.comparison):
        return None
    content = read_json(run.comparison)
    try:
        return _compared(content, hash_of(found_by_searches(run)))
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{run.comparison} is damaged (no {error}); compare again with force=true") from None


def _compared(content: Mapping[str, Any], searches: str) -> Compared:
    return Compared(
        runtimes={device["name"]: device["runtime"] for device in content["devices"]},
        verdicts={device["name"]: device["verdict"] for device in content["devices"]},
        subnets=tuple(_subnet(row) for row in content["subnets"]),
        pairs=tuple(_pair(row) for row in content["pairs"]),
        found=content["found"],
        same_time=content["same_time"],
        test_images=content["test_images"],
        is_old=content["searches"] != searches,
    )


def _subnet(row: Mapping[str, Any]) -> ComparedSubnet:
    purposes = row["chosen_for"]
    return ComparedSubnet(
        name=row["name"],
        devices=tuple(sorted({device for purpose in purposes for device in purpose["devices"]})),
        purpose=purposes_text(purposes),
        arch=Arch.from_dict(row["arch"]).values,
        validation_accuracy=row["validation_accuracy"],
        test_accuracy=row["test_accuracy"],
        macs=row["macs"],
        on={name: _on(one) for name, one in row["on"].items()},
    )


def _on(one: Mapping[str, Any]) -> OnDevice:
    return OnDevice(one["ms"], one["of_largest"], tuple((limit["limit_ms"], limit["met"]) for limit in one["limits"]))


def _pair(row: Mapping[str, Any]) -> ComparedPair:
    own, other = (
        ComparedSide(row[side]["subnet"], row[side]["ms"], row[side]["accuracy"]) for side in ("own", "other")
    )
    return ComparedPair(
        device=row["device"],
        limit_ms=row["limit_ms"],
        own=own,
        other_device=row["other_device"],
        other_limit_ms=row["other_limit_ms"],
        other=other,
        better=row["better"],
        said=row["sense"] if row["better"] else f"{row['sense']}: {row['reason']}",
    )
