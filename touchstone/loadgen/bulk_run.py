"""How the knee's search uses a side-car."""

import contextlib
import resource

# How long the side-car may be busy getting ready, and how long what is under way is waited for when the run is stopped.
PREPARE_S = 20.0
GRACE_S = 0.3

# Requests that a stall holds up each keep a connection; the rest of the descriptors is for everything else.
MAX_CONNECTIONS, SPARED_DESCRIPTORS = 8_192, 128


def most_connections() -> int:
    """How many connections a side-car may have: as many as it may open files, after raising that to what is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + SPARED_DESCRIPTORS
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(MAX_CONNECTIONS, soft - SPARED_DESCRIPTORS))
