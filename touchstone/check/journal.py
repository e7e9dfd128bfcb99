"""The journal of what a run creates on a target: written before it is created, gone when all of it is removed.

A run holds a lock on its journal for as long as it lives. So a sweep can tell the journal of a killed run, whose lock
is free, from that of a run at work. A line is on disk before the request that it announces is sent.
"""

import contextlib
import fcntl
import json
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from touchstone.contract.files import open_regular
from touchstone.errors import HarnessError, OutputError, UsageError, is_misplaced

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


SUFFIX = ".journal.jsonl"

# What has to be on the disk before a request is sent. What became of it may be missing there: a sweep finds it out.
_BEFORE: tuple[Step, ...] = ("intend", "started")
# A journal is opened as it lies there: through no symbolic link, and without waiting for whoever writes into a pipe.
_NO_LINK = os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a run that is no longer alive may have left on its target.

    Attributes:
        path: Its journal.
        refs: Templates that the run created, or was about to create, and did not remove, in the order of creation.
        builds: Versions whose build the run started and did not see end; also of templates that it did not create.
        owners: By ref, the roles of the keys that created it; nothing of a ref whose journal does not say.
    """

    path: Path
    run_id: str
    target_url: str
    refs: tuple[str, ...]
    builds: tuple[str, ...] = ()
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Journal:
    """The open journal of a live run; usable from several threads.

    Obtained from `Journal.open` or `Journal.resume`; as a context manager it lets go of its lock at the end and keeps
    the file unless everything in it was removed.
    """

    def __init__(self, descriptor: int, path: Path, target_url: str, state: JournalState) -> None:
        self.path = path
        self.target_url = target_url
        self._descriptor: int | None = descriptor
        self._state = state
        self._guard = threading.Lock()

    @classmethod
    def open(cls, run_id: str, target_url: str, state_dir: Path | None, fallback: Path | None = None) -> "Journal":
        """A new journal, locked and on disk.

        Args:
            state_dir: Where journals go.
            fallback: Where this one goes if *state_dir* is None or cannot be written.

        Raises:
            UsageError: no folder is one, or the run has a journal already.
            OutputError: no folder can be written.
        """
        reasons: list[str] = []
        kind: type[HarnessError] = UsageError
        for folder in (state_dir, fallback):
            if folder is None:
                continue
            try:
                return cls._create(folder, run_id, target_url)
            except FileExistsError as error:
                raise UsageError(
                    f"{error.filename}: run {run_id!r} has a journal already; give this run its own id"
                ) from None
            except OSError as error:
                reasons.append(f"{folder}: {error.strerror}")
                kind = kind if is_misplaced(error) else OutputError
        found = "; ".join(reasons) or "no folder is known"
        raise kind(f"the journal of the run cannot be written: {found}; set XDG_STATE_HOME to a writable folder")

    @classmethod
    def _create(cls, folder: Path, run_id: str, target_url: str) -> "Journal":
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{run_id}{SUFFIX}"
        # Under its own name the file appears locked and with its header: a sweep never sees it half made.
        draft = folder / f".{run_id}.{os.getpid()}"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _append(descriptor, header(run_id, target_url))
            try:
                os.link(draft, path)
            except FileExistsError as error:
                raise FileExistsError(error.errno, error.strerror, str(path)) from None
            _sync_folder(folder)
        except BaseException:
            os.close(descriptor)
            raise
        finally:
            draft.unlink(missing_ok=True)
        return cls(descriptor, path, target_url, JournalState())

    @classmethod
    def resume(cls, leftover: Leftover) -> "Journal | None":
        """The journal of a run that is no longer alive, locked; None where somebody took or finished it meanwhile."""
        try:
            descriptor = open_regular(leftover.path, os.O_RDWR | os.O_APPEND | _NO_LINK)
        except OSError:  # gone or replaced meanwhile
            return None
        if _why_not(os.fstat(descriptor)) or not _locked(descriptor, leftover.path):
            os.close(descriptor)
            return None
        whole = whole_lines(_content(descriptor))
        os.ftruncate(descriptor, len(whole))  # cuts a torn last line: its request was never sent
        return cls(descriptor, leftover.path, leftover.target_url, JournalState.after(whole))

    def intend(self, ref: str, by: str = "") -> None:
        """Says that the run is about to create the template *ref*.

        Args:
            by: The role of the key that it is created with, never the key; empty where nobody knows.
        """
        self._write("intend", ref, by=by)

    def created(self, ref: str, by: str = "") -> None:
        """Says that the target confirmed the template *ref*."""
        self._write("created", ref, by=by)

    def started(self, *refs: str) -> None:
        """Says that the run is about to start a build of each of *refs*, or has started it."""
        self._write("started", *refs)

    def settled(self, *refs: str) -> None:
        """Says that no build of *refs* that the run started is under way any more."""
        self._write("settled", *refs)

    def removed(self, ref: str, by: str = "") -> None:
        """Says that the template *ref* and its build are gone.

        Args:
            by: The role of the key whose version it is; empty for all versions of that name.
        """
        self._write("removed", ref, by=by)

    @property
    def refs(self) -> tuple[str, ...]:
        """Templates that are still to be removed, in the order of creation."""
        with self._guard:
            return tuple(self._state.refs)

    @property
    def builds(self) -> tuple[str, ...]:
        """Versions whose build is still to be seen ended or cancelled."""
        with self._guard:
            return tuple(self._state.builds)

    def close(self, all_clean: bool) -> None:
        """Lets go of the lock, and deletes the file where nothing is left; closing twice does nothing.

        Args:
            all_clean: Whether the caller believes that nothing is left; the file stays if the journal knows better.
        """
        with self._guard:
            if self._descriptor is None:
                return
            # Deleted while locked, so that no sweep can take it up in between.
            if all_clean and not self._state.refs and not self._state.builds:
                self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(all_clean=True)

    def _write(self, step: Step, *refs: str, by: str = "") -> None:
        with self._guard:
            for number, ref in enumerate(refs, start=1):
                if self._descriptor is None:
                    raise RuntimeError(f"{self.path}: the journal is closed; {step} {ref!r} comes too late")
                line = {"step": step, "ref": ref} | ({"by": by} if by else {})
                try:
                    _append(self._descriptor, line, sync=number == len(refs))
                except OSError as error:
                    if step in _BEFORE:
                        raise OutputError(
                            f"{self.path}: {line!r} cannot be written: {error.strerror}; make room there"
                        ) from None
                self._state.take(step, ref, by)


def leftovers(*folders: Path | None, refused: Callable[[Path, str], None] = lambda _path, _why: None) -> list[Leftover]:
    """The journals of runs that are no longer alive, oldest first.

    Args:
        folders: The state folder, and those that `Journal.open` may have fallen back on; None and missing ones count
            as empty.
        refused: Called with each file that is not taken for a journal of this user, and why.
    """
    paths = {path for folder in folders if folder is not None for path in folder.glob(f"*{SUFFIX}")}
    found = (_leftover(path, refused) for path in sorted(paths, key=lambda path: (_changed_at(path), path)))
    return [leftover for leftover in found if leftover is not None]


def _leftover(path: Path, refused: Callable[[Path, str], None]) -> Leftover | None:
    with contextlib.ExitStack() as stack:
        try:
            found = path.lstat()
            if why := _why_not(found):
                refused(path, why)
                return None
            descriptor = open_regular(path, os.O_RDONLY | _NO_LINK)
            stack.callback(os.close, descriptor)
            if not os.path.samestat(os.fstat(descriptor), found) or not _locked(descriptor, path):
                return None
            state = JournalState.after(whole_lines(_content(descriptor)))
        except OSError:  # gone meanwhile
            return None
    if not is_run_id(state.run_id):
        refused(path, "begins with no id of a run")
        return None
    owners = {ref: tuple(roles) for ref, roles in state.owners.items()}
    return Leftover(path, state.run_id, state.target_url, tuple(state.refs), tuple(state.builds), owners)


def _why_not(found: os.stat_result) -> str:
    """Why a file is not taken for a journal that this user wrote; empty where it is."""
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file"
    if found.st_uid != os.geteuid():
        return "belongs to another user"
    return "can be written by others" if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def _content(descriptor: int) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def _locked(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Its run may have deleted the file between our opening and our locking it.
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())


def _append(descriptor: int, line: dict[str, Any], *, sync: bool = True) -> None:
    data = json.dumps(line).encode() + b"\n"
    before_bytes = os.fstat(descriptor).st_size
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        os.ftruncate(descriptor, before_bytes)  # half a line would spoil the next one
        raise
    if sync:
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
