"""How much memory this process has in use."""

import resource
from pathlib import Path

_STATM = Path("/proc/self/statm")


def rss_bytes() -> int:
    """Memory of this process that is in RAM; where the system does not tell it, the most that it has been."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
