"""Where `tests.limiter.queueing` was; for those that still import it from here."""

from tests.limiter.queueing import Queue, searched

__all__ = ["Queue", "searched"]
