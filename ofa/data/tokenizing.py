"""Tokenizers: text to token ids; of characters and bytes always, of a tokenizer.json with the library `tokenizers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ofa.errors import InvalidInput


@dataclass(frozen=True)
class Tokenizer:
    """Text to token ids.

    Attributes:
        encode: text -> ids, at least 0 and below `size`.
        size: how many tokens there are.
        words: what a token is, in a few words.
    """

    encode: Callable[[str], Sequence[int]]
    size: int
    words: str


def tokenizer_of(name: str, text: str) -> Tokenizer:
    """Returns the tokenizer "characters" (those of `text`), "bytes", or that of a tokenizer.json, or of its folder.

    Raises:
        InvalidInput: no such name or file, or the library `tokenizers` is not installed.
    """
    if name == "characters":
        position = {character: number for number, character in enumerate(sorted(set(text)))}
        return Tokenizer(lambda part: [position[each] for each in part], len(position), "characters")
    if name == "bytes":
        return Tokenizer(lambda part: list(part.encode("utf-8")), 256, "bytes of UTF-8")
    location = Path(name).expanduser()
    file = location / "tokenizer.json" if location.is_dir() else location
    if not file.is_file():
        raise InvalidInput(
            f"tokenizer={name!r} is neither characters nor bytes, nor a tokenizer.json or a folder with one"
        )
    try:
        import tokenizers
    except ImportError:
        raise InvalidInput(f"tokenizer={name!r} needs a library: pip install tokenizers") from None
    try:
        read = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare exceptions
        raise InvalidInput(f"{file} is no tokenizer: {' '.join(str(error).split()):.200}") from None
    return Tokenizer(
        lambda part: read.encode(part, add_special_tokens=False).ids,
        read.get_vocab_size(),
        f"tokens of {location.name}",
    )
