"""Limiters that are programs of their own, in front of a twin: nginx, HAProxy, and express-rate-limit under Node.js.

Each is started on a port that is taken already, and stopped for certain. It yields the base URL.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.lab import COUNTED
from touchstone.twin import Twin, TwinSettings

# Nothing waits longer for anything.
START_S, STOP_S = 30.0, 10.0
# Where servers are that only root is thought to start.
_SYSTEM = ("/usr/sbin", "/usr/local/sbin")
_HERE = Path(__file__).resolve().parent

# One process, and the lifetime of connections that of the most patient client. A request with an empty key is not
# counted.
_NGINX = """
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
    map "$request_method $uri" $counted {{
        default "";
        "~^POST {counted}" $http_authorization;
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

# A stick table. HAProxy counts a request before it judges it, so refused requests count.
_HAPROXY = """
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
    acl counted_method method POST
    acl counted_path path_reg {counted}
    http-request track-sc0 req.hdr(authorization) table callers if counted_method counted_path
    http-request deny deny_status 429 if counted_method counted_path {{ sc_{measure}(0,callers) gt {limit} }}
    default_backend twin
backend callers
    stick-table type string len 128 size 1k expire 60s store {stored}
backend twin
    http-reuse always
    server twin {twin}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """What a configuration is written from.

    Attributes:
        folder: Where the process may write; its alone.
        listener: File descriptor of the socket that it is handed, which listens already.
        port: The port of that socket.
        twin: Host and port of the twin.
        counted: A pattern that the path of a start fits.
    """

    folder: Path
    listener: int
    port: int
    twin: str
    counted: str


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, with which variables besides those of this process, and where it logs besides its output."""

    line: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None


def program(name: str) -> str:
    """The path of a program; empty where there is none."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM))) or ""


def missing(name: str) -> str:
    """What has to be installed for a limiter, by the beginning of its name; empty where nothing has to be."""
    if name.startswith("nginx"):
        return "" if program("nginx") else "nginx is not installed: apt-get install nginx-light"
    if name.startswith("haproxy"):
        return "" if program("haproxy") else "HAProxy is not installed: apt-get install haproxy"
    if not name.startswith("express"):
        return ""
    if not program("node"):
        return "Node.js is not installed: apt-get install nodejs npm"
    installed = (_HERE / "node_modules" / "express-rate-limit").is_dir()
    return "" if installed else "express-rate-limit is not installed: npm ci --prefix tests/lab"


def nginx(zone: str, limit: str) -> Callable[[Place], Command]:
    """Nginx with a zone and a limit, as its configuration has them; ``$counted`` is the key of a caller."""

    def command(place: Place) -> Command:
        counted = place.counted.removeprefix("^")
        where = {"folder": place.folder, "twin": place.twin, "port": place.port, "counted": counted}
        text = _NGINX.format(zone=zone, limit=limit, **where)
        file, log = place.folder / "nginx.conf", place.folder / "error.log"
        file.write_text(text, encoding="utf-8")
        line = (program("nginx"), "-p", str(place.folder), "-e", str(log), "-c", str(file))
        # How nginx hands its sockets to the next version of itself.
        return Command(line, {"NGINX": f"{place.listener};"}, log)

    return command


def limit_req(rate: str, burst: int, delay: str = "") -> Callable[[Place], Command]:
    """The leaky bucket of nginx: what is above the delay waits, and what is above the burst is refused."""
    return nginx(f"limit_req_zone $counted zone=lab:1m rate={rate};", f"limit_req zone=lab burst={burst} {delay};")


def limit_conn(cap: int) -> Callable[[Place], Command]:
    """At most *cap* requests in flight at nginx; how long each is in flight is the latency of the twin."""
    return nginx("limit_conn_zone $counted zone=lab:1m;", f"limit_conn lab {cap};")


def haproxy(measure: str, stored: str, limit: int) -> Callable[[Place], Command]:
    """HAProxy that refuses a start when *measure* of its stick table exceeds the limit."""

    def command(place: Place) -> Command:
        where = {"listener": place.listener, "counted": place.counted, "twin": place.twin}
        file = place.folder / "haproxy.cfg"
        file.write_text(_HAPROXY.format(measure=measure, stored=stored, limit=limit, **where), encoding="utf-8")
        return Command((program("haproxy"), "-db", "-f", str(file)))

    return command


def http_req_rate(limit: int, window_s: float) -> Callable[[Place], Command]:
    """A counter of two weighted windows."""
    return haproxy("http_req_rate", f"http_req_rate({round(window_s * 1000)}ms)", limit)


def conn_cur(cap: int) -> Callable[[Place], Command]:
    """At most *cap* requests in flight."""
    return haproxy("conn_cur", "conn_cur", cap)


def express_rate_limit(limit: int, window_s: float) -> Callable[[Place], Command]:
    """The package `express-rate-limit` of npm: a fixed window that the first request of a caller opens."""

    def command(place: Place) -> Command:
        options = {
            "listener": place.listener,
            "twin": f"http://{place.twin}",
            "method": "POST",
            "path": place.counted,
            "limit": limit,
            "windowMs": round(window_s * 1000),
            "fields": "draft-8",
        }
        return Command((program("node"), str(_HERE / "express.mjs"), json.dumps(options)))

    return command


@contextlib.contextmanager
def before_twin(settings: TwinSettings, folder: Path, command: Callable[[Place], Command]) -> Iterator[str]:
    """Starts a twin, and the limiter that *command* starts in front of it; the base URL behind which both are.

    Raises:
        RuntimeError: the limiter died, or does not answer.
    """
    with Twin(settings) as twin, socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        port = listener.getsockname()[1]
        address = twin.url.removeprefix("http://").partition("/")[0]
        place = Place(folder, listener.fileno(), port, address, COUNTED.format(base_path=settings.base_path))
        with _running(command(place), folder, listener, f"http://127.0.0.1:{port}{settings.base_path}") as url:
            yield url


@contextlib.contextmanager
def _running(command: Command, folder: Path, listener: socket.socket, url: str) -> Iterator[str]:
    output = folder / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command.line,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=(listener.fileno(),),
            env={**os.environ, **command.environment},
        )
    # From here on it is the only one that listens: a connection is refused once it is gone.
    listener.close()
    try:
        # Before it accepts connections they wait in the queue of its socket: no need to try again.
        httpx.get(f"{url}/", timeout=START_S, trust_env=False)
        yield url
        if process.poll() is not None:
            raise httpx.ConnectError("it is gone")
    except httpx.HTTPError as error:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S if not isinstance(error, httpx.TimeoutException) else 0)
        state = "does not answer" if process.returncode is None else f"ended with {process.returncode}"
        logs = [log.read_text("utf-8", "replace") for log in (output, command.log) if log and log.exists()]
        raise RuntimeError(f"{Path(command.line[0]).name} {state}: {' '.join(logs).strip() or 'no output'}") from error
    finally:
        process.kill()
        process.wait(STOP_S)
