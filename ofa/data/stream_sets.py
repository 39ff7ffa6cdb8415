"""A Dataset that is streamed: rows of the Hugging Face hub or of files, more than fit in memory or on this disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ofa.data.collating import collate as usual_collate
from ofa.data.dataset import Dataset, ordered
from ofa.data.hub_streams import HubStream
from ofa.data.identity import identity_of
from ofa.data.iterable_sets import by_part
from ofa.data.map_style_sets import AS_GIVEN
from ofa.data.split import Split
from ofa.data.tables import check_there
from ofa.data.targets import outputs_for
from ofa.errors import InvalidInput, is_whole, nearest

_BUILDERS = {
    ".parquet": "parquet",
    ".tar": "webdataset",
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".txt": "text",
    ".arrow": "arrow",
}
_ENDS = 2**20  # bytes at the beginning and at the end of a file that its identity is made from, with its size


def stream(
    path: str,
    *,
    inputs: str | Sequence[str] | None = None,
    targets: str | None = None,
    transform: Callable[[Any], Any] | None = None,
    collate: Callable[[Sequence[Any]], Any] | None = None,
    train: str = "train",
    validation: str | int = "validation",
    test: str | int | None = None,
    examples: int | Mapping[str, int] | None = None,
    shuffle_buffer: int = 1000,
    subset: str | None = None,
    name: str | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] = (),
    target_names: Sequence[str] = (),
    outputs: int | None = None,
) -> Dataset:
    """Returns the Dataset of rows that are read one after the other and never held.

    The order of an epoch, shards and rows within the buffer, is a function of (seed, epoch); what `torch`,
    `numpy.random` and `random` draw in `transform` and `collate` of (seed, epoch, step). A training that was stopped
    reads the rows before its step again, without transforming them. Under torch.distributed each rank reads its own
    shards, and judges all rows of validation and test.

    Args:
        path: a parquet, JSON lines, CSV or text file, a tar file of WebDataset, a folder of them, or a name on the hub.
        inputs, targets: columns, as in `from_dataset`; text needs a `transform` or `collate` that makes numbers of it.
        transform: row -> row, such as a tokenizer or an augmentation.
        collate: rows -> a batch, see `ofa.task.as_batch`; by default `ofa.data.collating.collate`.
        train, validation, test: names of splits; validation and test may be numbers: so many of the first training
            rows. A test of None is the validation.
        examples: how many rows there are: one number of the training split, or by split. None: what the files or the
            hub say; rows of local files that do not say it are counted once.
        shuffle_buffer: rows in memory that are shuffled among; 0 leaves their order.
        subset: configuration on the hub.
        name: of the data set, in cards and reports; the path where None.
        num_classes, class_names, target_names, outputs: see `Dataset`; a column of class labels tells the first two.

    Raises:
        InvalidInput: nothing at `path`, no such split, rows that cannot be read, or a number of rows that nobody says.
    """
    if not is_whole(shuffle_buffer, 0):
        raise InvalidInput(f"shuffle_buffer={shuffle_buffer!r}: must be a whole number, at least 0")
    opened = _open(path, subset)
    known = by_part("examples", examples)
    columns = inputs if inputs is None or isinstance(inputs, str) else tuple(inputs)
    make = partial(usual_collate, inputs=columns, targets=targets) if collate is None else collate
    if transform is not None:
        make = partial(_transformed, transform=transform, collate=make)
    given: dict[str, str | int] = {"train": train, "validation": validation}
    if test is not None:
        given["test"] = test
    for part, source in given.items():
        if isinstance(source, str) and source not in opened.tables:
            hint = "" if part == "train" else f"; or give a number: so many of the first rows of {train}"
            raise InvalidInput(f"{part}={source!r}: no such split; {nearest(source, opened.tables)}{hint}")
        if not isinstance(source, str) and not is_whole(source, 1):
            raise InvalidInput(f"{part}={source!r}: must be the name of a split, or how many rows it takes of {train}")
    splits = {}
    for part, taken in _taken(given, train).items():
        rows = known.get(part) or opened.rows(taken.split, taken.first, taken.last)
        table = opened.tables[taken.split]
        table = table.skip(taken.first) if taken.first else table
        table = table if taken.last is None else table.take(taken.last - taken.first)
        buffer = shuffle_buffer if part == "train" else 0
        files = (*opened.files(taken.split), f"rows {taken.first} to {taken.last}, {rows} of them")
        whole = not taken.first and taken.last is None
        held = HubStream(table, make, rows, buffer, files, f"{part} of {name or path}", whole)
        splits[part] = Split(held, None, AS_GIVEN, origin=f"split {taken.split}")
    features = opened.tables[train].features or {}
    names = tuple(class_names) or tuple(getattr(features.get(targets), "names", None) or ())
    return Dataset(
        name or path,
        *ordered(splits),
        num_classes=num_classes or len(names) or None,
        class_names=names,
        target_names=tuple(target_names),
        outputs=outputs or outputs_for(splits["train"].first[1]),
    )


@dataclass(frozen=True)
class _Range:
    """Rows of a split, from `first` to before `last`; None: to its end."""

    split: str
    first: int = 0
    last: int | None = None


def _taken(given: Mapping[str, str | int], train: str) -> dict[str, _Range]:
    """Which rows each part takes; numbers are of the first rows of the training split, one after the other."""
    ranges: dict[str, _Range] = {}
    begun = 0
    for part in ("validation", "test"):
        wanted = given.get(part)
        if wanted is None:
            ranges[part] = ranges["validation"]
        elif isinstance(wanted, str):
            ranges[part] = _Range(wanted)
        else:
            ranges[part] = _Range(train, begun, begun + wanted)
            begun += wanted
    return ranges | {"train": _Range(train, begun)}


@dataclass(frozen=True, eq=False)
class _Opened:
    """The tables of a path by split, and what is known of their files."""

    tables: Mapping[str, Any]
    data_files: Mapping[str, Sequence[str]]
    said: Mapping[str, int]
    path: str

    def files(self, split: str) -> tuple[str, ...]:
        """A line for each file, other when its content or the hub's revision is another."""
        return tuple(_identified(str(file)) for file in self.data_files.get(split, ())) or (self.path,)

    def rows(self, split: str, first: int, last: int | None) -> int:
        """How many rows a range of a split has."""
        if last is not None:
            return last - first
        total = self.said.get(split)
        if total is None:
            local = [Path(str(file)) for file in self.data_files.get(split, ())]
            if not local or not all(file.is_file() for file in local):
                raise InvalidInput(f"{self.path} does not say how many rows {split} has; give examples=...")
            total = _counted(local, self.tables[split])
        if total <= first:
            raise InvalidInput(
                f"{self.path}: {split} has {total} rows, and {first} are taken away; give smaller numbers"
            )
        return total - first


def _open(path: str, subset: str | None) -> _Opened:
    try:
        import datasets
    except ImportError:
        raise InvalidInput("streams need the extra: pip install 'ofa-search[data]'") from None
    check_there(path)
    location = Path(path).expanduser()
    arguments: dict[str, Any] = {"path": str(location) if location.exists() else path, "name": subset}
    if location.is_file():
        if location.suffix not in _BUILDERS:
            raise InvalidInput(f"{path} is no file of {', '.join(_BUILDERS)}")
        arguments = {"path": _BUILDERS[location.suffix], "data_files": str(location)}
    try:
        builder = datasets.load_dataset_builder(**arguments)
        tables = dict(builder.as_streaming_dataset())
    except Exception as error:  # this library, its file readers and its network clients share no base class
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        where = "" if location.exists() else ", on this disk or on the hub"
        raise InvalidInput(f"cannot stream {path}{where}: {reason:.200}") from error
    data_files = builder.config.data_files or {}
    splits = builder.info.splits or {}
    said = {split: known.num_examples for split, known in splits.items() if known.num_examples}
    return _Opened(tables, {split: list(files) for split, files in data_files.items()}, said, path)


def _identified(file: str) -> str:
    """A file's name with its size and the digest of its ends; of the hub its address, which has the revision."""
    path = Path(file)
    if not path.is_file():
        return file
    size = path.stat().st_size
    with path.open("rb") as content:
        ends = content.read(_ENDS)
        content.seek(max(0, size - _ENDS))
        ends += content.read(_ENDS)
    return f"{path.name} {size} {identity_of(ends)}"


def _counted(files: Sequence[Path], table: Any) -> int:
    if all(file.suffix == ".parquet" for file in files):
        from pyarrow import parquet

        return sum(int(parquet.read_metadata(str(file)).num_rows) for file in files)
    return sum(1 for _ in table)


def _transformed(
    rows: Sequence[Any], *, transform: Callable[[Any], Any], collate: Callable[[Sequence[Any]], Any]
) -> Any:
    return collate([transform(row) for row in rows])
