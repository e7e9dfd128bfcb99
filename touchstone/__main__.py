"""Entry point of ``python -m touchstone`` and ``touchstone``: prepares the standard streams, then runs the command."""

import io
import os
import sys
from collections.abc import Callable
from typing import Any

from touchstone.facts import redaction_guard

# Errors of a write after the reader has closed the pipe, as `head` does.
_CLOSED_PIPE = (BrokenPipeError, ConnectionResetError)


class Stream(io.TextIOWrapper):
    """Standard stream that removes known API keys from its text. After a failed write, it drops all further text.

    A run must clean up its target and end with its exit code, even if nobody can read its output.
    """

    lost: OSError | None = None

    def write(self, text: str) -> int:
        """Writes the text without known keys, and returns the original length."""
        self._try(super().write, redaction_guard.cut(text)[0])
        return len(text)

    def flush(self) -> None:
        """Writes the buffer."""
        self._try(super().flush)

    def _try(self, action: Callable[..., Any], *arguments: str) -> None:
        try:
            action(*arguments)
        except OSError as error:
            self.lost = self.lost or error
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


def opened() -> tuple[Stream, Stream]:
    """Replaces standard output and standard error by `Stream` objects, even if they are closed; returns both."""
    for descriptor in (0, 1, 2):  # otherwise the next opened file would get the descriptor of a closed stream
        try:
            os.set_blocking(descriptor, True)  # another process may have made a shared pipe non-blocking
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    streams = []
    for descriptor, before in ((1, sys.stdout), (2, sys.stderr)):
        encoding, by_line = getattr(before, "encoding", "utf-8"), descriptor == 2 or os.isatty(descriptor)
        file = open(descriptor, "wb", closefd=False)  # noqa: SIM115 - a descriptor, which stays open
        streams.append(Stream(file, encoding, "backslashreplace", line_buffering=by_line))
    sys.stdout, sys.stderr = streams
    return streams[0], streams[1]


def main() -> None:
    """Runs the command line. If the output cannot be written (full disk), exit code 0 becomes 3."""
    out, err = opened()
    try:
        try:
            from touchstone.cli.app import main as run  # noqa: PLC0415 - the import is slow and may be interrupted
        except KeyboardInterrupt:
            err.write("exit 130: interrupted before anything was sent\n")
            sys.exit(130)
        run()
    except SystemExit as ended:
        out.flush()
        if out.lost and not isinstance(out.lost, _CLOSED_PIPE):
            ended.code = ended.code or 3
            why = f"standard output cannot be written: {out.lost.strerror}; free some disk space"
            err.write(f"exit {ended.code}: {why}\n")
        raise


if __name__ == "__main__":
    main()
