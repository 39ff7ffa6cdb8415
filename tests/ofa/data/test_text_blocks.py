"""Text is tokenized once and packed without gaps; the target of a token is the one after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ofa.data import batches, characters, from_text, text_files
from ofa.data.checks import check_data
from ofa.data.contents import PARTS
from ofa.data.tokenizing import tokenizer_of
from ofa.errors import InvalidInput

TEXT = "".join(chr(97 + (number * number) % 23) for number in range(2000)) + "äö€"


@pytest.mark.parametrize(("tokenizer", "size", "per_token"), [("characters", 26, 2007 / 2003), ("bytes", 256, 1.0)])
def test_blocks_put_together_are_the_text(tokenizer: str, size: int, per_token: float) -> None:
    text = TEXT[:-3] + "".join(sorted(set(map(chr, range(97, 120))) - set(TEXT))) + "äö€"
    data = from_text([text], context=10, tokenizer=tokenizer)
    known = 256 if tokenizer == "bytes" else len(set(text))
    assert data.num_classes == data.num_outputs == known and (tokenizer == "characters" or known == size)
    expected = len(text.encode()) / (len(text) if tokenizer == "characters" else len(text.encode()))
    assert data.bytes_per_token == pytest.approx(expected)
    whole = torch.tensor(tokenizer_of(tokenizer, text).encode(text))
    start = 0
    for part in PARTS:
        split = getattr(data, part)
        tokens = split.images.flatten()
        assert torch.equal(split.targets.flatten()[:-1], tokens[1:])
        end = round({"train": 0.8, "validation": 0.9, "test": 1.0}[part] * len(text))
        if tokenizer == "characters":
            assert torch.equal(tokens, whole[start : start + len(tokens)]) and end - start - len(tokens) <= 10
        start = end
    for inputs, targets in batches(data.train, 4, seed=0, epoch=0):
        assert inputs.dtype == torch.int64 and torch.equal(inputs[:, 1:], targets[:, :-1])


def test_the_bundled_text_is_there_and_sound() -> None:
    data = characters(limit=50_000)
    assert data.input_shape == (64,) and 50 < data.num_outputs < 200 and 1.0 <= (data.bytes_per_token or 0) < 1.1
    assert len(data.train) == 39_999 // 64 and check_data(data) == []


def test_files_of_a_folder_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "b.txt").write_text("b" * 300)
    (tmp_path / "inner/a.md").write_text("c" * 300)
    (tmp_path / "a.txt").write_text("a" * 300)
    (tmp_path / "image.png").write_bytes(b"\xff\xfe")
    data = text_files(str(tmp_path), context=5)
    assert data.name == tmp_path.name and data.num_classes == 4
    assert data.train.images.flatten()[:5].tolist() == [1] * 5 and data.test.images.flatten().tolist()[-5:] == [3] * 5
    assert text_files(str(tmp_path / "a.txt"), context=5).name == "a"


def test_a_tokenizer_of_a_file(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    text = " ".join(str(number * 7919 % 1000) for number in range(600))
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.train_from_iterator([text], tokenizers.trainers.BpeTrainer(vocab_size=80, show_progress=False))
    made.save(str(tmp_path / "tokenizer.json"))
    data = from_text([text], context=8, tokenizer=str(tmp_path))
    assert data.num_classes == made.get_vocab_size() and (data.bytes_per_token or 0) > 1.2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"texts": ["short"]}, "train has 4 tokens, and a block needs 11"),
        ({"context": 1}, "context=1: a block has at least 2 tokens"),
        ({"validation": 0.0}, "validation=0.0"),
        ({"tokenizer": "words"}, "tokenizer='words' is neither characters nor bytes"),
    ],
)
def test_what_makes_no_blocks_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        from_text(**{"texts": [TEXT], "context": 10, **given})


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"is no text file, nor a folder with files of \.txt"):
        text_files(str(tmp_path))
    (tmp_path / "a.txt").write_bytes(b"abc\xff")
    with pytest.raises(InvalidInput, match=r"a\.txt is not UTF-8 \(byte 3\)"):
        text_files(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    pytest.importorskip("tokenizers")
    with pytest.raises(InvalidInput, match="is no tokenizer"):
        from_text([TEXT], tokenizer=str(tmp_path))
