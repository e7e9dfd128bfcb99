"""The two limiters of nginx: `limit_req`, which counts in thousandths of a request, and `limit_conn`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tests.lab.counted import Counted, Operation
from tests.lab.processes import Command, Place, before_twin, program
from touchstone.twin import TwinSettings

# One process, and the lifetime of connections that of the most patient client.
_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
lock_file {folder}/nginx.lock;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 4m;
    keepalive_requests 1000000;
    keepalive_timeout 120s;
    # A request with an empty key is not counted.
    map "$request_method $uri" $counted {{
        default "";
        "~{counted}" $http_authorization;
    }}
    {zone}
    upstream twin {{ server {twin}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            {limit}
            limit_req_status 429;
            limit_conn_status 429;
            proxy_pass http://twin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""


def missing() -> str:
    """What has to be installed; empty where nothing has to be."""
    return "" if program("nginx") else "nginx is not installed: apt-get install nginx-light"


@contextlib.contextmanager
def limit_req(
    settings: TwinSettings,
    folder: Path,
    rate: str,
    burst: int = 0,
    delay: int | Literal["nodelay"] | None = None,
    operation: Operation = "startBuild",
) -> Iterator[str]:
    """A bucket that leaks: what is above *delay* waits its turn, and what is above *burst* is refused.

    Args:
        rate: As nginx writes it, such as ``5r/s`` or ``90r/m``.
        delay: How many of the burst do not wait; ``nodelay`` for all, None for none.
    """
    how = f" delay={delay}" if isinstance(delay, int) else f" {delay or ''}"
    zone = f"limit_req_zone $counted zone=lab:1m rate={rate};"
    limit = f"limit_req zone=lab{f' burst={burst}' if burst else ''}{how};"
    with _serving(settings, folder, zone, limit, operation) as url:
        yield url


@contextlib.contextmanager
def limit_conn(settings: TwinSettings, folder: Path, cap: int, operation: Operation = "startBuild") -> Iterator[str]:
    """At most *cap* requests in flight; how long each is in flight is the latency of the twin."""
    with _serving(
        settings, folder, "limit_conn_zone $counted zone=lab:1m;", f"limit_conn lab {cap};", operation
    ) as url:
        yield url


@contextlib.contextmanager
def _serving(settings: TwinSettings, folder: Path, zone: str, limit: str, operation: Operation) -> Iterator[str]:
    counted = Counted.of(operation, settings)

    def command(place: Place) -> Command:
        text = _CONFIGURATION.format(
            folder=place.folder,
            counted=f"^{counted.method} {counted.path.removeprefix('^')}",
            zone=zone,
            limit=limit,
            twin=place.twin,
            port=place.port,
        )
        file = place.folder / "nginx.conf"
        file.write_text(text, encoding="utf-8")
        log = place.folder / "error.log"
        words = (program("nginx"), "-p", str(place.folder), "-e", str(log), "-c", str(file))
        # How nginx hands its sockets to the next version of itself.
        return Command(words, {"NGINX": f"{place.listener};"}, log)

    with before_twin(settings, folder, command) as url:
        yield url
