"""The entry point of the image: `touchstone`, which also understands what the Locust operator adds to a command.

The operator starts each pod with the words of its manifest and, after them, flags of Locust's own command line. Those
that `touchstone load` has under another name are renamed, and those that ask for what it does anyway are left out. All
other arguments stay as they are, so that the image is used like the command.
"""

import os
import sys
from collections import deque
from collections.abc import Sequence

# `touchstone load` waits for its workers, begins, ends and sums up by itself, and splits its schedule once.
NOT_NEEDED = frozenset({"--autostart", "--autoquit", "--enable-rebalancing", "--only-summary"})
WITH_VALUE = frozenset({"--autoquit", "--master-host", "--master-port"})


def translated(arguments: Sequence[str]) -> list[str]:
    """The arguments for `touchstone`.

    Raises:
        ValueError: they ask for what a load run cannot do.
    """
    if arguments[:1] != ["load"]:
        return list(arguments)
    rest = deque(arguments)
    kept: list[str] = []
    host = ""
    is_worker = False
    while rest:
        word = rest.popleft()
        flag, equals, value = word.partition("=")
        if flag in WITH_VALUE and not equals:
            value = rest.popleft() if rest else ""
        if flag == "--otel":
            raise ValueError("--otel: a load run exports no telemetry; take spec.observability out of the manifest")
        if flag == "--master-host":
            host = value
        elif flag == "--master-port":
            kept += ["--port", value]
        elif word == "--worker" and (not rest or rest[0].startswith("-")):
            is_worker = True
        elif flag not in NOT_NEEDED:
            kept.append(word)
    if is_worker and not host:
        raise ValueError("--worker: it does not say for which master; expected --master-host=HOST, or --worker HOST")
    return [*kept, "--worker", host] if is_worker else kept


def main() -> None:
    """Becomes `touchstone`, so that signals and the exit code are its own."""
    try:
        arguments = translated(sys.argv[1:])
    except ValueError as error:
        sys.exit(_refused(str(error)))
    os.execvp("touchstone", ["touchstone", *arguments])


def _refused(why: str) -> int:
    sys.stderr.write(f"exit 2: {why}\n")
    return 2


if __name__ == "__main__":
    main()
