"""The server that all generators load: nginx where it is installed, a small one of our own otherwise, on one core.

It gives the same answer to whatever it is asked, on three ports: plainly, with TLS, and with a head that is another one
in each answer. It counts what it serves.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load_said import served
from tests.bench.load_spent import cpu_s, pinned

REF = "default/touchstone-bench-ready@1.0.0"
BODY = json.dumps(
    {
        "ref": REF,
        "digest": "5518e9c22ac8253412634a98df4e9fa8849418ed8446afe1bc72a498f5cdf346",
        "status": "ready",
        "build_time_ms": 104730,
        "reused": False,
    },
    separators=(",", ":"),
)
COUNTS_PATH = "/requests-served"
READY_S = 10.0

# Answered for ever on one connection, by one process: the server is not what is measured.
_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 75s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{plain};
    location = {counts} {{ stub_status; }}
    location / {{ return 200 '{body}'; }}
  }}
  server {{
    listen 127.0.0.1:{heads};
    location / {{ add_header X-Request-Id $request_id; return 200 '{body}'; }}
  }}
  {secure}
}}
"""
_NGINX_TLS = """
  server {{
    listen 127.0.0.1:{tls} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{ return 200 '{body}'; }}
  }}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A server that runs.

    Attributes:
        says: Which one it is, in words.
        heads_url: Where each answer has a head of its own.
        tls_url: Where TLS is spoken; empty without a certificate.
        certificate: Whom to trust there.
        pid: Of its process.
    """

    says: str
    url: str
    heads_url: str
    tls_url: str
    certificate: Path
    pid: int

    def requests(self) -> int:
        """Requests served so far; the one that asks is among them."""
        with urllib.request.urlopen(f"{self.url}{COUNTS_PATH}", timeout=READY_S) as answer:
            return served(answer.read().decode())

    def cpu_s(self) -> float:
        """CPU time that it has spent."""
        return cpu_s(self.pid)


@dataclass(frozen=True, slots=True)
class _Ports:
    plain: int
    heads: int
    tls: int


@contextlib.contextmanager
def serving(folder: Path, core: int, *, own: bool = False) -> Iterator[Target]:
    """Starts a server on *core*, and ends it.

    Args:
        folder: For its files.
        own: Takes the small one also where nginx is installed.
    """
    certificate, key = _certificate(folder)
    ports = _Ports(*_free_ports(3))
    # Where daemons are is not in the path of everybody.
    nginx = None if own else shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx:
        says = f"nginx {_version(nginx)}, one process"
        command = _nginx(nginx, folder, ports, certificate, key)
    else:
        says = "a small server of our own on uvloop" + ("" if own else " (nginx is not installed)")
        words = (str(port) for port in (ports.plain, ports.heads, ports.tls))
        command = [sys.executable, "-m", "tests.bench.load_server", *words, str(certificate or ""), str(key or "")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **pinned(core))
    url, heads_url = f"http://127.0.0.1:{ports.plain}", f"http://127.0.0.1:{ports.heads}"
    tls_url = f"https://127.0.0.1:{ports.tls}" if certificate else ""
    target = Target(says, url, heads_url, tls_url, certificate or Path(), process.pid)
    try:
        _await(target, process, folder / "server.log")
        yield target
    finally:
        process.terminate()
        try:
            process.wait(READY_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _nginx(program: str, folder: Path, ports: _Ports, certificate: Path | None, key: Path | None) -> list[str]:
    secure = _NGINX_TLS.format(tls=ports.tls, certificate=certificate, key=key, body=BODY) if certificate else ""
    values = {"folder": folder, "plain": ports.plain, "heads": ports.heads, "counts": COUNTS_PATH}
    (folder / "nginx.conf").write_text(_NGINX.format(**values, body=BODY, secure=secure), encoding="ascii")
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "server.log")]


def _version(program: str) -> str:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    return (said.stderr or said.stdout).strip().rpartition("/")[2]


def _certificate(folder: Path) -> tuple[Path, Path] | tuple[None, None]:
    """A certificate that the server signs itself, and its key; nothing without a program to make one."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None, None
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, capture_output=True, check=True)
    return certificate, key


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _await(target: Target, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_S
    while True:
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"the server of the bench does not run: {log.read_text(errors='replace').strip()[-500:]}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            target.requests()
            return
        time.sleep(0.02)
