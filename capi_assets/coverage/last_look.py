"""What the last look of this process read and found, so that the next does again only what changed.

Dagster evaluates the sensors of a code location in one process, which lives until it is restarted;
then the first look does everything. Only the last look is kept, however long the process runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class Kept(Generic[T]):
    """The last result of a function, and the key of what it was made from."""

    key: object = None
    value: T | None = None

    def of(self, key: object, make: Callable[[], T]) -> T:
        """The result of `make` for `key`, that of the last call if it had the same key.

        kept = Kept[int]()
        kept.of("a", lambda: 1), kept.of("a", lambda: 2)  # 1, 1
        """
        if self.value is None or self.key != key:
            self.value = None  # never two in memory
            self.value, self.key = make(), key
        return self.value
