"""What the lines of a journal add up to: the templates and builds that a run has not seen gone."""

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any, Literal

Step = Literal["intend", "created", "started", "settled", "removed"]

_VERSION = 1
_RUN_ID = re.compile(r"[0-9]{6}-[0-9]{6}-[0-9a-f]{6}")


class JournalState:
    """The sum of a journal's lines.

    Attributes:
        run_id: From the header; empty where there is none that this version understands.
        refs: Templates that may be there, in the order of creation.
        owners: By ref, the keys that made it, by their role; nothing of a ref whose lines do not say.
        builds: Versions whose build may be under way.
    """

    __slots__ = ("builds", "owners", "refs", "run_id", "target_url")

    def __init__(self) -> None:
        self.run_id = ""
        self.target_url = ""
        self.refs: dict[str, None] = {}  # a dict as an ordered set
        self.owners: dict[str, dict[str, None]] = {}
        self.builds: dict[str, None] = {}

    @classmethod
    def after(cls, whole: bytes) -> "JournalState":
        """The sum of the lines in *whole*; the first is the header."""
        state = cls()
        lines = _objects(whole)
        state._begin(next(lines, {}))
        for line in lines:
            match line:
                case {"step": str(step), "ref": str(ref), "by": str(by)}:
                    state.take(step, ref, by)
                case {"step": str(step), "ref": str(ref)}:
                    state.take(step, ref)
        return state

    def _begin(self, line: dict[str, Any]) -> None:
        match line:
            case {"journal": version, "run_id": str(run_id), "target_url": str(target_url)} if version == _VERSION:
                self.run_id, self.target_url = run_id, target_url

    def take(self, step: str, ref: str, by: str = "") -> None:
        """Adds one line.

        Args:
            by: The role of the key; empty where the line does not say, and for all keys where something is removed.
        """
        if step in {"intend", "created"}:
            self.refs[ref] = None
            if by:
                self.owners.setdefault(ref, {})[by] = None
        elif step == "started":
            self.builds[ref] = None
        elif step == "settled":
            self.builds.pop(ref, None)
        elif step == "removed":
            self._remove(ref, by)

    def _remove(self, ref: str, by: str) -> None:
        owners = self.owners.get(ref, {})
        owners.pop(by, None)
        if by and owners:  # another account has a version of that name
            return
        for noted in (self.refs, self.owners, self.builds):
            noted.pop(ref, None)


def is_run_id(text: str) -> bool:
    """Whether *text* has the form of a run id: when the run began, and six hexadecimal digits."""
    return _RUN_ID.fullmatch(text) is not None


def header(run_id: str, target_url: str) -> dict[str, Any]:
    """The first line of a journal."""
    return {"journal": _VERSION, "run_id": run_id, "target_url": target_url}


def whole_lines(data: bytes) -> bytes:
    """The data up to its last line break: a killed writer may have left half a line behind it."""
    return data[: data.rfind(b"\n") + 1]


def _objects(whole: bytes) -> Iterator[dict[str, Any]]:
    for line in whole.splitlines():
        with contextlib.suppress(
            ValueError, RecursionError
        ):  # a damaged line must not keep the others from being swept
            value = json.loads(line)
            if isinstance(value, dict):
                yield value
