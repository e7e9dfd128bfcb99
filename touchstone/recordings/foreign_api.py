"""Finds the API among the requests of a file: where its paths begin, and what a request asks of it."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from touchstone.contract.document import Contract
from touchstone.recordings.foreign_entry import Entry

_URL = re.compile(r"(?i)(https?)://(?:[^/?#]*@)?([^/?#]*)([^#]*)")
_ROOT = re.compile(r"/templates(?=[/?]|$)")
_PARTS = frozenset({"namespace", "name", "version"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the API.

    Attributes:
        target: Path and query below the base of the API, as sent.
        operation: operationId, or empty for a request outside the contract.
        ref: The version that the path names, or None.
    """

    entry: Entry
    target: str
    operation: str
    ref: str | None


def is_http(url: str) -> bool:
    """Whether it was a request over HTTP: pages also hold data: and blob: URLs, and speak through web sockets."""
    return _URL.match(url) is not None


def base_of(entries: Iterable[Entry], contract: Contract) -> str | None:
    """The origin and path under which most of the contract is asked for, or None where nothing of it is.

    Many an API has a path that ends in ``/templates``, so that different operations count, and long templates more.
    """
    operations: dict[str, set[tuple[str, int]]] = defaultdict(set)
    times: Counter[str] = Counter()
    for entry in entries:
        for base, path in _splits(entry.url):
            if found := contract.match(entry.method, path):
                operations[base].add((found[0].id, len(found[0].segments)))
                times[base] += 1
    weights = {base: sum(length for _, length in found) for base, found in operations.items()}
    return max(weights, key=lambda base: (weights[base], times[base], -len(base)), default=None)


def asked(entry: Entry, base: str, contract: Contract) -> Asked | None:
    """What *entry* asks of the API at *base*, or None where it is not for it."""
    found = _parted(entry.url)
    if found is None:
        return None
    origin, target = found
    if not (origin + target).startswith(base):
        return None
    target = (origin + target)[len(base) :]
    if not _ROOT.match(target):
        return None
    path = target.partition("?")[0]
    if path.startswith("/templates/global/"):
        # Curated templates have listings of their own; what their paths look like by the contract is chance.
        return Asked(entry, target, "", None)
    return Asked(entry, target, _operation(entry.method, path, contract), _ref(entry.method, path, contract))


def _operation(method: str, path: str, contract: Contract) -> str:
    found = contract.match(method, path)
    return found[0].id if found else ""


def _ref(method: str, path: str, contract: Contract) -> str | None:
    found = contract.match(method, path) or contract.match("GET", path)
    values = found[1] if found else {}
    return "{namespace}/{name}@{version}".format(**values) if values.keys() >= _PARTS else None


def _splits(url: str) -> Iterator[tuple[str, str]]:
    """Each base that the API could have for this URL, and the path below it."""
    found = _parted(url)
    if found:
        origin, target = found
        path = target.partition("?")[0]
        for root in _ROOT.finditer(path):
            yield origin + path[: root.start()], path[root.start() :]


def _parted(url: str) -> tuple[str, str] | None:
    """Origin, as browsers write it, and target of a URL, without who signs in and without its fragment."""
    found = _URL.match(url)
    if found is None:
        return None
    scheme, host = found[1].lower(), found[2].lower()
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}", found[3]
