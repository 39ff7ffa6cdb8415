"""What a file takes, by tensor and by what the bytes are for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorSizes:
    """Bytes of one tensor in a file.

    Attributes:
        dense: of the tensor itself.
        positions: where the numbers are that are not zero.
        values: what they are.
        tables: of the values that occur.
        rest: its name, type, shape and checksum, and how it is coded.
        how: its coding, such as "sparse, levels".
    """

    dense: int
    positions: int
    values: int
    tables: int
    rest: int
    how: str

    @property
    def total(self) -> int:
        """Bytes of all of it."""
        return self.positions + self.values + self.tables + self.rest


@dataclass(frozen=True)
class FileSizes:
    """Bytes of a file: of each tensor by name, of the card, and of the header with the digest."""

    tensors: dict[str, TensorSizes]
    card: int
    header: int

    @property
    def total(self) -> int:
        """Bytes of the file on the disk."""
        return self.card + self.header + sum(sizes.total for sizes in self.tensors.values())
