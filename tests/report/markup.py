"""Parsed HTML: elements, attributes, texts, and an outline for comparisons."""

import zlib
from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "input", "br", "link", "img"}
_LONG = 100  # a longer value is replaced by its beginning and a checksum


class Markup(HTMLParser):
    """Elements of an HTML source.

    Attributes:
        tags: How often each element occurs.
        attributes: Element, name and value of each attribute.
        texts: Each text with the elements around it, without scripts and styles.
        outline: An element a line with its text, indented by depth.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.open: list[str] = []
        self.outline: list[str] = []
        self._is_fresh = False  # whether the last line is the start of an element, and its text goes on that line
        self.feed(source)
        self.close()

    @property
    def text(self) -> str:
        return " ".join("".join(text for _, text in self.texts).split())

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in values.items()]
        name = tag + "".join(f".{one}" for one in values.pop("class", "").split())
        self._add(" ".join([name, *(f"{key}={_short(value)}" for key, value in values.items() if tag != "meta")]))
        self._is_fresh = tag not in VOID
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        self._is_fresh = False

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            return
        self.texts.append((tuple(self.open), data))
        if data.strip():
            line = f"| {' '.join(data.split())}"
            if self._is_fresh:
                self.outline[-1] += f" {line}"
            else:
                self._add(line)
            self._is_fresh = False

    def _add(self, line: str) -> None:
        self.outline.append(f"{' ' * len(self.open)}{line}")


def _short(value: str) -> str:
    return value if len(value) <= _LONG else f"{value[:60]}… {zlib.crc32(value.encode()):08x}"
