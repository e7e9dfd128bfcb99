"""A document is checked against HAR 1.2 as it is specified at softwareishard.com, and as browsers write it."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from touchstone.recordings import har
from touchstone.recordings.har import problems

REQUEST = "/log/entries/0/request"
RESPONSE = "/log/entries/0/response"
TIMINGS = "/log/entries/0/timings"

GONE = object()

# One entry, and no field that is optional.
MINIMAL = """
{"log": {"version": "1.2", "creator": {"name": "touchstone", "version": "0.1.0"}, "entries": [{
  "startedDateTime": "2026-03-01T09:30:00.5Z", "time": 12.5,
  "request": {"method": "GET", "url": "http://127.0.0.1:8080/builds", "httpVersion": "HTTP/1.1",
    "cookies": [], "headers": [], "queryString": [], "headersSize": -1, "bodySize": -1},
  "response": {"status": 200, "statusText": "", "httpVersion": "HTTP/1.1", "cookies": [], "headers": [],
    "content": {"size": 0, "mimeType": ""}, "redirectURL": "", "headersSize": -1, "bodySize": -1},
  "cache": {}, "timings": {"send": 0, "wait": 12, "receive": 0.5}
}]}}
"""

# Every field that the specification names.
FULL = """
{"log": {
  "version": "1.2", "comment": "",
  "creator": {"name": "touchstone", "version": "0.1.0", "comment": ""},
  "browser": {"name": "Lynx", "version": "2.9", "comment": ""},
  "pages": [{"startedDateTime": "2026-03-01T10:30:00.123+01:00", "id": "page_1", "title": "Builds",
    "pageTimings": {"onContentLoad": 10, "onLoad": -1, "comment": ""}, "comment": ""}],
  "entries": [{
    "pageref": "page_1", "startedDateTime": "2026-03-01T10:30:00.2+01:00", "time": 12.5,
    "request": {"method": "POST", "url": "http://x.test/builds?a=b", "httpVersion": "HTTP/1.1",
      "cookies": [{"name": "a", "value": "b", "comment": "", "path": "/", "domain": "x.test",
        "expires": "2026-03-08T10:30:00Z", "httpOnly": true, "secure": false}],
      "headers": [{"name": "a", "value": "b", "comment": ""}],
      "queryString": [{"name": "a", "value": "b", "comment": ""}],
      "postData": {"mimeType": "multipart/form-data", "text": "a=b", "comment": "", "params": [
        {"name": "a", "value": "b", "fileName": "a.txt", "contentType": "text/plain", "comment": ""}]},
      "headersSize": 120, "bodySize": 3, "comment": ""},
    "response": {"status": 200, "statusText": "OK", "httpVersion": "HTTP/1.1",
      "cookies": [{"name": "a", "value": "b", "comment": "", "path": "/", "domain": "x.test",
        "expires": "2026-03-08T10:30:00Z", "httpOnly": true, "secure": false}],
      "headers": [{"name": "a", "value": "b", "comment": ""}],
      "content": {"size": 1, "compression": -3, "mimeType": "text/plain", "text": "YQ==", "encoding": "base64",
        "comment": ""},
      "redirectURL": "http://x.test/", "headersSize": 99, "bodySize": 4, "comment": ""},
    "cache": {"comment": "",
      "beforeRequest": {"expires": "2026-04-01T09:30:00", "lastAccess": "2026-03-01T09:30:00", "eTag": "",
        "hitCount": 2, "comment": ""},
      "afterRequest": {"expires": "2026-04-01T09:30:00", "lastAccess": "2026-03-01T09:30:00", "eTag": "",
        "hitCount": 3, "comment": ""}},
    "timings": {"blocked": 0, "dns": -1, "connect": -1, "ssl": -1, "send": 0, "wait": 12, "receive": 0.5,
      "comment": ""},
    "serverIPAddress": "::1", "connection": "52492", "comment": ""
  }]
}}
"""

# What the network panel of Chrome exports: a page still loading, a served and a blocked request.
CHROME = """
{"log": {
  "version": "1.2", "creator": {"name": "WebInspector", "version": "537.36"},
  "pages": [{"startedDateTime": "2026-03-01T09:30:00.100Z", "id": "page_2", "title": "https://x.test/",
    "pageTimings": {"onContentLoad": 632.4310000054538, "onLoad": null}}],
  "entries": [{
    "_connectionId": "4211", "_initiator": {"type": "script", "stack": {"callFrames": []}}, "_priority": "High",
    "_resourceType": "fetch", "cache": {}, "connection": "443", "pageref": "page_2",
    "request": {"method": "POST", "url": "https://api.x.test/v1/builds?a=b", "httpVersion": "h3",
      "headers": [{"name": ":method", "value": "POST"}, {"name": "content-type", "value": "application/json"}],
      "queryString": [{"name": "a", "value": "b"}],
      "cookies": [{"name": "t", "value": "", "path": "/", "domain": "x.test", "expires": null, "httpOnly": false,
        "secure": false}],
      "headersSize": -1, "bodySize": 2, "postData": {"mimeType": "application/json", "text": "{}"}},
    "response": {"status": 201, "statusText": "", "httpVersion": "h3", "headers": [],
      "cookies": [{"name": "s", "value": "1", "domain": "x.test", "expires": "+033715-08-23T20:44:45.854Z",
        "httpOnly": true, "secure": true, "sameSite": "Lax", "partitionKey": {"topLevelSite": "https://x.test"}}],
      "content": {"size": 18, "mimeType": "application/json", "compression": 300, "text": "{}"},
      "redirectURL": "", "headersSize": 282, "bodySize": -282, "_transferSize": 0, "_error": null},
    "serverIPAddress": "[2606:2800:220:1::1]", "startedDateTime": "2026-03-01T09:30:00.504Z",
    "time": 81.76500000990927,
    "timings": {"blocked": 2.1650000114738942, "dns": -1, "ssl": -1, "connect": -1, "send": 0.137,
      "wait": 78.40299999636412, "receive": 1.0600000000000005, "_blocked_queueing": 1.7600000114738941}
  }, {
    "_initiator": null, "_priority": "Low", "_resourceType": "image", "cache": {}, "pageref": "page_2",
    "request": {"method": "GET", "url": "data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg' />",
      "httpVersion": "", "headers": [], "queryString": [], "cookies": [], "headersSize": -1, "bodySize": 0},
    "response": {"status": 0, "statusText": "", "httpVersion": "", "headers": [], "cookies": [],
      "content": {"size": 0, "mimeType": "x-unknown"}, "redirectURL": "", "headersSize": -1, "bodySize": -1,
      "_transferSize": 0, "_error": "net::ERR_BLOCKED_BY_CLIENT"},
    "serverIPAddress": "", "startedDateTime": "2026-03-01T09:30:00.610Z", "time": 0.9,
    "timings": {"blocked": 0.9, "dns": null, "ssl": -1, "connect": null, "send": 0, "wait": 0, "receive": 0,
      "_blocked_queueing": -1}
  }]
}}
"""

# What the network monitor of Firefox exports: an answer that was not modified, one from its cache, and none.
FIREFOX = """
{"log": {
  "version": "1.2", "creator": {"name": "Firefox", "version": "111.0.1"},
  "browser": {"name": "Firefox", "version": "111.0.1"},
  "pages": [{"id": "page_1", "pageTimings": {"onContentLoad": 208, "onLoad": -1},
    "startedDateTime": "2026-03-01T10:30:00.303+01:00", "title": "https://x.test/"}],
  "entries": [{
    "startedDateTime": "2026-03-01T10:30:00.303+01:00",
    "request": {"bodySize": 0, "method": "GET", "url": "https://x.test/", "httpVersion": "HTTP/2",
      "headers": [{"name": "Host", "value": "x.test"}], "cookies": [{"name": "s", "value": "1"}],
      "queryString": [], "headersSize": 625},
    "response": {"status": 304, "statusText": "Not Modified", "httpVersion": "HTTP/2", "headers": [], "cookies": [],
      "content": {"mimeType": "text/html", "size": 23866, "text": "<!doctype html>"},
      "redirectURL": "", "headersSize": 386, "bodySize": 5509},
    "cache": {"afterRequest": {"expires": "4294967295", "lastFetched": "", "fetchCount": "", "_dataSize": "",
      "_lastModified": "1680134301", "_device": ""}},
    "timings": {"blocked": -1, "dns": 0, "connect": 0, "ssl": 0, "send": 0, "wait": 6, "receive": 0},
    "time": 6, "_securityState": "secure", "serverIPAddress": "192.0.2.1", "connection": "443", "pageref": "page_1"
  }, {
    "startedDateTime": "2026-03-01T10:30:00.418+01:00",
    "request": {"bodySize": 0, "method": "GET", "url": "https://x.test/logo.png", "httpVersion": "",
      "headers": [], "cookies": [], "queryString": [], "headersSize": null},
    "response": {"status": 200, "statusText": "OK", "httpVersion": "", "headers": [], "cookies": [],
      "content": {"mimeType": "image/png", "comment": "Response bodies are not included."},
      "redirectURL": "", "bodySize": -1},
    "cache": {}, "timings": {}, "time": 0, "pageref": "page_1"
  }, {
    "startedDateTime": "2026-03-01T10:30:00.500+01:00",
    "request": {"bodySize": 0, "method": "GET", "url": "https://gone.test/", "httpVersion": "",
      "headers": [], "cookies": [], "queryString": [], "headersSize": 310},
    "response": {"status": 0, "statusText": "", "httpVersion": "", "headers": [], "cookies": [],
      "content": {"text": ""}, "redirectURL": "", "bodySize": -1},
    "cache": {}, "time": 1, "pageref": "page_1",
    "timings": {"blocked": 1, "dns": 0, "connect": 0, "ssl": -1, "send": 0, "wait": -1, "receive": -1}
  }]
}}
"""

# What mitmproxy saves: a flow whose bodies were streamed past it, and one without an answer.
MITMPROXY = """
{"log": {
  "version": "1.2", "creator": {"name": "mitmproxy", "version": "11.0.2", "comment": ""}, "pages": [],
  "entries": [{
    "startedDateTime": "2026-03-01T09:30:00.500000+00:00", "time": 12.5,
    "request": {"method": "POST", "url": "http://x.test/builds", "httpVersion": "HTTP/2.0", "cookies": [],
      "headers": [], "queryString": [], "headersSize": 45, "bodySize": 0,
      "postData": {"mimeType": "", "text": null, "params": []}},
    "response": {"status": 200, "statusText": "", "httpVersion": "HTTP/2.0", "headers": [],
      "cookies": [{"name": "a", "value": null, "path": null, "domain": null, "httpOnly": false, "secure": false}],
      "content": {"size": 0, "compression": 0, "mimeType": "", "text": null},
      "redirectURL": "", "headersSize": 48, "bodySize": 0},
    "cache": {}, "timings": {"connect": null, "ssl": null, "send": 0, "wait": 12.5, "receive": 0}
  }, {
    "startedDateTime": "2026-03-01T09:30:01+00:00", "time": 0,
    "request": {"method": "GET", "url": "http://gone.test/", "httpVersion": "HTTP/1.1", "cookies": [],
      "headers": [], "queryString": [], "headersSize": 45, "bodySize": 0},
    "response": {"status": 0, "statusText": "", "httpVersion": "", "headers": [], "cookies": [], "content": {},
      "redirectURL": "", "headersSize": -1, "bodySize": -1, "_transferSize": 0, "_error": "connection refused"},
    "cache": {}, "timings": {"connect": -1, "ssl": -1, "send": 0, "wait": 0, "receive": 0}
  }]
}}
"""


def minimal() -> dict[str, Any]:
    """A fresh copy of the shortest document."""
    document: dict[str, Any] = json.loads(MINIMAL)
    return document


def full() -> dict[str, Any]:
    """A fresh copy of the document with every field."""
    document: dict[str, Any] = json.loads(FULL)
    return document


def changed(document: dict[str, Any], pointer: str, value: object = GONE) -> dict[str, Any]:
    """The document with another value at a pointer, or without the field there."""
    result = copy.deepcopy(document)
    *steps, last = pointer.removeprefix("/").split("/")
    node: Any = result
    for step in steps:
        node = node[int(step) if isinstance(node, list) else step]
    if value is GONE:
        del node[last]
    else:
        node[int(last) if isinstance(node, list) else last] = value
    return result


def said(document: object) -> list[str]:
    """The problems of a document as they read."""
    return [str(problem) for problem in problems(document)]


def test_document_with_required_fields_only_passes() -> None:
    """Nothing is asked for beyond what the specification requires."""
    assert said(minimal()) == []


def test_document_with_every_field_passes() -> None:
    """Each field that the specification names is known with the type that it gives."""
    assert said(full()) == []


@pytest.mark.parametrize(
    "pointer",
    [
        *("/log", "/log/version", "/log/creator", "/log/entries"),
        *("/log/creator/name", "/log/creator/version", "/log/browser/name", "/log/browser/version"),
        *(f"/log/pages/0/{name}" for name in ("startedDateTime", "id", "title", "pageTimings")),
        *(f"/log/entries/0/{name}" for name in ("startedDateTime", "time", "request", "response", "cache", "timings")),
        *(f"{REQUEST}/{name}" for name in ("method", "url", "httpVersion", "cookies", "headers", "queryString")),
        *(f"{REQUEST}/{name}" for name in ("headersSize", "bodySize", "postData/mimeType", "postData/params/0/name")),
        *(f"{REQUEST}/{name}" for name in ("cookies/0/name", "cookies/0/value", "headers/0/name", "headers/0/value")),
        *(f"{REQUEST}/{name}" for name in ("queryString/0/name", "queryString/0/value")),
        *(f"{RESPONSE}/{name}" for name in ("status", "statusText", "httpVersion", "cookies", "headers", "content")),
        *(f"{RESPONSE}/{name}" for name in ("redirectURL", "headersSize", "bodySize", "content/size")),
        *(f"{RESPONSE}/{name}" for name in ("content/mimeType", "cookies/0/value", "headers/0/value")),
        *(f"/log/entries/0/cache/beforeRequest/{name}" for name in ("lastAccess", "eTag", "hitCount")),
        *(f"/log/entries/0/cache/afterRequest/{name}" for name in ("lastAccess", "eTag", "hitCount")),
        *(f"{TIMINGS}/{name}" for name in ("send", "wait", "receive")),
    ],
)
def test_required_field_that_is_missing_is_named_by_its_pointer(pointer: str) -> None:
    """Each field that the specification requires is missed where it should be, once."""
    assert said(changed(full(), pointer)) == [f"{pointer}: is missing"]


@pytest.mark.parametrize(
    ("pointer", "value", "message"),
    [
        ("/log", [], "is [], expected type object"),
        ("/log/version", 1.2, "is 1.2, expected type string"),
        ("/log/version", "2.0", "is '2.0', expected pattern ^1\\."),
        ("/log/creator", "touchstone", "is 'touchstone', expected type object"),
        ("/log/browser/version", 9, "is 9, expected type string"),
        ("/log/pages", {}, "is {}, expected type array"),
        ("/log/pages/0/pageTimings/onLoad", "late", "is 'late', expected type number, null"),
        ("/log/entries", None, "is None, expected type array"),
        ("/log/entries/0", 7, "is 7, expected type object"),
        ("/log/entries/0/time", "12", "is '12', expected type number"),
        ("/log/entries/0/time", -1, "is -1, expected minimum 0"),
        ("/log/entries/0/startedDateTime", "yesterday", "is 'yesterday', expected format date-time"),
        (
            "/log/entries/0/startedDateTime",
            "2026-03-01T09:30:00",
            "is '2026-03-01T09:30:00', expected format date-time",
        ),
        ("/log/entries/0/connection", 52492, "is 52492, expected type string"),
        ("/log/entries/0/cache", None, "is None, expected type object"),
        ("/log/entries/0/cache/afterRequest", [], "is [], expected type object, null"),
        ("/log/entries/0/cache/afterRequest/hitCount", "2", "is '2', expected type integer"),
        (f"{REQUEST}/url", "/builds", "is '/builds', expected pattern ^[A-Za-z][A-Za-z0-9+.-]*:"),
        (f"{REQUEST}/headers", {"a": "b"}, "is {'a': 'b'}, expected type array"),
        (f"{REQUEST}/headers/0/value", 3, "is 3, expected type string"),
        (f"{REQUEST}/cookies/0/expires", "soon", "is 'soon', expected format date-time"),
        (f"{REQUEST}/cookies/0/secure", "no", "is 'no', expected type boolean"),
        (f"{REQUEST}/postData/params/0/fileName", 1, "is 1, expected type string"),
        (f"{REQUEST}/bodySize", 1.5, "is 1.5, expected type integer"),
        (f"{RESPONSE}/status", "200", "is '200', expected type integer"),
        (f"{RESPONSE}/content/size", True, "is True, expected type integer"),
        (f"{RESPONSE}/content/encoding", None, "is None, expected type string"),
        (f"{RESPONSE}/redirectURL", 1, "is 1, expected type string, null"),
        (f"{TIMINGS}/dns", "", "is '', expected type number, null"),
        (f"{TIMINGS}/dns", -2, "is -2, expected minimum -1"),
        (f"{TIMINGS}/comment", 0, "is 0, expected type string"),
    ],
)
def test_wrong_value_is_reported_where_it_stands(pointer: str, value: object, message: str) -> None:
    """A value of another type, or out of its bounds, is reported once, with what was expected."""
    assert said(changed(full(), pointer, value)) == [f"{pointer}: {message}"]


def test_null_stands_for_no_redirect() -> None:
    """Charles writes it so."""
    assert said(changed(full(), f"{RESPONSE}/redirectURL", None)) == []


@pytest.mark.parametrize("phase", ["send", "wait", "receive"])
def test_phase_that_is_not_optional_must_not_be_negative(phase: str) -> None:
    """
    An answered request took some time to send, to wait for and to receive; -1 stands for unknown in other phases only.
    """
    assert said(changed(full(), f"{TIMINGS}/{phase}", -1)) == [f"{TIMINGS}/{phase}: is -1, expected minimum 0"]


@pytest.mark.parametrize("document", [None, 3, "log", [], [minimal()]])
def test_document_that_is_no_object_is_one_problem(document: object) -> None:
    """What is no object at all is said so, for the whole document."""
    assert [(problem.pointer, problem.keyword) for problem in problems(document)] == [("", "type")]


def with_fields(node: Any, fields: dict[str, Any]) -> Any:
    """A document whose objects all have further fields."""
    if isinstance(node, list):
        return [with_fields(item, fields) for item in node]
    if isinstance(node, dict):
        return {name: with_fields(value, fields) for name, value in node.items()} | fields
    return node


@pytest.mark.parametrize("value", [None, 1, "x", {"_status": {"log": []}}, [[]]])
@pytest.mark.parametrize("name", ["_custom", "sameSite"])
def test_field_that_is_not_known_is_free(name: str, value: object) -> None:
    """Custom fields begin with an underscore and browsers add some that do not: anything may be in them, everywhere."""
    assert said(with_fields(full(), {name: value})) == []


def test_problems_come_in_the_order_of_their_pointers() -> None:
    """Problems are sorted by place, and the tenth entry comes after the second one."""
    document = minimal()
    document["log"]["entries"] = [changed(document, f"{REQUEST}/url", 0)["log"]["entries"][0] for _ in range(11)]
    del document["log"]["creator"], document["log"]["entries"][2]["cache"]
    assert [problem.pointer for problem in problems(document)] == [
        *("/log/creator", "/log/entries/0/request/url", "/log/entries/1/request/url", "/log/entries/2/cache"),
        *(f"/log/entries/{number}/request/url" for number in range(2, 11)),
    ]


@pytest.mark.parametrize("document", [CHROME, FIREFOX, MITMPROXY], ids=["chrome", "firefox", "mitmproxy"])
def test_document_of_a_known_writer_passes(document: str) -> None:
    """What Chrome, Firefox and mitmproxy leave out or write as null is no problem."""
    assert said(json.loads(document)) == []


def test_what_is_excused_without_an_answer_is_required_with_one() -> None:
    """An answer that was timed has all sizes, a type, and no -1 for a phase that is not optional."""
    document = json.loads(FIREFOX)
    entry = document["log"]["entries"][2]
    entry["response"]["status"] = 200
    document["log"]["entries"] = [entry]
    assert said(document) == [
        f"{RESPONSE}/content/mimeType: is missing",
        f"{RESPONSE}/content/size: is missing",
        f"{RESPONSE}/headersSize: is missing",
        f"{TIMINGS}/receive: is -1, expected minimum 0",
        f"{TIMINGS}/wait: is -1, expected minimum 0",
    ]


def test_schema_lies_beside_the_module() -> None:
    """The format is a file of the package, so that a wheel has it and other validators can read it."""
    text = (Path(har.__file__).parent / "har.schema.json").read_text("utf-8")
    assert json.loads(text)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
