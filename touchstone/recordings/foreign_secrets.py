"""
Takes out of the exchanges of a file what must not be kept: its keys by the names of their accounts, and its cookies.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from touchstone.facts.exchange import Exchange, Request
from touchstone.recordings.foreign_entry import Entry, Headers
from touchstone.target.redact import REDACTED, Secrets

# A shorter key without a digit, or a shorter cookie, may be a word, and marking that would spoil the evidence.
_SHORT_KEY, _SHORT_COOKIE = 12, 16
_COOKIE, _ANY = re.compile(r"<key:cookie-[a-z0-9-]*>"), re.compile(r"<key:[^<>]*>")
# What holds documents, and what their builds print: a key in there is one that a user wrote.
_QUOTING = frozenset({"publishTemplate", "getTemplate", "streamBuildEvents"})
_PAIR = re.compile(r"[^=;,\s]+=\"?([^;\"]+)")


class Marks:
    """What to mark in exchanges.

    Args:
        keys: Name and value of each key; several may have one name.
        entries: Whose cookies are secret.
    """

    def __init__(self, keys: Iterable[tuple[str, str]], entries: Iterable[Entry]) -> None:
        rounds: list[dict[str, str]] = [{}]
        telling = [(name, key) for name, key in keys if len(key) >= _SHORT_KEY or re.search(r"\d", key)]
        cookies = dict.fromkeys(value for entry in entries for value in _cookies(entry))
        telling += [(f"cookie-{number}", value) for number, value in enumerate(cookies)]
        # Longer ones go first: one may begin with another.
        for name, value in sorted(telling, key=lambda pair: -len(pair[1])):
            free = next((each for each in rounds if name not in each), None)
            if free is None:
                rounds.append(free := {})
            free[name] = value
        # Sessions of one account are alike in most of their characters, and each is marked whole.
        self._rounds = tuple(Secrets(each, parts=False) for each in rounds)

    def mark(self, exchange: Exchange) -> Exchange:
        """The exchange with a marker in the place of each key.

        Of a cookie, and of a key that stands in a document, nobody needs to know which one it was.
        """
        sent, response = exchange.request, exchange.response
        gone = _ANY if exchange.operation in _QUOTING else _COOKIE
        method, url = self._text(sent.method), self._text(sent.url)
        request = Request(method, url, self._headers(sent.headers), self._data(sent.body, gone))
        if response:
            body = self._data(response.body, gone if response.status < 400 else _COOKIE)
            # A stream has come in one piece; it is cut into frames when it is cleaned.
            chunks = tuple(replace(chunk, data=body) for chunk in response.chunks)
            response = replace(response, headers=self._headers(response.headers), body=body, chunks=chunks)
        ref, error = exchange.ref and self._text(exchange.ref), self._text(exchange.error)
        return replace(exchange, ref=ref, request=request, response=response, error=error)

    def _headers(self, pairs: Headers) -> Headers:
        # Any one of them takes out what is known to be a credential by its header.
        return self._rounds[0].headers((self._text(name), self._text(value)) for name, value in pairs)

    def _text(self, text: str) -> str:
        for secrets in self._rounds:
            text = secrets.text(text)
        return _COOKIE.sub(REDACTED, text)

    def _data(self, data: bytes, gone: re.Pattern[str]) -> bytes:
        for secrets in self._rounds:
            data = secrets.data(data)
        # Latin-1 gives each byte a letter, so that bytes of any encoding come back as they were.
        return gone.sub(REDACTED, data.decode("latin-1")).encode("latin-1")


def _cookies(entry: Entry) -> list[str]:
    answered = entry.response.headers if entry.response else ()
    headers = [value for name, value in (*entry.headers, *answered) if name.lower() in {"cookie", "set-cookie"}]
    return [value for header in headers for value in _PAIR.findall(header) if len(value) >= _SHORT_COOKIE]
