"""What follows from the exchanges of a file for the stories of versions: what was published, and what was there before.

A file shows a part of what happened to an account. So nothing is said of a version that the file does not tell.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import yaml

from touchstone.contract.event_stream import parse
from touchstone.contract.parsing import read_yaml
from touchstone.facts.exchange import Exchange
from touchstone.recordings.recording import Given, Owner

_YES, _NO = frozenset({"true", "1"}), frozenset({"false", "0"})
# Whose version it is that a key is answered about.
OWNERS: Mapping[str, Owner] = {
    "primary": "primary",
    "lowercase-scheme": "primary",
    "second": "second",
    "restricted": "restricted",
}
_TELLING = frozenset({"getBuild", "getTemplate", "startBuild", "deleteTemplate"})
_SUCCESS = range(200, 300)


def published_ref(body: bytes, answer: Mapping[str, Any]) -> str | None:
    """The version that a publish is about: by its document, or by its answer where the document does not say it.

    A document names no namespace. Where answer and document agree on the rest, the answer tells it.
    """
    answered = _text(answer.get("ref")) or None
    name, version, namespace = _named(body)
    if not name or not version or (answered and not namespace and answered.endswith(f"/{name}@{version}")):
        return answered
    return f"{namespace or 'default'}/{name}@{version}"


def noted(exchanges: Iterable[Exchange]) -> tuple[Exchange, ...]:
    """The exchanges with what is known of each publish: its query, and what it put there, for which its digest stands.

    Where nobody can know what a version held, because it changed without force, or a publish has no digest, that is
    left open for all its publishes.
    """
    exchanges = tuple(exchanges)
    open_: set[str | None] = set()
    held: dict[str | None, str] = {}
    for each in exchanges:
        if each.operation == "deleteTemplate" and each.status in _SUCCESS:
            held.pop(each.ref, None)
        if each.operation == "publishTemplate" and each.status not in range(400, 500):
            flags, digest = _flags(each.request.url), _digest(each)
            is_changed = held.get(each.ref, digest) != digest and not flags["force"]
            if not digest or is_changed or None in flags.values():
                open_.add(each.ref)
            held[each.ref] = digest or held.get(each.ref, "")
    return tuple(
        replace(each, note=_note(each, is_open=each.ref in open_)) if each.operation == "publishTemplate" else each
        for each in exchanges
    )


def given(exchanges: Iterable[Exchange]) -> tuple[Given, ...]:
    """The versions that were there before: the first answer that can tell finds them, and it is none to a publish."""
    found: dict[str, Given | None] = {}
    for exchange in exchanges:
        owner, ref = OWNERS.get(exchange.credential), exchange.ref
        if owner is None or ref is None or ref in found:
            continue
        there = _is_there(exchange)
        if there is not None:
            found[ref] = Given(ref, owner) if there else None
    return tuple(one for one in found.values() if one)


def _is_there(exchange: Exchange) -> bool | None:
    """Whether an answer tells that a version was there before it was asked for; None where it does not tell."""
    status = exchange.status
    if exchange.request.method in {"HEAD", "OPTIONS"}:
        return None
    if exchange.operation == "publishTemplate":
        return {409: True}.get(status, False if status in _SUCCESS else None)
    if exchange.operation in _TELLING:
        return True if status in _SUCCESS else False if status == 404 else None
    if exchange.operation == "cancelBuild":
        return True if status == 202 else None
    logged = exchange.operation == "streamBuildEvents" and status == 200 and exchange.response is not None
    return True if logged and exchange.response and parse(exchange.response.body).events else None


def _note(publish: Exchange, *, is_open: bool) -> dict[str, Any]:
    note: dict[str, Any] = {name: value is True for name, value in _flags(publish.request.url).items()}
    digest = _digest(publish)
    return note | ({"content": digest} if digest and not is_open else {})


def _flags(url: str) -> dict[str, bool | None]:
    """What the query of a publish asks for; None where it is no word that everybody reads alike."""
    query = parse_qs(url.partition("?")[2], keep_blank_values=True, errors="replace")
    flags: dict[str, bool | None] = {}
    for name in ("force", "auto_build"):
        values = {value.lower() for value in query.get(name, ["false"])}
        flags[name] = True if values <= _YES else False if values <= _NO else None
    return flags


def _digest(publish: Exchange) -> str:
    """The digest that an accepted publish was answered; empty for none."""
    digest = publish.body.get("digest")
    is_accepted = publish.status in _SUCCESS and publish.credential in {"primary", "second"}
    return digest if is_accepted and isinstance(digest, str) else ""


def _named(body: bytes) -> tuple[str, str, str]:
    """Name, version and namespace that a document has in it or around it; empty where it does not say, or says two."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        try:
            document = read_yaml(body)
        except yaml.YAMLError:
            document = None
    if not isinstance(document, dict):
        return "", "", ""
    inner = document.get("template")
    wrapped = isinstance(inner, dict) and "api_version" in inner
    content = inner if wrapped and isinstance(inner, dict) else document
    about = content["template"] if isinstance(content.get("template"), dict) else content
    name, version = _text(about.get("name")), _text(about.get("version"))
    if "@" in name and not version:
        name, _, version = name.partition("@")
    around = (_text(document.get("name")), _text(document.get("version"))) if wrapped else ("", "")
    if any(outer and outer != within for outer, within in zip(around, (name, version), strict=True)):
        return "", "", ""
    return name, version, _text(document.get("namespace")) if wrapped else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
