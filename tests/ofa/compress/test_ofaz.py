"""Tensors come out of a file bit by bit as they went in; damaged files are refused."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.mutated.coded_mutators import CODED
from benchmarks.mutated.honest_run import write_coded
from benchmarks.mutated.mutation import Source
from ofa.compress import coded_sizes, decoder_source, load, ofaz, save
from ofa.errors import InvalidInput


def bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def assert_same(read: dict[str, Tensor], written: dict[str, Tensor]) -> None:
    assert list(read) == list(written)
    for name, tensor in written.items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(bits(read[name]), bits(tensor)), name


def numbers(kind: torch.dtype, count: int, seed: int) -> Tensor:
    """Returns any bits as numbers of a type."""
    generator = torch.Generator().manual_seed(seed)
    if kind == torch.bool:
        return torch.rand(count, generator=generator) < 0.5
    size = torch.empty(0, dtype=kind).element_size()
    return torch.randint(0, 256, (count * size,), generator=generator, dtype=torch.uint8).view(kind)


@st.composite
def tensor(draw: st.DrawFn) -> Tensor:
    """Draws a tensor of any type and shape: any bits, few different numbers, many zeros, or all of it."""
    kind = draw(st.sampled_from(sorted(ofaz.KINDS, key=str)))
    shape = draw(st.lists(st.integers(0, 12), max_size=4).map(tuple))
    count, seed = int(np.prod(shape)), draw(st.integers(0, 999))
    generator = torch.Generator().manual_seed(seed)
    levels = numbers(kind, draw(st.sampled_from([1, 2, 5, 300, max(1, count)])), seed)
    chosen = levels[torch.randint(0, len(levels), (count,), generator=generator)]
    zeros = torch.rand(count, generator=generator) < draw(st.sampled_from([0, 0.5, 0.97]))
    return torch.where(zeros, torch.zeros_like(chosen), chosen).reshape(shape) if count else chosen.reshape(shape)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text(max_size=9), tensor(), max_size=7))
def test_any_tensors_come_back_bit_by_bit(tensors: dict[str, Tensor]) -> None:
    content, sizes = ofaz.encoded(tensors, {"a": [1, None, "ü"]})
    decoded, card = ofaz.decode(content)
    assert_same({name: ofaz.as_tensor(each) for name, each in decoded.items()}, tensors)
    assert card == {"a": [1, None, "ü"]} and sizes.total == len(content)


def test_a_file_takes_what_is_said_and_replaces_another(tmp_path: Path) -> None:
    path, tensors = tmp_path / "a.ofaz", {"w": torch.randn(30, 20), "b": torch.zeros(30)}
    for _ in range(2):
        sizes = save(path, tensors, {"arch": {"width": 3}})
        assert path.stat().st_size == sizes.total
    read, card = load(path)
    assert_same(read, tensors)
    assert card == {"arch": {"width": 3}}
    assert coded_sizes(tensors).tensors == sizes.tensors


def test_every_cut_and_every_flipped_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ofaz"
    save(path, {"w": shared(9, 12, levels=3, density=0.2), "b": torch.randn(5)}, {})
    content = path.read_bytes()
    damaged = [content[:size] for size in range(len(content))] + [content + b"\0"]
    for place in range(len(content)):
        damaged.append(content[:place] + bytes((content[place] ^ 16,)) + content[place + 1 :])
    for each in damaged:
        path.write_bytes(each)
        with pytest.raises(InvalidInput, match=r"a\.ofaz cannot be read"):
            load(path)


def test_cards_that_deflate_very_much_come_back(tmp_path: Path) -> None:
    save(tmp_path / "a.ofaz", {"w": torch.zeros(2)}, {"a": [0] * 100_000})
    assert load(tmp_path / "a.ofaz")[1] == {"a": [0] * 100_000}


def test_what_a_hostile_writer_seals_is_refused_or_whole() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_coded(Path(folder))
        content, other = ((Path(folder) / name).read_bytes() for name in ("a.ofaz", "b.ofaz"))
    refused = 0
    for number in range(120):
        rng = random.Random(number)
        mutation = rng.choice(CODED)(Source("a.ofaz", content, other), rng)
        assert mutation is not None
        try:
            tensors, _ = ofaz.decode(mutation.content)
        except ValueError:
            refused += 1
        else:
            assert all(each.patterns.nbytes <= 8000 for each in tensors.values())
    assert refused > 60


def test_what_cannot_be_saved_or_loaded_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ofaz"
    with pytest.raises(InvalidInput, match="does not exist"):
        load(path)
    with pytest.raises(InvalidInput, match="is no file"):
        load(tmp_path)
    with pytest.raises(InvalidInput, match="sparse"):
        save(path, {"w": torch.eye(3).to_sparse()}, {})
    with pytest.raises(InvalidInput, match="not JSON"):
        save(path, {}, {"a": torch.eye(2)})
    save(path, {"w": torch.zeros(1000)}, {})
    with pytest.raises(InvalidInput, match="4,000 bytes, over the limit of 3,999"):
        load(path, largest=3999)


def shared(*shape: int, levels: int, density: float) -> Tensor:
    """Returns a pruned tensor whose numbers are few different ones; some rows and columns are fuller than others."""
    generator = torch.Generator().manual_seed(levels)
    kept = torch.rand(shape, generator=generator) < density * 2 * torch.rand(shape[-1], generator=generator)
    table = torch.randn(levels, generator=generator)
    return torch.where(kept, table[torch.randint(0, levels, shape, generator=generator)], torch.zeros(()))


def test_matrices_of_few_levels_take_few_bytes() -> None:
    tensors = {"w": shared(40, 90, levels=16, density=0.1), "c": shared(32, 16, 3, 3, levels=5, density=0.2)}
    content, sizes = ofaz.encoded(tensors, {})
    assert [each.how for each in sizes.tensors.values()] == ["matrix, 16 levels", "matrix, 5 levels"]
    decoded, _ = ofaz.decode(content)
    assert_same({name: ofaz.as_tensor(each) for name, each in decoded.items()}, tensors)
    for name, sizes_of in sizes.tensors.items():
        kept = float((tensors[name] != 0).float().mean())
        independent = -(kept * np.log2(kept) + (1 - kept) * np.log2(1 - kept)) * tensors[name].numel() / 8
        assert sizes_of.positions < independent


def test_coding_of_the_paper_takes_more_bytes_and_gives_the_same_bits() -> None:
    tensors = {"w": shared(60, 90, levels=16, density=0.1)}
    content, sizes = ofaz.encoded(tensors, {}, "huffman")
    assert sizes.tensors["w"].how == "sparse, levels"
    assert_same({name: ofaz.as_tensor(each) for name, each in ofaz.decode(content)[0].items()}, tensors)
    assert len(content) > coded_sizes(tensors).total
    with pytest.raises(InvalidInput, match="coding='hufman' is unknown"):
        coded_sizes(tensors, coding="hufman")  # type: ignore[arg-type]


@pytest.mark.parametrize("library", [True, False])
def test_the_decoder_needs_neither_torch_nor_this_package(tmp_path: Path, library: bool) -> None:
    tensors = {"w": shared(20, 30, levels=8, density=0.1), "b": torch.randn(3), "m": torch.rand(9, 40) < 0.1}
    save(tmp_path / "a.ofaz", tensors, {"x": 1})
    np.savez(tmp_path / "a.npz", **{name: each.numpy() for name, each in tensors.items()})
    (tmp_path / "decoder.py").write_text(decoder_source())
    program = (
        "import sys; sys.modules.update(torch=None, ofa=None, scipy=None)\n"
        f"sys.modules.update({'{}' if library else 'constriction=None'})\n"
        "import decoder, json, numpy\n"
        "arrays, card = decoder.read('a.ofaz'); honest = numpy.load('a.npz')\n"
        "assert [*arrays] == [*honest]\n"
        "assert all(arrays[name].tobytes() == honest[name].tobytes() for name in arrays)\n"
        "print(json.dumps(card))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"x": 1}
