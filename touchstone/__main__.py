"""
``python -m touchstone`` and the command ``touchstone``.
"""

import sys


def main() -> None:
    """
    Runs the command line; Ctrl-C while it is still being loaded ends like any other.
    """
    try:
        from touchstone.cli import main as run  # noqa: PLC0415 - loading takes long enough to be interrupted
    except KeyboardInterrupt:
        sys.stderr.write("exit 130: interrupted before anything was sent\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
