"""The types of a request's keys, constraints that msgspec holds, and the rule of each in words, read from its type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, inspect

from ofa.errors import InvalidInput, nearest

MOST = 10**9  # the default bound of a count
LARGEST = 1.7e308  # of a number; excludes infinity and NaN
TARGET_RULE = "a mapping with _target_, or one of the group's options"

Count = Annotated[int, Meta(ge=1, le=MOST)]
FromZero = Annotated[int, Meta(ge=0, le=MOST)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Processes = Annotated[int, Meta(ge=1, le=1024)]
FEWEST_VISITS = 4  # of a network that is timed: two odd and two even ones are compared
FEWEST_ANCHORS = 6  # that a latency model is fitted to
Visits = Annotated[int, Meta(ge=FEWEST_VISITS, le=MOST)]
Anchors = Annotated[int, Meta(ge=FEWEST_ANCHORS, le=MOST)]
Port = Annotated[int, Meta(ge=0, le=65535)]

# Training examples that norm statistics are measured on: so many, or as the supernet's card says.
AUTO: Literal["auto"] = "auto"
CalibrationExamples = Count | Literal["auto"]

Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[float, Meta(gt=0, le=LARGEST)]
NotNegative = Annotated[float, Meta(ge=0, le=LARGEST)]
Share = Annotated[float, Meta(ge=0, le=1)]
ShareAboveZero = Annotated[float, Meta(gt=0, le=1)]
ShareBelowOne = Annotated[float, Meta(ge=0, lt=1)]
Between = Annotated[float, Meta(gt=0, lt=1)]

Text = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(min_length=1, title="a name")]  # of a file or folder; a number is also accepted
Target = Annotated[dict[str, Any], Meta(title=TARGET_RULE, extra={"target": True})]  # from which Hydra makes an object
SINGULAR: Mapping[type[inspect.Type], str] = {
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.StrType: "text",
    inspect.DictType: "a mapping",
    inspect.AnyType: "anything",
}
PLURAL = {
    "a whole number": "whole numbers",
    "a number": "numbers",
    "text": "texts",
    "a name": "names",
    "a mapping": "mappings",
}
UNSAID = (MOST, LARGEST, -LARGEST)  # bounds that no user needs to know
_LISTS = (inspect.ListType, inspect.VarTupleType)
# The keys are also the extras that install them: ofa-search[...]
DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
USER, PASSWORD = "OFA_STORAGE_USER", "OFA_STORAGE_PASSWORD"


def check_plain_name(key: str, name: str, example: str) -> str:
    """Returns a valid name of a folder or file.

    Raises:
        InvalidInput: it is a path.
    """
    if name in ("", ".", "..") or "/" in name or "\x00" in name:
        raise InvalidInput(f"{key}={name!r} must be a plain name, such as {example}")
    return name


def rule_text(kind: inspect.Type) -> str:
    """Returns the rule of a value in words, such as "a number, more than 0 and at most 1, or null"."""
    kind, meta = _bare(kind)
    description = f" ({meta['description']})" if "description" in meta else ""
    if "title" in meta:
        return f"{meta['title']}{description}"
    if isinstance(kind, inspect.UnionType):
        named = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        # A single value comes before a list of them, and null last.
        text = " or ".join(map(rule_text, sorted(named, key=lambda member: isinstance(_bare(member)[0], _LISTS))))
        if len(named) == len(kind.types):
            return text
        rule, bracket, description = text.partition(" (")
        return f"{rule}, or null{bracket}{description}"
    if isinstance(kind, inspect.StructType):
        return f"a mapping, with {kind.fields[0].encode_name} and so on"
    if isinstance(kind, inspect.LiteralType):
        return f"one of {', '.join(map(str, kind.values))}"
    if isinstance(kind, _LISTS):
        item, bounds = _bare(kind.item_type)[0], _range_text(_bare(kind.item_type)[0])
        word = SINGULAR.get(type(item), "value")
        return f"a list of {PLURAL.get(word, word)}{f', each {bounds}' if bounds else ''}{description}"
    bounds = _range_text(kind)
    return f"{SINGULAR.get(type(kind), 'another value')}{f', {bounds}' if bounds else ''}{description}"


def refusal(key: str, value: Any, kind: inspect.Type) -> str:
    """Returns the message about an invalid value of a key."""
    bare, _ = _bare(kind)
    choices = _choices(bare)
    if choices and isinstance(value, str):
        return f"{key}={short(value)}: {nearest(value, choices)}"
    whole = f" (write {int(value)})" if is_whole_float(value) and _takes_whole(bare) else ""
    return f"{key}={short(value)} must be {rule_text(kind)}{whole}"


def type_at(kind: inspect.Type, path: Sequence[str]) -> inspect.Type:
    """Returns the type of the value at a path of keys into a struct, or of the innermost part that has a type."""
    for name in path:
        if group := struct_of_values(kind):
            kind = group
            continue
        struct = _struct_in(kind)
        field = next((field for field in struct.fields if field.encode_name == name), None) if struct else None
        if field is None:
            break
        kind = field.type
    return kind


def struct_of_values(kind: inspect.Type) -> inspect.StructType | None:
    """Returns the struct that the values of a mapping with free keys are; None for any other type."""
    mappings = [member for member in _members(_bare(kind)[0]) if isinstance(member, inspect.DictType)]
    return _struct_in(mappings[0].value_type) if mappings else None


def keys_of(kind: inspect.Type) -> list[str]:
    """Returns the names of the keys of a struct, or of the struct in a union; none of any other type."""
    struct = _struct_in(kind)
    return [field.encode_name for field in struct.fields] if struct else []


def is_target(kind: inspect.Type) -> bool:
    """Returns whether Hydra makes an object from a value of this type."""
    if isinstance(kind, inspect.UnionType):
        return any(map(is_target, kind.types))
    return isinstance(kind, inspect.Metadata) and bool((kind.extra or {}).get("target"))


def is_name(kind: inspect.Type) -> bool:
    """Returns whether a value of this type is a name, which may also be written as a number."""
    if isinstance(kind, inspect.UnionType):
        return any(map(is_name, kind.types))
    return _bare(kind)[1].get("title") == "a name"


def is_whole_float(value: Any) -> bool:
    """Returns whether a value is a whole number that was written as a float, such as 1e6."""
    return isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) <= MOST


def short(value: Any) -> str:
    """Returns a value as text for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _bare(kind: inspect.Type) -> tuple[inspect.Type, Mapping[str, Any]]:
    """A type without its metadata, and the metadata."""
    meta: dict[str, Any] = {}
    while isinstance(kind, inspect.Metadata):
        meta = {**meta, **(kind.extra_json_schema or {})}
        kind = kind.type
    return kind, meta


def _struct_in(kind: inspect.Type) -> inspect.StructType | None:
    kind = _bare(kind)[0]
    return next((member for member in _members(kind) if isinstance(member, inspect.StructType)), None)


def _members(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    """The types of a union; of any other type, itself."""
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _choices(kind: inspect.Type) -> tuple[str, ...]:
    return tuple(
        str(value) for member in _members(kind) if isinstance(member, inspect.LiteralType) for value in member.values
    )


def _takes_whole(kind: inspect.Type) -> bool:
    return any(isinstance(_bare(member)[0], inspect.IntType) for member in _members(kind))


def _range_text(kind: inspect.Type) -> str:
    """The bounds of a number in words."""
    if not isinstance(kind, inspect.IntType | inspect.FloatType):
        return ""
    ends = {"at least": kind.ge, "more than": kind.gt, "at most": kind.le, "less than": kind.lt}
    huge = isinstance(kind, inspect.IntType) and kind.le == 2**63 - 1
    bounds = {word: end for word, end in ends.items() if end is not None and end not in UNSAID}
    return " and ".join(f"{word} {end:g}" for word, end in bounds.items() if not (huge and word == "at most"))


def check_address(address: str) -> str:
    """Returns the address of a database for a study.

    Raises:
        InvalidInput: it is not an address, holds a password, or is of a database that is slow with many writers.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except ArgumentError:
        raise InvalidInput(
            "storage is not an address; it must be null or like postgresql://db.host/ofa"  # the value could be a secret
        ) from None
    if url.password is not None or any("pass" in key.lower() for key in url.query):
        raise InvalidInput(
            "storage holds a password, and configurations are written to disk and shown: "
            f"leave it out and set {PASSWORD} (and {USER}) in the environment"
        )
    if url.drivername.startswith("sqlite"):
        raise InvalidInput(
            f"storage={address} is SQLite, where every suggestion waits for the one writer that it has: "
            "leave storage out for the journal file, which is quicker, or use postgresql:// for several machines"
        )
    if url.drivername not in DRIVERS:
        raise InvalidInput(f"storage={address}: {url.drivername!r} is not known; {nearest(url.drivername, DRIVERS)}")
    if not url.database:
        raise InvalidInput(f"storage={address} names no database; it must be like {url.drivername}://db.host/ofa")
    return address
