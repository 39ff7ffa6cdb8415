"""Text as blocks of token ids: read and tokenized once, packed without gaps, each token's target the one after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ofa.data.dataset import PARTS, Dataset, Split, ordered
from ofa.data.preprocessing import Preprocessing
from ofa.data.splitting import check_fractions
from ofa.data.tokenizing import Tokenizer, tokenizer_of
from ofa.errors import InvalidInput, is_whole

_SUFFIXES = (".txt", ".md", ".rst", ".py")


def characters(
    *,
    context: int = 64,
    limit: int | None = None,
    validation: float = 0.1,
    test: float = 0.1,
    tokenizer: str = "characters",
) -> Dataset:
    """Returns blocks of the text of Python's language reference, 0.5 MB, which ships with Python: nothing to download.

    Its wording is that of the Python in use: another one may have another text.

    Args:
        context: tokens of a block.
        limit: characters that are used, from the start; None: all.
        validation: the fraction of the text before the test's.
        test: the fraction of the text at its end.
        tokenizer: see `from_text`.

    Raises:
        InvalidInput: a Python without it, a context that is too long, or fractions that do not fit.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InvalidInput("this Python comes without its language reference; give files of your own to text") from None
    text = "\n\n".join(topics[name] for name in sorted(topics))[:limit]
    return from_text([text], context=context, validation=validation, test=test, tokenizer=tokenizer, name="characters")


def text_files(
    path: str,
    *,
    context: int = 128,
    tokenizer: str = "characters",
    validation: float = 0.1,
    test: float = 0.1,
    name: str | None = None,
) -> Dataset:
    """Returns blocks of the text of a file, or of the files of a folder in the order of their names.

    Args:
        path: a file in UTF-8; or a folder: of its .txt, .md, .rst and .py files, at any depth.
        context: and all others: see `from_text`.
        tokenizer: see `from_text`.
        validation: see `from_text`.
        test: see `from_text`.
        name: of the data set; the file's where None.

    Raises:
        InvalidInput: nothing at `path`, a file that is not UTF-8, or what `from_text` refuses.
    """
    location = Path(path).expanduser()
    files = [location]
    if location.is_dir():
        files = sorted(file for file in location.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    if not files or not files[0].is_file():
        raise InvalidInput(f"{path} is no text file, nor a folder with files of {', '.join(_SUFFIXES)}")
    texts = []
    for file in files:
        try:
            texts.append(file.read_bytes().decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{file} is not UTF-8 (byte {error.start}); convert it, or leave it out") from None
    return from_text(
        texts, context=context, tokenizer=tokenizer, validation=validation, test=test, name=name or location.stem
    )


def from_text(
    texts: Sequence[str],
    *,
    context: int = 128,
    tokenizer: str | Tokenizer = "characters",
    validation: float = 0.1,
    test: float = 0.1,
    name: str = "text",
) -> Dataset:
    """Returns blocks of token ids (N, context) int64, and as targets the token after each of them, (N, context).

    Texts follow each other with an empty line between; the training split is their beginning, the test split their end.
    What is left over at the end of a split is not used.

    Args:
        texts: at least one.
        context: tokens of a block.
        tokenizer: "characters" that occur; "bytes" of UTF-8, 256 of them; the path of a `tokenizer.json` or its folder
            (the library `tokenizers`); or one of your own.
        validation: the fraction of the text before the test's.
        test: the fraction of the text at its end.
        name: of the data set, in cards and reports.

    Raises:
        InvalidInput: a text too short for a block in each split, a tokenizer that cannot be read, or fractions that do
            not fit.
    """
    fractions = {"validation": validation, "test": test}
    check_fractions(fractions)
    if not is_whole(context, 2):
        raise InvalidInput(f"context={context!r}: a block has at least 2 tokens")
    text = "\n\n".join(texts)
    ends = [round((1 - validation - test) * len(text)), round((1 - test) * len(text)), len(text)]
    made = tokenizer_of(tokenizer, text) if isinstance(tokenizer, str) else tokenizer
    preprocessing = Preprocessing(1.0, (), (), stored=f"token ids below {made.size}: {made.words}")
    splits, start, tokens = {}, 0, 0
    for part, end in zip(PARTS, ends, strict=True):
        ids = torch.tensor(made.encode(text[start:end]), dtype=torch.int64)
        blocks = (len(ids) - 1) // context
        if blocks < 1:
            raise InvalidInput(
                f"{name}: {part} has {len(ids)} tokens, and a block needs {context + 1}: "
                "give more text, or a smaller context"
            )
        inputs, targets = ids[: blocks * context].view(-1, context), ids[1 : blocks * context + 1].view(-1, context)
        share = "" if part == "train" else f"{100 * fractions[part]:g} % of "
        splits[part] = Split(inputs, targets, preprocessing, origin=f"{share}{len(text):,} characters")
        start, tokens = end, tokens + len(ids)
    per_token = len(text.encode()) / tokens
    return Dataset(name, *ordered(splits), num_classes=made.size, bytes_per_token=per_token)
