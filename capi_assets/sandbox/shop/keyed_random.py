"""Dice that can be thrown again: every number follows from a seed, a name and integer keys alone.

NumPy's generators must be run from their start to reach the millionth draw; these are a hash
(SplitMix64) of the keys, so that any row of any hour can be made by itself, by whole columns.
Nothing here knows what the numbers are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

URL_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
HEX = b"0123456789abcdef"

_STEP = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: Words) -> Words:
    """SplitMix64's finaliser: every input bit reaches every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class KeyedRandom:
    """Columns of random draws; the same seed, name and keys always give the same draw."""

    seed: int

    def words(self, name: str, *keys: Ints) -> Words:
        """64 random bits per row."""
        start = np.array([crc32(name.encode()), self.seed & 0xFFFF_FFFF_FFFF], dtype=np.uint64)
        x = _mix(_mix(start[:1] + _STEP) ^ start[1:])
        for key in keys:
            x = _mix((x + _STEP) ^ key.astype(np.uint64))
        return x

    def unit(self, name: str, *keys: Ints) -> Floats:
        """Uniform in [0, 1)."""
        return (self.words(name, *keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def below(self, limit: int | Ints, name: str, *keys: Ints) -> Ints:
        """Uniform integers in [0, limit)."""
        return (self.unit(name, *keys) * limit).astype(np.int64)

    def chance(self, share: float | Floats, name: str, *keys: Ints) -> Flags:
        """True for about `share` of the rows."""
        return np.less(self.unit(name, *keys), share)

    def normal(self, name: str, *keys: Ints) -> Floats:
        """Standard normal (Box-Muller)."""
        radius = np.sqrt(-2.0 * np.log1p(-self.unit(name, *keys)))
        angle = 2.0 * np.pi * self.unit(name + "/angle", *keys)
        return np.asarray(radius * np.cos(angle), dtype=np.float64)

    def choose(self, weights: Sequence[float], name: str, *keys: Ints) -> Ints:
        """Positions in `weights`, each as often as its weight says."""
        edges = np.cumsum(np.asarray(weights, dtype=np.float64))
        drawn = np.searchsorted(edges / edges[-1], self.unit(name, *keys), side="right")
        return np.minimum(drawn, len(weights) - 1).astype(np.int64)

    def letters(self, alphabet: bytes, length: int, name: str, *keys: Ints) -> Any:
        """Text of `length` letters; `alphabet` holds 16 or 64 of them. Returns a pa.StringArray."""
        bits = len(alphabet).bit_length() - 1
        per_word = 60 // bits
        table = np.frombuffer(alphabet, dtype=np.uint8)
        shifts = np.arange(per_word, dtype=np.uint64) * np.uint64(bits)
        rows = max(len(key) for key in keys)
        text = np.empty((rows, length), dtype=np.uint8)
        for start in range(0, length, per_word):
            width = min(per_word, length - start)
            words = self.words(f"{name}/{start}", *keys)[:, None] >> shifts[:width]
            text[:, start : start + width] = table[words & np.uint64(len(alphabet) - 1)]
        offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(length)
        return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(text))
