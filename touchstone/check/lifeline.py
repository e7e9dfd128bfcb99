"""Ends a Locust process as soon as whoever started it is gone: an orphan would go on sending what nobody cleans up."""

import contextlib
import os
from collections.abc import Mapping

import gevent
from gevent.os import tp_read

from touchstone.check.handover import LIFELINE_VARIABLE, ORPHANED


def hold_lifeline(environ: Mapping[str, str]) -> None:
    """Watches for the end of whoever started this process, if they asked for that."""
    number = environ.get(LIFELINE_VARIABLE)
    if number:
        gevent.spawn(_wait_for_end, int(number))


def _wait_for_end(descriptor: int) -> None:
    """Ends this process as soon as whoever started Locust is gone, or waits for it no more.

    So a worker does not outlive its master either. The read is in a thread of gevent's pool: all else goes on.
    """
    with contextlib.suppress(OSError):
        while tp_read(descriptor, 64):
            pass
    os._exit(ORPHANED)
