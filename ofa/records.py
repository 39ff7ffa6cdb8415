"""Records: JSON files with a kind, a version and a checksum of their content, validated when they are read.

Each such file is a JSON object whose first keys are "kind", "version" and "checksum". What is in it has a type, a
`Record` of `Part`s: its ranges are checked when it is written and when it is read. So a file that is damaged, edited,
of another kind or of a newer version ends in one line, and nothing that is read has to be looked at again.

A field may be of a class of its own that has `to_dict` and `from_dict`, as an Arch has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import Meta

from ofa.errors import InvalidInput
from ofa.paths import write_atomic

LARGEST_FILE = 64 * 2**20  # bytes
DEEPEST = 64  # objects and lists inside each other
HEAD = ("kind", "version", "checksum")

# No number of a file is NaN or infinite: `parse_json` refuses them.
Fraction = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
AtLeastOne = Annotated[int, Meta(ge=1)]
Text = Annotated[str, Meta(max_length=10_000)]
Name = Annotated[str, Meta(min_length=1, max_length=1_000)]
FileName = Annotated[str, Meta(pattern=r"^[^/\x00]+$", max_length=250)]  # no path out of the folder it is looked for in
Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]+$", max_length=64)]
Object = dict[str, Any]  # what nothing is known of but that it is an object


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """An object inside a record. Keys that have no field are ignored."""


class Record(Part, frozen=True, kw_only=True):
    """The content of one kind of file."""

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1
    REMEDY: ClassVar[str] = "restore it, or redo what wrote it with force=true"


R = TypeVar("R", bound=Record)


def write_record(path: Path, record: Record) -> None:
    """Writes a record as indented JSON, atomically.

    Raises:
        ValueError: a number that is not finite.
        InvalidInput: a value that is out of its range.
    """
    write_content(path, type(record), content_of(record))


def content_of(part: Part) -> dict[str, Any]:
    """Returns a record or a part of one as dictionaries, lists and tuples."""
    content: dict[str, Any] = msgspec.to_builtins(part, enc_hook=_encode)
    return content


def read_record(path: Path, kind: type[R]) -> R:
    """Returns the record that a file holds.

    Raises:
        InvalidInput: naming the file: missing, too large, damaged, edited, of another kind or of a newer version.
    """
    return _convert(path, kind, read_content(path, kind))


def write_content(path: Path, kind: type[Record], content: Mapping[str, Any]) -> None:
    """Writes content that a `kind` describes as indented JSON, atomically.

    Raises:
        ValueError: a number that is not finite.
        TypeError: a value that JSON has not.
        InvalidInput: content that is not of that kind.
    """
    plain = json.loads(json.dumps(dict(content), allow_nan=False))
    convert(plain, kind, f"{path} cannot be written as a {kind.KIND}")
    head = {"kind": kind.KIND, "version": kind.VERSION}
    text = json.dumps({**head, "checksum": checksum_of({**head, **plain}), **plain}, indent=2)
    write_atomic(path, (text + "\n").encode())


def read_content(path: Path, kind: type[Record]) -> dict[str, Any]:
    """Returns what a file holds as dictionaries and lists, looked at as `read_record` does.

    Raises:
        InvalidInput: as `read_record`.
    """
    value = parse_json(read_limited(path), path, kind.REMEDY)
    if not isinstance(value, dict) or not all(key in value for key in HEAD):
        raise InvalidInput(
            f"{path} has no kind, version and checksum: it is of an older version, or was not written by ofa; "
            f"{kind.REMEDY}"
        )
    if value["kind"] != kind.KIND:
        raise InvalidInput(f"{path} is of kind {value['kind']!r:.60}, and a {kind.KIND!r} is wanted; {kind.REMEDY}")
    version = value["version"]
    if isinstance(version, int) and version > kind.VERSION:
        raise InvalidInput(
            f"{path} has version {version!r:.20} of a {kind.KIND}, newer than {kind.VERSION}, which this program "
            f"reads: update ofa-search"
        )
    if type(version) is not int or version != kind.VERSION:
        raise InvalidInput(f"{path} has version {version!r:.20} of a {kind.KIND}, not {kind.VERSION}; {kind.REMEDY}")
    if value["checksum"] != checksum_of({key: item for key, item in value.items() if key != "checksum"}):
        raise InvalidInput(f"{path} was edited after it was written (its checksum differs); {kind.REMEDY}")
    content = {key: item for key, item in value.items() if key not in HEAD}
    _convert(path, kind, content)
    return content


def checksum_of(content: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of content of JSON, independent of its layout in a file.

    The order of keys is content: the first device of a search is the one that others are compared with.
    """
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def read_limited(path: Path, most: int = LARGEST_FILE) -> bytes:
    """Returns the bytes of a file.

    Raises:
        InvalidInput: it is missing, no file, too large or cannot be read.
    """
    try:
        if not path.is_file():  # reading a pipe would block
            raise InvalidInput(f"{path} {'is not a file' if path.exists() else 'does not exist'}")
        size = path.stat().st_size
        if size > most:
            raise InvalidInput(f"{path} has {size / 2**20:,.0f} MB, and {most >> 20} are the most that is read")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from None


def parse_json(data: bytes | str, source: Path | str, remedy: str = Record.REMEDY, *, finite: bool = True) -> Any:
    """Returns what JSON says, whose nesting is bounded and, where asked for, whose numbers are finite.

    Raises:
        InvalidInput: naming `source`: it is damaged, has a key twice, or is nested deeper than `DEEPEST`.
    """
    numbers: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite} if finite else {}
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_object, **numbers)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair could not be printed
    except RecursionError:
        raise InvalidInput(f"{source} is damaged (nested deeper than {DEEPEST} levels); {remedy}") from None
    except ValueError as error:
        raise InvalidInput(f"{source} is damaged ({str(error)[:200]}); {remedy}") from None
    if depth_of(value) > DEEPEST:
        raise InvalidInput(f"{source} is damaged (nested deeper than {DEEPEST} levels); {remedy}")
    return value


def depth_of(value: Any) -> int:
    """Returns how many objects and lists are inside each other, found without recursion."""
    depth, level = 0, [value]
    while level := [container for container in level if isinstance(container, dict | list)]:
        depth += 1
        contents = (container.values() if isinstance(container, dict) else container for container in level)
        level = [item for items in contents for item in items]
    return depth


def convert(value: Any, kind: type[Any], name: str) -> Any:
    """Returns a value of JSON as a type, `name` saying in errors what it is.

    Raises:
        InvalidInput: it is not of that type, with the path of the key.
    """
    try:
        return msgspec.convert(value, kind, dec_hook=_decode)
    except (msgspec.ValidationError, OverflowError, RecursionError) as error:
        reason = str(error).replace(" - at `$.", " at `").replace("`$.", "`")
        raise InvalidInput(f"{name}: {reason[:1].lower()}{reason[1:300]}") from None


def _convert(path: Path, kind: type[R], content: Mapping[str, Any]) -> R:
    try:
        record: R = convert(content, kind, str(path))
    except InvalidInput as error:
        raise InvalidInput(f"{error}: it is not a usable {kind.KIND}; {kind.REMEDY}") from None
    return record


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. A key that is there twice, of which Python keeps the last, is a sign of damage."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r:.60} is there twice")
    return value


def _encode(value: Any) -> Any:
    """A value of a field's own class, a read-only mapping, or a text or number of another class, as JSON has it."""
    if isinstance(value, Mapping):
        return dict(value)
    for plain in (str, int, float):  # torch.__version__ is a subclass of str, a number of NumPy one of float
        if isinstance(value, plain):
            return plain(value)
    if not hasattr(value, "to_dict"):
        raise TypeError(f"{value!r:.60} ({type(value).__name__}) is not a JSON value")
    return value.to_dict()


def _decode(kind: Any, value: Any) -> Any:
    return kind.from_dict(value)


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text:.20} is too large a number")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")
