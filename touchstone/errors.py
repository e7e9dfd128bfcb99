"""
Every exception of the package, split by who must act.

    HarnessError                 the root; never raised itself
    ├── UsageError               the caller: a flag, a setting, a file that is not there
    ├── ContractError            whoever owns openapi/: a document or a ledger that does not hold together
    ├── TargetError              the target could not be judged: unreachable, key refused, another API
    ├── RecordingError           whoever keeps the recording: it is no HAR file, or lacks what is asked of it
    └── RunLogError              the run log is incomplete, foreign or unreadable

A disagreement between the target and its contract is a finding, not an exception.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class HarnessError(Exception):
    """
    The root of the tree.
    """

    exit_code = 3


class UsageError(HarnessError):
    """
    The caller asked for something that does not exist or does not fit.
    """

    exit_code = 2


class ContractError(HarnessError):
    """
    The contract or the ledger of claims contradicts itself.
    """

    exit_code = 2


class TargetError(HarnessError):
    """
    The target could not be judged.
    """


class RecordingError(HarnessError):
    """
    A recording cannot be read as one, or does not hold what is asked of it.
    """

    exit_code = 2


class RunLogError(HarnessError):
    """
    A run log cannot be read as one.
    """


@contextmanager
def unsent() -> Iterator[None]:
    """
    Notes of an interrupt that comes meanwhile that nothing was sent before it.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(" before anything was sent")
        raise
