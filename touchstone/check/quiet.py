"""Keeps the garbage collector still while pytest imports plugins and collects cases; it has to be the first plugin.

All that is there by then stays to the end. To look through it again and again takes a fifth of the time of a short run.
"""

import gc


class Pause:
    """A pause of the collector, which ends it only if it made it."""

    def __init__(self) -> None:
        self._began = False

    def begin(self) -> None:
        """Begins it."""
        self._began = self._began or gc.isenabled()
        gc.disable()

    def end(self) -> None:
        """Ends it: what is there by now is never looked at again."""
        if self._began:
            gc.freeze()
            gc.enable()
        self._began = False


_PAUSE = Pause()


def pytest_addoption() -> None:
    """Pauses the collector as soon as pytest knows this plugin, before it imports the next one."""
    _PAUSE.begin()


def pytest_collection_finish() -> None:
    """Ends the pause when all cases are known."""
    _PAUSE.end()
