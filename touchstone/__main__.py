"""``python -m touchstone`` and the command ``touchstone``."""

import sys

from touchstone.cli import stdio


def main() -> None:
    """Runs the command line; Ctrl-C while it is still being loaded ends like any other."""
    out = stdio.opened()
    try:
        try:
            from touchstone.cli.app import main as run  # noqa: PLC0415 - loading takes long enough to be interrupted
        except KeyboardInterrupt:
            sys.stderr.write("exit 130: interrupted before anything was sent\n")
            sys.exit(130)
        run()
    except SystemExit as ended:
        ended.code = stdio.ended(out, ended.code)  # type: ignore[assignment]  # a code, as it was
        raise


if __name__ == "__main__":
    main()
