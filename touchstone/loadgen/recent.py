"""A table of bounded size that forgets what nobody asked for lately."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values by key, *most* at most. Where half of them are new, the others go at once: nothing has to be sorted.

    Args:
        most: At least 2.
    """

    __slots__ = ("_half", "_new", "_old")

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._new: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self._new) + sum(key not in self._new for key in self._old)

    def get(self, key: Key) -> Value | None:
        """The value of *key*, which stays longer for having been asked for; None where there is none any more."""
        found = self._new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: Key, value: Value) -> None:
        """Keeps a value."""
        self._new[key] = value
        if len(self._new) >= self._half:
            self._old, self._new = self._new, {}
