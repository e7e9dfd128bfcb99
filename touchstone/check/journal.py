"""Journal of a run: lists each template before its creation. It is locked during the run, and deleted once empty."""

import contextlib
import fcntl
import json
import os
import re
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from touchstone.contract.files import open_regular
from touchstone.errors import HarnessError, OutputError, UsageError, is_misplaced

Step = Literal["intend", "started", "settled", "removed"]

SUFFIX = ".journal.jsonl"
# Steps that must be on disk before the request is sent.
_BEFORE: tuple[Step, ...] = ("intend", "started")


@dataclass(slots=True)
class JournalState:
    """What the lines of a journal say.

    Attributes:
        run_id: Run id in the header; empty without a valid header.
        owners: For each template that may exist, in order of creation: roles of the keys that created the template.
        builds: Versions whose build may be running, including those that the run did not create.
    """

    path: Path = Path()
    run_id: str = ""
    target_url: str = ""
    owners: dict[str, dict[str, None]] = field(default_factory=dict)  # dicts serve as ordered sets
    builds: dict[str, None] = field(default_factory=dict)

    @property
    def refs(self) -> tuple[str, ...]:
        """Templates that may exist, in order of creation."""
        return tuple(self.owners)

    @classmethod
    def after(cls, lines: bytes, path: Path = Path()) -> Self:
        """Returns the state after *lines*, the first of which is the header; skips damaged lines."""
        state = cls(path)
        for number, line in enumerate(lines.splitlines()):
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                continue
            match values:
                case {"journal": 1, "run_id": str(run_id), "target_url": str(url)} if number == 0:
                    state.run_id, state.target_url = run_id, url
                case {"step": str(step), "ref": str(ref)}:
                    state.take(step, ref, by if isinstance(by := values.get("by"), str) else "")
        return state

    def take(self, step: str, ref: str, by: str = "") -> None:
        """Applies one line. *by*: role of the key; with an empty role, the step ``removed`` counts for all keys."""
        if step == "intend":
            self.owners.setdefault(ref, {})[by or "primary"] = None
        elif step == "started":
            self.builds[ref] = None
        elif step == "settled":
            self.builds.pop(ref, None)
        elif step == "removed":
            owners = self.owners.get(ref, {})
            owners.pop(by, None)
            if not (by and owners):  # otherwise another account still has the version
                self.owners.pop(ref, None)
                self.builds.pop(ref, None)


def is_run_id(text: str) -> bool:
    """Whether *text* is a run id: start time and six hexadecimal digits."""
    return re.fullmatch(r"[0-9]{6}-[0-9]{6}-[0-9a-f]{6}", text) is not None


def whole_lines(data: bytes) -> bytes:
    """Returns *data* up to the last line break, because a killed process may have left a partial line."""
    return data[: data.rfind(b"\n") + 1]


class Journal(contextlib.AbstractContextManager["Journal"]):
    """Journal that this process has opened and locked; thread-safe, and a context manager."""

    def __init__(self, descriptor: int, state: JournalState) -> None:
        self.path = state.path
        self._descriptor: int | None = descriptor
        self._state = state
        self._guard = threading.Lock()

    @classmethod
    def open(cls, run_id: str, target_url: str, state_dir: Path | None, fallback: Path | None = None) -> Self:
        """Creates and locks a journal file in *state_dir*, or in *fallback* if that fails.

        Raises UsageError if no path is a folder or the run already has a journal, OutputError if none is writable.
        """
        reasons: list[str] = []
        kind: type[HarnessError] = UsageError
        for folder in filter(None, (state_dir, fallback)):
            try:
                return cls._create(folder, run_id, target_url)
            except OSError as error:
                if isinstance(error, FileExistsError) and error.filename2:
                    reason = f"run {run_id!r} has a journal already; give this run its own id"
                    raise UsageError(f"{error.filename2}: {reason}") from None
                reasons.append(f"{folder}: {error.strerror}")
                kind = kind if is_misplaced(error) else OutputError
        found = "; ".join(reasons) or "no folder is configured"
        raise kind(f"the journal of the run cannot be written: {found}; set XDG_STATE_HOME to a writable folder")

    @classmethod
    def _create(cls, folder: Path, run_id: str, target_url: str) -> Self:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{run_id}{SUFFIX}"
        # The file gets its final name after it is locked and has its header, so that no sweep finds it incomplete.
        draft = folder / f".{run_id}.{os.getpid()}"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _append(descriptor, {"journal": 1, "run_id": run_id, "target_url": target_url})
            os.link(draft, path)
            _sync_folder(folder)
        except BaseException:
            os.close(descriptor)
            raise
        finally:
            draft.unlink(missing_ok=True)
        return cls(descriptor, JournalState(path, run_id, target_url))

    @classmethod
    def resume(cls, leftover: JournalState) -> Self | None:
        """Opens and locks the journal of a dead run; None if another process locked or deleted the file meanwhile."""
        descriptor = _opened(leftover.path, os.O_RDWR | os.O_APPEND)
        if descriptor is None:
            return None
        lines = whole_lines(_content(descriptor))
        os.ftruncate(descriptor, len(lines))  # drops a partial last line, whose request was never sent
        return cls(descriptor, JournalState.after(lines, leftover.path))

    def intend(self, ref: str, by: str = "primary") -> None:
        """Records that the run is about to create *ref* with the key of role *by*."""
        self._write("intend", ref, by=by)

    def started(self, *refs: str) -> None:
        """Records that the run starts a build of each of *refs*."""
        self._write("started", *refs)

    def settled(self, *refs: str) -> None:
        """Records that all builds of *refs* that this run started have ended."""
        self._write("settled", *refs)

    def removed(self, ref: str, by: str = "") -> None:
        """Records that *ref* and its build are gone for the key of role *by*, or for all keys if *by* is empty."""
        self._write("removed", ref, by=by)

    @property
    def refs(self) -> tuple[str, ...]:
        """Templates to be removed, in order of creation."""
        with self._guard:
            return self._state.refs

    @property
    def builds(self) -> tuple[str, ...]:
        """Versions whose build may be running."""
        with self._guard:
            return tuple(self._state.builds)

    def close(self) -> None:
        """Releases the lock, and deletes the file if nothing is left to remove; a second call does nothing."""
        with self._guard:
            if self._descriptor is None:
                return
            # Deleted while locked, so that no sweep can open it in between.
            if not self._state.refs and not self._state.builds:
                self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, step: Step, *refs: str, by: str = "") -> None:
        with self._guard:
            for number, ref in enumerate(refs, start=1):
                if self._descriptor is None:
                    raise RuntimeError(f"{self.path}: the journal is closed; {step} {ref!r} was not written")
                line = {"step": step, "ref": ref} | ({"by": by} if by else {})
                try:
                    _append(self._descriptor, line, sync=step in _BEFORE and number == len(refs))
                except OSError as error:
                    if step in _BEFORE:
                        reason = f"{line!r} cannot be written: {error.strerror}; make room there"
                        raise OutputError(f"{self.path}: {reason}") from None
                self._state.take(step, ref, by)


def leftovers(
    *folders: Path | None, refused: Callable[[Path, str], None] = lambda _path, _why: None
) -> list[JournalState]:
    """Returns the journals of dead runs, oldest first; calls *refused* with each invalid file and the reason."""
    found: list[JournalState] = []
    paths = {path for folder in folders if folder is not None for path in folder.glob(f"*{SUFFIX}")}
    for path in sorted(paths, key=lambda path: (path.name, path)):  # a run id begins with the start time
        with contextlib.suppress(OSError):  # deleted meanwhile
            if why := _why_not(path.lstat()):
                refused(path, why)
                continue
        descriptor = _opened(path, os.O_RDONLY)
        if descriptor is None:
            continue
        state = JournalState.after(whole_lines(_content(descriptor)), path)
        os.close(descriptor)
        if is_run_id(state.run_id):
            found.append(state)
        else:
            refused(path, "has no valid run id in its first line")
    return found


def _opened(path: Path, flags: int) -> int | None:
    """Opens and locks a journal; returns its descriptor, or None if the file is gone, invalid, or of a live run."""
    with contextlib.ExitStack() as stack:
        try:
            descriptor = open_regular(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            # The run of the journal may have deleted the file between open and lock.
            if _why_not(found) or not os.path.samestat(found, path.stat()):
                return None
        except OSError:
            return None
        stack.pop_all()
    return descriptor


def _why_not(found: os.stat_result) -> str:
    """Returns why a file is not accepted as a journal of this user; returns an empty string if it is accepted."""
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    if found.st_uid != os.geteuid():
        return "belongs to another user"
    return "can be written by others" if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def _content(descriptor: int) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def _append(descriptor: int, line: dict[str, Any], *, sync: bool = True) -> None:
    data = json.dumps(line).encode() + b"\n"
    before_bytes = os.fstat(descriptor).st_size
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        os.ftruncate(descriptor, before_bytes)  # a partial line would damage the next one
        raise
    if sync:
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
