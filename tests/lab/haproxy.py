"""Two limiters that HAProxy is configured to be, with a stick table: `http_req_rate` and `conn_cur`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.lab.counted import Counted, Operation
from tests.lab.processes import Command, Place, before_twin, program
from touchstone.twin import TwinSettings

# What is tracked is counted before it is judged: refused requests count, and the one that is judged does as well.
_CONFIGURATION = """
global
    nbthread 1
    maxconn 2000

defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 120s

frontend lab
    bind fd@{listener}
    acl counted_method method {method}
    acl counted_path path_reg {path}
    http-request track-sc0 req.hdr(authorization) table callers if counted_method counted_path
    http-request deny deny_status 429 if counted_method counted_path {{ {measure}(0,callers) gt {limit} }}
    default_backend twin

backend callers
    stick-table type string len 128 size 1k expire {expire_s}s store {stored}

backend twin
    http-reuse always
    server twin {twin}
"""


def missing() -> str:
    """What has to be installed; empty where nothing has to be."""
    return "" if program("haproxy") else "HAProxy is not installed: apt-get install haproxy"


@contextlib.contextmanager
def http_req_rate(
    settings: TwinSettings, folder: Path, limit: int, window_s: float, operation: Operation = "startBuild"
) -> Iterator[str]:
    """A counter of two weighted windows, in milliseconds."""
    # A caller who is forgotten earlier than both windows are over would be let through too early.
    forgotten_s = max(60, round(4 * window_s))
    stored = f"http_req_rate({round(window_s * 1000)}ms)"
    with _serving(settings, folder, "sc_http_req_rate", stored, limit, forgotten_s, operation) as url:
        yield url


@contextlib.contextmanager
def conn_cur(settings: TwinSettings, folder: Path, cap: int, operation: Operation = "startBuild") -> Iterator[str]:
    """At most *cap* requests in flight: a tracked request ends its tracking with itself, not with its connection."""
    with _serving(settings, folder, "sc_conn_cur", "conn_cur", cap, 3600, operation) as url:
        yield url


@contextlib.contextmanager
def _serving(
    settings: TwinSettings,
    folder: Path,
    measure: str,
    stored: str,
    limit: int,
    expire_s: int,
    operation: Operation,
) -> Iterator[str]:
    counted = Counted.of(operation, settings)

    def command(place: Place) -> Command:
        text = _CONFIGURATION.format(
            listener=place.listener,
            method=counted.method,
            path=counted.path,
            measure=measure,
            limit=limit,
            expire_s=expire_s,
            stored=stored,
            twin=place.twin,
        )
        file = place.folder / "haproxy.cfg"
        file.write_text(text, encoding="utf-8")
        return Command((program("haproxy"), "-db", "-f", str(file)))

    with before_twin(settings, folder, command) as url:
        yield url
