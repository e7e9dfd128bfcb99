"""A page of ours in a browser: what it shows, sends and says there, on which screen, in which colours, on paper."""

from dataclasses import dataclass, field
from typing import Any

from tests.browser import Tab

# Text against what lies behind it: WCAG 2.2, 1.4.3. Colours with opacity are laid over each other.
_CONTRAST = """
(() => {
  const parse = text => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return [found[0], found[1], found[2], found.length > 3 ? found[3] : 1];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = colour => {
    const part = colour.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * part[0] + .7152 * part[1] + .0722 * part[2];
  };
  const behind = element => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(parse(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, style = getComputedStyle(element);
    if (!walker.currentNode.data.trim() || !element.checkVisibility({visibilityProperty: true})) continue;
    if (['SCRIPT', 'STYLE', 'TITLE', 'title'].includes(element.tagName)) continue;
    seen += 1;
    const colour = parse(element instanceof SVGElement ? style.fill : style.color);
    for (let one = element; one; one = one.parentElement) colour[3] *= Number(getComputedStyle(one).opacity);
    const ground = behind(element), [a, b] = [light(over(colour, ground)), light(ground)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (a + .05) / (b + .05);
    if (ratio < (large ? 3 : 4.5)) {
      faint.push(ratio.toFixed(2) + ' ' + element.tagName + '.' + (element.getAttribute('class') || '') + ' '
        + walker.currentNode.data.trim().slice(0, 40));
    }
  }
  return {seen, faint: [...new Set(faint)]};
})()
"""

# What reaches beyond the right edge of the window and cannot be scrolled to within the page.
_BEYOND = """
(() => {
  const edge = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth > edge) found.push('page: ' + document.documentElement.scrollWidth);
  for (const element of document.body.querySelectorAll('*')) {
    if (element.closest('svg') !== null && element.tagName !== 'svg') continue;
    if (!element.checkVisibility() || element.getBoundingClientRect().right <= edge + 1) continue;
    let held = false;
    for (let one = element.parentElement; one; one = one.parentElement) {
      const flow = getComputedStyle(one).overflowX;
      if ((flow === 'auto' || flow === 'scroll') && PRINT === 0) held = true;
    }
    if (!held) found.push(element.tagName + '.' + (element.getAttribute('class') || '') + ' '
      + Math.round(element.getBoundingClientRect().right) + ' ' + element.textContent.trim().slice(0, 30));
  }
  return found.slice(0, 8);
})()
"""

# Boxes whose own content is cut off, which nobody can scroll on paper.
_CUT = """
[...document.body.querySelectorAll('*')]
  .filter(one => !one.closest('svg') && one.checkVisibility() && getComputedStyle(one).overflowX !== 'visible'
    && one.scrollWidth > one.clientWidth + 1)
  .map(one => one.tagName + '.' + one.className + ' ' + one.scrollWidth + ' > ' + one.clientWidth).slice(0, 8)
"""

_FOCUSABLE = "a[href]:not([tabindex='-1']), button, input, select, summary, [tabindex='0']"

_FOCUSED = """
(() => {
  const one = document.activeElement;
  if (!one || one === document.body || one === document.documentElement) return null;
  const box = one.getBoundingClientRect(), style = getComputedStyle(one);
  const seen = box.bottom > 0 && box.top < innerHeight && box.width > 0;
  const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
  return [one.dataset.place, seen, ring, one.tagName + '.' + one.className];
})()
"""


@dataclass(slots=True)
class Screen:
    """A tab with one page of ours in it, and all that it sends and says.

    Attributes:
        url: The page.
    """

    tab: Tab
    url: str
    _since: int = field(default=0)

    def show(self, width: int = 1080, *, dark: bool = False, paper: bool = False, script: bool = True) -> "Screen":
        """Opens the page anew, on such a screen."""
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.tab.call(f"{domain}.enable")
        self.tab.call("Emulation.setScrollbarsHidden", hidden=True)
        # No window is in front where there is no screen.
        self.tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.tab.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.put_on(width, dark=dark, paper=paper)
        self._since = len(self.tab.events)
        self.tab.open(self.url)
        return self

    def put_on(self, width: int = 1080, *, dark: bool = False, paper: bool = False) -> None:
        """Changes the screen under the page that is open."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tab.call("Emulation.setEmulatedMedia", media="print" if paper else "", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1}
        self.tab.call("Emulation.setDeviceMetricsOverride", mobile=False, **size)

    def value(self, code: str) -> Any:
        """What *code* comes to in the page."""
        return self.tab.value(code)

    def requests(self) -> list[str]:
        """The URLs of all requests since the page was opened."""
        return [event["params"]["request"]["url"] for event in self._events("Network.requestWillBeSent")]

    def said(self) -> list[str]:
        """What came to the console since then: logs, warnings, errors, exceptions."""
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [str(event["params"]) for event in self._events(*kinds)]

    def faint(self) -> list[str]:
        """The texts that stand out too little from what is behind them."""
        found = self.value(_CONTRAST)
        assert found["seen"] > 10
        return [str(text) for text in found["faint"]]

    def beyond(self, *, paper: bool = False) -> list[str]:
        """What reaches out of the window on the right."""
        return [str(text) for text in self.value(_BEYOND.replace("PRINT", str(int(paper))))]

    def cut(self) -> list[str]:
        """The boxes that do not show all that is in them."""
        return [str(text) for text in self.value(_CUT)]

    def press(self, key: str, code: int, text: str = "") -> None:
        """Presses and releases a key."""
        named = {"key": key, "code": key if key != " " else "Space", "windowsVirtualKeyCode": code}
        self.tab.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **named, text=text)
        self.tab.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def type(self, text: str) -> None:
        """Types into what has the focus."""
        self.tab.call("Input.insertText", text=text)

    def stops(self) -> tuple[int, list[tuple[int, bool, bool, str]]]:
        """
        How many elements there are to come to with Tab, and those that were come to: which of them in the order of the
        page, whether it was in sight, whether it had a ring, and what it is.
        """
        count = self.value(
            f"(() => {{ const all = [...document.querySelectorAll({_FOCUSABLE!r})]"
            ".filter(one => one.checkVisibility({visibilityProperty: true}) && !one.disabled);"
            "all.forEach((one, place) => { one.dataset.place = place; }); return all.length; })()"
        )
        found: list[tuple[int, bool, bool, str]] = []
        for _ in range(count + 3):
            self.press("Tab", 9)
            told = self.value(_FOCUSED)
            if told is None or (found and told[0] == "0"):  # the address bar, or where there is none, the page again
                break
            place, seen, ring, name = told
            found.append((int(-1 if place is None else place), seen, ring, name))
        return count, found

    def _events(self, *methods: str) -> list[dict[str, Any]]:
        return [event for event in self.tab.events[self._since :] if event["method"] in methods]
