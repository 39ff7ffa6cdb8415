"""A start is copied into the run with its digest: it resumes from the copy, and another file is another start."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from ofa.checkpoint import load_checkpoint
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.randomize import randomize_
from ofa.start import StartRecord
from search.run.paths import START
from search.run.stages import Stage, written
from search.training.starts import Beginning, copy_of, load_start, start_inputs


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


def saved(path: Path, seed: int = 0) -> nn.Sequential:
    net = randomize_(network(), seed)
    torch.save(net.state_dict(), path)
    return net


def start_of(path: Path, *ignore: str) -> dict[str, object]:
    return {"_target_": "ofa.start.checkpoint", "_partial_": True, "path": str(path), "ignore": list(ignore)}


def test_the_copy_replaces_the_file(tmp_path: Path) -> None:
    file, copy = tmp_path / "w.pt", tmp_path / START
    net, given = network(), saved(file)
    beginning = Beginning(start_of(file), copy)
    beginning(net)
    beginning.keep(net, copy)
    file.unlink()
    again = network()
    second = Beginning(start_of(file), copy)
    second(again)
    assert same(again, given) and second.record == beginning.record
    assert second.record is not None and second.record.digest == start_inputs_of(tmp_path, given)


def start_inputs_of(folder: Path, net: nn.Module) -> str:
    torch.save(net.state_dict(), folder / "again.pt")
    return start_inputs(start_of(folder / "again.pt"), [])["start"]


def test_a_new_head_is_drawn_by_the_seed_and_not_copied(tmp_path: Path) -> None:
    saved(tmp_path / "w.pt")
    net, other = network(), network()
    beginning = Beginning(start_of(tmp_path / "w.pt", "2"), None)
    beginning(net)
    beginning.keep(net, tmp_path / START)
    head = other[2].weight.clone()
    assert load_start(other, tmp_path / START).missing == ("2.weight", "2.bias")
    assert torch.equal(other[2].weight, head) and torch.equal(other[0].weight, net[0].weight)


def test_fresh_is_nothing(tmp_path: Path) -> None:
    net = network()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for start in (None, {}):
        beginning = Beginning(start, tmp_path / START)
        beginning(net)
        beginning.keep(net, tmp_path / START)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())
    assert not (tmp_path / START).exists() and start_inputs({}, []) == {}


def test_the_digest_is_of_contents(tmp_path: Path) -> None:
    saved(tmp_path / "a.pt")
    saved(tmp_path / "b.pt")
    saved(tmp_path / "c.pt", 1)
    digests = [start_inputs(start_of(tmp_path / f"{name}.pt"), [])["start"] for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_a_file_that_is_gone_is_known_from_what_was_made_of_it(tmp_path: Path) -> None:
    file, output = tmp_path / "w.pt", tmp_path / "out"
    net = saved(file)
    start = start_of(file)
    inputs = start_inputs(start, [output])
    stage = Stage("train", output, {"start": start}, inputs)
    assert copy_of(stage, start, force=False) is None
    with written(stage) as target:
        Beginning(None, None).keep(net, target / START)
        beginning = Beginning(start, None)
        beginning(net)
        beginning.keep(net, target / START)
    assert copy_of(stage, start, force=True) is None  # the file itself is there
    file.unlink()
    assert start_inputs(start, [tmp_path / "none", output]) == inputs
    assert copy_of(stage, start, force=True) == output / START
    assert start_inputs({**start, "ignore": ["2"]}, [output]) == inputs
    assert copy_of(stage, {**start, "ignore": ["2"]}, force=True) is None
    with pytest.raises(InvalidInput, match=r"v\.pt does not exist"):
        start_inputs({**start, "path": str(tmp_path / "v.pt")}, [output])


def test_an_interrupted_stage_goes_on_from_its_copy(tmp_path: Path) -> None:
    file, output = tmp_path / "w.pt", tmp_path / "out"
    saved(file)
    start = start_of(file)
    stage = Stage("train", output, {"start": start}, start_inputs(start, []))
    with pytest.raises(KeyboardInterrupt), written(stage, force=True) as target:
        beginning = Beginning(start, None)
        net = network()
        beginning(net)
        beginning.keep(net, target / START)
        raise KeyboardInterrupt
    assert copy_of(stage, start, force=True) == tmp_path / "out.new" / START
    assert copy_of(stage, start, force=False) is None


def test_an_error_before_the_first_step_leaves_nothing(tmp_path: Path) -> None:
    saved(tmp_path / "w.pt")
    start = start_of(tmp_path / "w.pt")
    with pytest.raises(InvalidInput), written(Stage("train", tmp_path / "out", {})) as target:
        beginning = Beginning(start, None)
        net = network()
        beginning(net)
        beginning.keep(net, target / START)
        raise InvalidInput("labels")
    assert not (tmp_path / "out").exists()


def ones(net: nn.Module, path: str) -> None:
    """A start of a user's own, which returns nothing."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1)


def test_a_function_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = ModuleType("starts_of_users")
    users.ones = ones  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "starts_of_users", users)
    file = tmp_path / "any.npz"
    file.write_bytes(b"bytes")
    start = {"_target_": "starts_of_users.ones", "_partial_": True, "path": str(file)}
    first = start_inputs(start, [])
    file.write_bytes(b"other")
    assert start_inputs(start, []) != first
    net, beginning = network(), Beginning(start, None)
    beginning(net)
    assert beginning.record == StartRecord("starts_of_users.ones", digest_of(net), len(net.state_dict()))
    beginning.keep(net, tmp_path / START)
    again = network()
    load_start(again, tmp_path / START)
    assert same(again, net) and bool((again[0].weight == 1).all())


def test_a_damaged_copy_is_named(tmp_path: Path) -> None:
    net = saved(tmp_path / "w.pt")
    beginning = Beginning(start_of(tmp_path / "w.pt"), None)
    beginning(net)
    beginning.keep(net, tmp_path / START)
    assert load_checkpoint(tmp_path / START)[1]["start"]["source"] == str(tmp_path / "w.pt")
    (tmp_path / START).write_bytes((tmp_path / START).read_bytes()[:-8])
    with pytest.raises(InvalidInput, match=r"start\.safetensors is truncated"):
        load_start(network(), tmp_path / START)
