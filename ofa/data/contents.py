"""What the splits of a data set hold, sample by sample, and what changed between two times."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from ofa.data.dataset import PARTS, Dataset
from ofa.data.targets import target_identities

__all__ = ["PARTS", "Contents", "changes", "contents_of"]


_MOST_CLASSES = 2**31  # labels are below it; the identity of another target is a number of 64 bits


@dataclass(frozen=True, eq=False)
class Contents:
    """Identities of every sample and of its target, (N,) int64 each, by split and in stored order; the classes' names.

    The identity of a class label is the label. Of what a loader reads there are identities of some rows alone, which
    are looked at; `sizes` says how many examples there are.
    """

    identities: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    class_names: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)

    def size(self, part: str) -> int:
        """Returns how many examples a split has."""
        return self.sizes.get(part, len(self.identities[part]))

    def is_whole(self, part: str) -> bool:
        """Whether every example of a split is known, and not only those that were looked at."""
        return self.size(part) == len(self.identities[part])

    @property
    def digests(self) -> dict[str, str]:
        """16 hex digits of what each split holds, in its order."""
        return {part: self._digest(part) for part in PARTS}

    def _digest(self, part: str) -> str:
        total = hashlib.sha256(repr(self.class_names).encode())
        for values in (self.identities[part], self.targets[part]):
            total.update(values.cpu().numpy().astype("<i8").tobytes())
        if not self.is_whole(part):
            total.update(f"of {self.size(part)}".encode())
        return total.hexdigest()[:16]


def contents_of(data: Dataset) -> Contents:
    """Returns what a data set holds."""
    splits = {part: getattr(data, part) for part in PARTS}
    return Contents(
        {part: split.identities.cpu() for part, split in splits.items()},
        {part: target_identities(split.targets, len(split.identities)) for part, split in splits.items()},
        tuple(data.class_names),
        {part: len(split) for part, split in splits.items()},
    )


def changes(before: Contents, now: Contents) -> str:
    """Returns what is different now, in words, split by split; empty where nothing is."""
    if before.digests == now.digests:
        return ""
    said = [text for part in PARTS if (text := _changes_of(part, before, now))]
    if added := sorted(set(now.class_names) - set(before.class_names)):
        said.append(f"{len(added)} classes added ({', '.join(added[:4])})")
    if gone := sorted(set(before.class_names) - set(now.class_names)):
        said.append(f"{len(gone)} classes gone ({', '.join(gone[:4])})")
    if said:
        return "; ".join(said)
    renamed = before.class_names != now.class_names
    return "its classes are in another order" if renamed else "the same images are in another order"


def _changes_of(part: str, before: Contents, now: Contents) -> str:
    if not (before.is_whole(part) and now.is_whole(part)):
        return _changes_of_rows_looked_at(part, before, now)
    old, new = _samples(part, before), _samples(part, now)
    added, gone = new - old, old - new
    # A sample that went with one label and came with another one is the same sample, its label changed.
    came, went = Counter[int](), Counter[int]()
    for counts, total in ((added, came), (gone, went)):
        for (identity, _), count in counts.items():
            total[identity] += count
    changed = sum((came & went).values())
    kind = "label" if all(abs(int(known.targets[part].max())) < _MOST_CLASSES for known in (before, now)) else "target"
    numbers = {
        "added": sum(came.values()) - changed,
        "gone": sum(went.values()) - changed,
        f"{kind}{'s' if changed != 1 else ''} changed": changed,
    }
    words = ", ".join(f"{count} {what}" for what, count in numbers.items() if count)
    return f"{part} {words}" if words else ""


def _changes_of_rows_looked_at(part: str, before: Contents, now: Contents) -> str:
    if before.digests[part] == now.digests[part]:
        return ""
    if before.size(part) != now.size(part):
        return f"{part} {before.size(part):,} examples there, {now.size(part):,} now"
    rows = Counter(now.identities[part].tolist())
    others = sum((rows - Counter(before.identities[part].tolist())).values())
    # The last identity is that of which rows there are; what differs in it alone is another cut.
    looked_at = len(now.identities[part]) - 1
    if not looked_at:
        return f"{part} has other examples"
    return f"{part} {min(others, looked_at)} of {looked_at} rows looked at are others"


def _samples(part: str, contents: Contents) -> Counter[tuple[int, str]]:
    """The samples of a split with their labels, by name where there are names: numbers shift with a new class."""
    names = contents.class_names
    labels = contents.targets[part].tolist()
    words = [names[label] if label < len(names) else str(label) for label in labels] if names else map(str, labels)
    identities: np.ndarray[tuple[int], np.dtype[np.int64]] = contents.identities[part].numpy()
    return Counter(zip(identities.tolist(), words, strict=True))
