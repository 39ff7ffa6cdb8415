"""A subnet that has a file in fewer bits: the studio says so, and what each layer computes in there."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from ofa.precisions import LayerPrecision
from ofa.records import read_record, write_record
from ofa.task import Score
from search.networks.folder import SubnetFolder
from search.run.cards import Quantized, SubnetCard, TunedCard
from search.run.paths import SearchFolder
from search.run.scores import Gain
from search.studio.opened import Opened, open_studio
from search.studio.session import Session
from tests.search.requests import request

GROUPS = {"precision_stem": "float32", "precision_stage_0": "int8", "precision_stage_1": "int8"}
LAYERS = (LayerPrecision(("stem.*",), False), LayerPrecision(("stages.0.*", "stages.1.*"), True))


def mixed(opened: Opened, session: Session, name: str) -> SubnetFolder:
    """Returns the folder of a subnet with the card of a search for the precision of each stage."""
    session.actions["extract"][1]({"setting": {}, "name": name}, lambda _: None)
    folder = SubnetFolder(opened.run.subnets / name)
    card = read_record(folder.card, SubnetCard)
    assert card.scores is not None
    gain = Gain(validation=Score(0.0, 64, 0.0), test=Score(0.0, 64, 0.0))
    sizes = {"bytes": 1, "float_bytes": 4, "peak_bytes": 1, "float_peak_bytes": 4}
    low = Quantized(precision="int8", scores=card.scores, gain=gain, **sizes)
    write_record(folder.card, structs.replace(card, quantized=low, settings=GROUPS, search="joint"))
    return folder


def again(folder: Path) -> Session:
    return Session(open_studio(request("studio", f"path={folder}", "calibration_images=128")))


def precisions(session: Session) -> dict[str, str | None]:
    return {layer["name"]: layer["precision"] for layer in session.state()["layers"]}


def test_a_subnet_in_fewer_bits_says_that_it_is_in_float32_here(session: Session, opened: Opened) -> None:
    (note,) = again(mixed(opened, session, "in-bits").root).opened.notes
    assert note.startswith("model.int8.onnx computes in int8 (stage_0, stage_1), with validation accuracy ")
    assert not opened.notes and {*precisions(session).values()} == {None}


@pytest.mark.parametrize("known", [False, True])
def test_layers_say_what_they_compute_in(session: Session, opened: Opened, known: bool) -> None:
    folder = mixed(opened, session, f"mixed-{known}")
    if known:
        card = read_record(folder.card, SubnetCard)
        assert card.scores is not None
        refined = SearchFolder(opened.run.search("joint")).tuned("0123456789abcdef")
        refined.root.mkdir(parents=True)
        write_record(
            refined.card,
            TunedCard(
                arch=again(folder.root).opened.arch,
                settings=GROUPS,
                digest="0123456789abcdef",
                scores=card.scores,
                bytes=1,
                density=1.0,
                seconds=1.0,
                int8_layers=LAYERS,
            ),
        )
    found = precisions(again(folder.root))
    stem = {"stem.conv.weight": "float32" if known else None}
    assert {name: bits for name, bits in found.items() if name.startswith("stem.")} == stem
    assert {bits for name, bits in found.items() if name.startswith(("stages.0.", "stages.1."))} == {
        "int8" if known else None
    }


def test_all_layers_say_it_where_all_are_in_int8(session: Session, opened: Opened) -> None:
    folder = mixed(opened, session, "all-int8")
    write_record(folder.card, structs.replace(read_record(folder.card, SubnetCard), settings={"precision": "int8"}))
    assert {*precisions(again(folder.root)).values()} == {"int8"}
