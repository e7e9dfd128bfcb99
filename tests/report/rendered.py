"""A report in a browser: its requests, its console, screens of any width, and print."""

from dataclasses import dataclass
from typing import Any

from tests.browser import Tab

# Elements beyond the right edge of the window, except those in a scrollable parent.
_BEYOND = """
(() => {
  const edge = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth > edge) found.push('page: ' + document.documentElement.scrollWidth);
  for (const element of document.body.querySelectorAll('*')) {
    if (element.closest('svg') !== null && element.tagName !== 'svg') continue;
    if (!element.checkVisibility() || element.getBoundingClientRect().right <= edge + 1) continue;
    let scrolls = false;
    for (let one = element.parentElement; one; one = one.parentElement) {
      const flow = getComputedStyle(one).overflowX;
      if ((flow === 'auto' || flow === 'scroll') && PRINT === 0) scrolls = true;
    }
    if (!scrolls) found.push(element.tagName + ' ' + element.textContent.trim().slice(0, 30));
  }
  return found.slice(0, 8);
})()
"""


@dataclass(slots=True)
class Screen:
    """A browser tab with one report."""

    tab: Tab
    url: str
    _since: int = 0

    def show(self, *, script: bool = True) -> "Screen":
        """Loads the page on a screen of 1080 pixels."""
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.tab.call(f"{domain}.enable")
        self.tab.call("Emulation.setScrollbarsHidden", hidden=True)
        # Without a screen no window has the focus.
        self.tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.tab.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.put_on(1080)
        self._since = len(self.tab.events)
        self.tab.open(self.url)
        return self

    def put_on(self, width: int, *, dark: bool = False, paper: bool = False) -> None:
        """Changes the screen of the open page."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tab.call("Emulation.setEmulatedMedia", media="print" if paper else "", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1}
        self.tab.call("Emulation.setDeviceMetricsOverride", mobile=False, **size)

    def value(self, code: str) -> Any:
        return self.tab.value(code)

    @property
    def requests(self) -> list[str]:
        """URLs of all requests since the page was opened."""
        return [event["params"]["request"]["url"] for event in self._events("Network.requestWillBeSent")]

    @property
    def console(self) -> list[str]:
        """Logs, warnings, errors and exceptions since then."""
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [str(event["params"]) for event in self._events(*kinds)]

    def beyond(self, *, paper: bool = False) -> list[str]:
        """Elements beyond the right edge of the window."""
        return [str(text) for text in self.value(_BEYOND.replace("PRINT", str(int(paper))))]

    def press(self, key: str, code: int) -> None:
        """Presses and releases a key."""
        values = {"key": key, "windowsVirtualKeyCode": code}
        self.tab.call("Input.dispatchKeyEvent", type="keyDown", text=key, **values)
        self.tab.call("Input.dispatchKeyEvent", type="keyUp", text=key, **values)

    def _events(self, *methods: str) -> list[dict[str, Any]]:
        return [event for event in self.tab.events[self._since :] if event["method"] in methods]
