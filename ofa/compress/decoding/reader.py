"""Bytes and numbers that are read in turn, never past their end nor over what they can be."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Reader:
    """Bytes that are read in turn."""

    def __init__(self, content: bytes | memoryview) -> None:
        self.content, self.at = memoryview(content), 0

    def take(self, count: int) -> memoryview:
        """Returns the next bytes.

        Raises:
            ValueError: there are fewer.
        """
        if count > len(self.content) - self.at:
            raise ValueError(f"{count} bytes are to follow, {len(self.content) - self.at} do")
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self, largest: int = 2**63 - 1) -> int:
        """Returns the next varint: seven bits a byte, the lowest first.

        Raises:
            ValueError: it has more than 63 bits, or is over `largest`.
        """
        value = 0
        for shift in range(0, 63, 7):
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return at_most(value, largest)
        raise ValueError("a number has more than 63 bits")

    def end(self) -> None:
        """Checks that everything was read.

        Raises:
            ValueError: it was not.
        """
        if self.at != len(self.content):
            raise ValueError(f"{len(self.content) - self.at} bytes are left over")


def at_most(number: int, largest: int) -> int:
    """Returns the number.

    Raises:
        ValueError: it is over `largest`.
    """
    if number > largest:
        raise ValueError(f"a number of {number} is over {largest}")
    return number


def inflated(content: memoryview, largest: int) -> bytes:
    """Returns the bytes that were deflated.

    Raises:
        ValueError: they are cut off, or more than `largest`.
    """
    machine = zlib.decompressobj(-15)
    try:
        plain = machine.decompress(content, largest + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(plain) > largest or not machine.eof or machine.unused_data:
        raise ValueError("deflated bytes are cut off, or more than they can be")
    return plain
