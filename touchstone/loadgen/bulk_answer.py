"""Reads one answer from the bytes of a connection, in whatever pieces they come."""

from touchstone.loadgen.framing import Body, MalformedBody, body_of
from touchstone.loadgen.heads import HeadReader, head_bytes
from touchstone.target.answer import Head
from touchstone.target.bounds import DEFAULT_BOUNDS, Bounds

# A body is compared and searched for secrets up to here; of one that is longer the rest is counted only.
MAX_BODY_BYTES = 256 * 1024


class Incoming:
    """An answer that is on its way.

    Args:
        bounds: How long its body may be.

    Attributes:
        begun: Whether any byte of it has come.
        head: None until it is complete.
        head_at: When it was.
        body_bytes: Bytes of the body so far.
        rest: What came behind the end of the answer.
    """

    def __init__(self, heads: HeadReader, method: str, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self._bounds = bounds
        self._interim_bytes = 0
        self.begun = False
        self.head: Head | None = None
        self.head_at = 0.0
        self.body_bytes = 0
        self.rest = b""
        self._heads = heads
        self._method = method
        self._held = b""
        self._body: Body | None = None
        self._parts: list[bytes] = []

    @property
    def body(self) -> bytes:
        """The body so far, up to MAX_BODY_BYTES."""
        return b"".join(self._parts)

    def feed(self, data: bytes, at: float) -> bool:
        """Takes what arrived at *at*, and returns whether the answer is complete.

        Raises:
            MalformedHead: it is no answer.
            MalformedBody: its body does not keep to its framing.
        """
        self.begun = True
        if self._body is None:
            data = self._after_head(self._held + data, at)
        if self._body is None:
            self._held = data
            return False
        self._keep(self._body.feed(data))
        self.rest = self._body.rest
        return self._body.done

    def end(self) -> str:
        """
        Takes note that the server closed; returns what is wrong with that, or nothing where the answer is complete.
        """
        if self._body is None:
            return (
                "the server closed within the head of its answer"
                if self.begun
                else "the server closed without an answer"
            )
        try:
            self._body.end()
        except ValueError as error:
            return str(error)
        return ""

    def _after_head(self, data: bytes, at: float) -> bytes:
        """What comes behind the head of the answer; all of *data* where that is not complete."""
        while end := head_bytes(data):
            head = self._heads.read(data[:end], self._method)
            data = data[end:]
            # RFC 9110 15.2: any number of interim answers may come before the answer.
            if head.status >= 200:
                self.head, self.head_at, self._body = head, at, body_of(head)
                return data
            self._interim_bytes += end
            self._heads.measure(self._interim_bytes)
        if data:
            self._heads.begin(data, self._interim_bytes)
        return data

    def _keep(self, content: bytes) -> None:
        room = MAX_BODY_BYTES - self.body_bytes
        self.body_bytes += len(content)
        if self.body_bytes > self._bounds.max_body_bytes:
            raise MalformedBody(f"the body is longer than {self._bounds.told('max_body_bytes')}")
        if content and room > 0:
            self._parts.append(content[:room])
