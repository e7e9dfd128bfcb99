"""A headless Chromium that opens a page and saves its requests as HAR with the code of DevTools.

DevTools is a page itself, at the debugging port. It is opened in a second tab, and its HAR writer is called.
Both can reach loopback only.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import websocket

# Timeout of everything.
LIMIT_S = 120.0
STEP_S = 0.05

NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad"),
    *("--disable-background-timer-throttling", "--disable-renderer-backgrounding"),  # only one tab is in the foreground
    *("--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
    *("--remote-debugging-port=0", "--remote-allow-origins=*"),
)

# Classes that are used of DevTools, by their path below /devtools/. Chromium serves a missing file as an empty one.
_CALLED = {"core/sdk/sdk.js": "TargetManager", "models/logs/logs.js": "NetworkLog", "models/har/har.js": "Writer"}

# Resolves when DevTools is attached to the page: later commands to the page come after `Network.enable`.
_LISTENS = """
(async () => {
  const SDK = await import('./core/sdk/sdk.js');
  const until = Date.now() + 20000;
  let target;
  while (!(target = SDK.TargetManager.TargetManager.instance().primaryPageTarget())) {
    if (Date.now() > until) throw new Error('DevTools found no page');
    await new Promise(again => setTimeout(again, 20));
  }
  await target.runtimeAgent().invoke_evaluate({expression: '0'});
})()
"""

# "Save all as HAR" of DevTools, after all requests are finished and have their raw headers.
_WRITE = """
(async () => {
  const SDK = await import('./core/sdk/sdk.js');
  const {NetworkLog} = await import('./models/logs/logs.js');
  const {Writer} = await import('./models/har/har.js');
  const page = SDK.TargetManager.TargetManager.instance().primaryPageTarget();
  await page.runtimeAgent().invoke_evaluate({expression: '0'});
  const requests = NetworkLog.NetworkLog.instance().requests(), until = Date.now() + 20000;
  const isOpen = one => !one.finished || (/^http/.test(one.url()) && !one.hasExtraRequestInfo());
  while (requests.some(isOpen)) {
    if (Date.now() > until) throw new Error('not over: ' + requests.filter(isOpen).map(one => one.url()).join(' '));
    await new Promise(again => setTimeout(again, 20));
  }
  const progress = new Proxy({}, {get: (_, name) => name === 'canceled' ? false : () => undefined});
  const written = async sanitize => {
    let text = '';
    await Writer.Writer.write({write: async more => { text += more; }, close() {}}, requests, {sanitize}, progress);
    return text;
  };
  return {full: await written(false), sanitized: await written(true)};
})()
"""

# "Import HAR file" of DevTools: method, URL, status and type of each request.
_READ = """
(async text => {{
  const {{HARFormat, Importer}} = await import('./models/har/har.js');
  const requests = Importer.Importer.requestsFromHARLog(new HARFormat.HARRoot(JSON.parse(text)).log);
  return requests.map(one => [one.requestMethod, one.url(), one.statusCode, one.resourceType().name()]);
}})({text})
"""


class Unsuitable(Exception):
    """No Chromium is installed, or its DevTools has no HAR writer at the expected path."""


@dataclass(frozen=True, slots=True)
class Saved:
    """HAR texts from DevTools: with all content, and without presumed secrets."""

    full: str
    sanitized: str


@dataclass(frozen=True, slots=True)
class Browser:
    """A running Chromium; *address* is that of its debugging port."""

    address: str

    def saved(self, url: str, code: str) -> Saved:
        """Opens *url*, awaits the promise of *code* in the page, and returns the saved HAR."""
        with self.tab() as page, self._devtools(page) as devtools:
            page.open(url)
            page.value(code)
            return Saved(**devtools.value(_WRITE))

    def opened(self, *texts: str) -> list[list[tuple[str, str, int, str]]]:
        """Method, URL, status and type of each request that the network panel imports from HAR *texts*."""
        with self.tab() as page, self._devtools(page) as devtools:
            found = [devtools.value(_READ.format(text=json.dumps(text))) for text in texts]
        return [[(method, url, status, kind) for method, url, status, kind in requests] for requests in found]

    @contextlib.contextmanager
    def _devtools(self, page: "Tab") -> Iterator["Tab"]:
        with self.tab() as devtools:
            socket = f"ws={self.address}/devtools/page/{page.id}&panel=network"
            devtools.open(f"http://{self.address}/devtools/inspector.html?{socket}")
            devtools.value(_LISTENS)
            yield devtools

    @contextlib.contextmanager
    def tab(self) -> Iterator["Tab"]:
        """Opens a tab for the block."""
        url = f"http://{self.address}/json/new?{quote('about:blank', safe='')}"
        answer = httpx.put(url, timeout=LIMIT_S, trust_env=False).json()
        page = f"ws://{self.address}/devtools/page/{answer['id']}"
        socket = websocket.create_connection(page, timeout=LIMIT_S, http_no_proxy=["*"])
        with contextlib.closing(socket):
            yield Tab(str(answer["id"]), socket)
            httpx.get(f"http://{self.address}/json/close/{answer['id']}", timeout=LIMIT_S, trust_env=False)


@dataclass(slots=True)
class Tab:
    """A tab, by https://chromedevtools.github.io/devtools-protocol/; *events* are those of enabled domains."""

    id: str
    socket: websocket.WebSocket
    events: list[dict[str, Any]] = field(default_factory=list)
    _sent: int = 0

    def open(self, url: str) -> None:
        """Opens *url* and waits for the load event."""
        self.call("Page.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        went = self.call("Page.navigate", url=url)
        if "errorText" in went:
            raise RuntimeError(f"{url}: {went['errorText']}")
        loaded = {"name": "load", "loaderId": went["loaderId"]}
        until = time.monotonic() + LIMIT_S
        while not any(loaded.items() <= event["params"].items() for event in self.events):
            self.events.append(self._received(until, f"load {url}"))

    def value(self, code: str) -> Any:
        """What *code* comes to in the page; of a promise, what it is kept with."""
        ended = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in ended:
            raise RuntimeError(f"the page failed: {json.dumps(ended['exceptionDetails'])}")
        return ended["result"].get("value")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What a method of the protocol answers; RuntimeError: it failed, or took too long."""
        self._sent += 1
        self.socket.send(json.dumps({"id": self._sent, "method": method, "params": params}))
        until = time.monotonic() + LIMIT_S
        while True:
            message = self._received(until, method)
            if message.get("id") == self._sent:
                break
            self.events.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return dict(message["result"])

    def _received(self, until: float, what: str) -> dict[str, Any]:
        self.socket.settimeout(max(STEP_S, until - time.monotonic()))
        try:
            return dict(json.loads(self.socket.recv()))
        except websocket.WebSocketException as error:
            raise RuntimeError(f"{what}: {error!r}") from error


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Runs a Chromium with its own profile for the block; Unsuitable if none can save HAR."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise Unsuitable(f"no Chromium is installed: {', '.join(NAMES)}")
    # Its last processes may still write while the folder is removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, _running(found, Path(home)) as process:
        address = f"127.0.0.1:{_port(process, Path(home))}"
        for module, name in _CALLED.items():
            if name not in httpx.get(f"http://{address}/devtools/{module}", timeout=LIMIT_S, trust_env=False).text:
                raise Unsuitable(f"{found} has no DevTools with a writer of HAR: no {name} in {module}")
        yield Browser(address)


@contextlib.contextmanager
def _running(executable: str, home: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (home / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [executable, *_FLAGS, f"--user-data-dir={home}"],
            env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # The whole group: Chromium is a dozen processes.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(LIMIT_S)


def _port(process: "subprocess.Popen[bytes]", home: Path) -> int:
    """The debugging port, which Chromium writes into a file: port and path, each on a line."""
    file = home / "DevToolsActivePort"
    for _ in range(round(LIMIT_S / STEP_S)):
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        if len(lines) > 1:
            return int(lines[0])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STEP_S)
            break
    printed = (home / "stderr").read_text("utf-8", "replace")[-2000:]
    ended = f"exit code {process.returncode}; it printed: {printed}"
    raise RuntimeError(f"Chromium did not open a port for debuggers; {ended}")
