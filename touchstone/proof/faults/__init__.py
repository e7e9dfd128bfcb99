"""Named ways in which the twin can be told to break exactly one promise.

Each is an engine, an application or a wrapper with one method overridden, and names the claims that must be found
broken. Nothing in a fault depends on luck: what happens once in so many times is counted, and what has to last
outlasts what it is compared with by far.
"""

from touchstone.proof.faults import (  # noqa: F401 - importing them enters their faults
    accounts,
    afterwards,
    cancelling,
    crowded,
    deleted,
    digests,
    documents,
    errors,
    followers,
    http,
    keys,
    lasting,
    limits,
    lines,
    logs,
    lookup,
    publishing,
    racing,
    reading,
    refused_keys,
    results,
    reusing,
    settling,
    starting,
    unforeseen,
    unforeseen_content,
    unforeseen_forms,
    unforeseen_moments,
    wearing,
)
from touchstone.proof.faults.fault import FAULTS, KINDS, Fault, Kind, Under, breaks

__all__ = ["FAULTS", "KINDS", "Fault", "Kind", "Under", "breaks"]
