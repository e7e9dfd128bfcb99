"""A slow reader of event streams that follows the HTML standard, section 9.2.6, sentence by sentence, and nothing else.

It shares no code and no way of working with touchstone/contract/event_stream.py: it decodes the whole stream before it
lines, and goes through it character by character.
"""

from dataclasses import dataclass, field

Dispatched = tuple[str, str, str, int | None]  # type, data, last event id, retry

LINE_FEED, CARRIAGE_RETURN = "\n", "\r"
MOST_DIGITS = 18  # ours refuses a retry with more: no clock waits that long


@dataclass(slots=True)
class Reader:
    """The buffers that the standard names, and the events that were dispatched."""

    data: str = ""
    type: str = ""
    last_event_id: str = ""
    retry: int | None = None
    dispatched: list[Dispatched] = field(default_factory=list)

    def line(self, line: str) -> None:
        """Follows "The stream must then be parsed by reading everything line by line."""
        if line == "":
            self.dispatch()
        elif line[0] == ":":
            pass
        elif ":" in line:
            at = line.index(":")
            name, value = line[:at], line[at + 1 :]
            if value != "" and value[0] == " ":
                value = value[1:]
            self.field(name, value)
        else:
            self.field(line, "")

    def field(self, name: str, value: str) -> None:
        """Follows "The steps to process the field given a field name and a field value."""
        if name == "event":
            self.type = value
        elif name == "data":
            self.data = self.data + value + LINE_FEED
        elif name == "id":
            if "\0" not in value:
                self.last_event_id = value
        elif name == "retry" and 0 < len(value) <= MOST_DIGITS and all(char in "0123456789" for char in value):
            self.retry = int(value)

    def dispatch(self) -> None:
        """Follows "When the user agent is required to dispatch the event."""
        if self.data != "":
            data = self.data[:-1] if self.data[-1] == LINE_FEED else self.data
            self.dispatched.append((self.type or "message", data, self.last_event_id, self.retry))
        self.data, self.type, self.retry = "", "", None


def read(stream: bytes) -> list[Dispatched]:
    text = stream.decode("utf-8", errors="replace")
    if text[:1] == "\ufeff":
        text = text[1:]
    reader, line, at = Reader(), "", 0
    while at < len(text):
        if text[at] in (LINE_FEED, CARRIAGE_RETURN):
            if text[at : at + 2] == CARRIAGE_RETURN + LINE_FEED:
                at += 1
            reader.line(line)
            line = ""
        else:
            line += text[at]
        at += 1
    # "Once the end of the file is reached, any pending data must be discarded."
    return reader.dispatched
