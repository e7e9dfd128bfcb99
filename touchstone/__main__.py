"""``python -m touchstone`` and the command ``touchstone``: standard streams that fail nothing, then the command."""

import io
import os
import sys
from collections.abc import Callable
from typing import Any

from touchstone.facts import redaction_guard

# The reader has left, as `head` does when it has enough.
_NOBODY_READS = (BrokenPipeError, ConnectionResetError)


class Stream(io.TextIOWrapper):
    """A standard stream without known keys in it; once the system refuses something, the rest goes nowhere.

    A run that is under way has a target to clean up and a verdict to tell by its exit code, whoever reads.
    """

    lost: OSError | None = None

    def write(self, text: str) -> int:
        """Writes the text; its length."""
        self._try(super().write, redaction_guard.cut(text)[0])
        return len(text)

    def flush(self) -> None:
        """Writes what is held back."""
        self._try(super().flush)

    def _try(self, action: Callable[..., Any], *arguments: str) -> None:
        try:
            action(*arguments)
        except OSError as error:
            self.lost = self.lost or error
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


def opened() -> tuple[Stream, Stream]:
    """Puts such streams in the places of standard output and standard error, also of closed ones."""
    for descriptor in (0, 1, 2):  # the next file that is opened would take the place of a closed one
        try:
            os.set_blocking(descriptor, True)  # whoever shares a pipe may have set it otherwise
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    streams = []
    for descriptor, before in ((1, sys.stdout), (2, sys.stderr)):
        encoding, by_line = getattr(before, "encoding", "utf-8"), descriptor == 2 or os.isatty(descriptor)
        file = open(descriptor, "wb", closefd=False)  # noqa: SIM115 - it is no path, and stays open
        streams.append(Stream(file, encoding, "backslashreplace", line_buffering=by_line))
    sys.stdout, sys.stderr = streams
    return streams[0], streams[1]


def main() -> None:
    """Runs the command line; output that is lost to a full disk spoils a success."""
    out, err = opened()
    try:
        try:
            from touchstone.cli.app import main as run  # noqa: PLC0415 - loading takes long enough to be interrupted
        except KeyboardInterrupt:
            err.write("exit 130: interrupted before anything was sent\n")
            sys.exit(130)
        run()
    except SystemExit as ended:
        out.flush()
        if out.lost and not isinstance(out.lost, _NOBODY_READS):
            ended.code = ended.code or 3
            why = f"standard output cannot be written: {out.lost.strerror}; make room where it goes"
            err.write(f"exit {ended.code}: {why}\n")
        raise


if __name__ == "__main__":
    main()
