"""What a server shows of itself: each function leads it into a situation and returns what was answered there.

What differs from run to run is taken out, so that two servers that behave alike show the same.
"""

import re
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.twin.conftest import PRIMARY, RESTRICTED, SECOND, Api, document

Shown = tuple[Any, ...]
PATH = "/templates/default/demo/1.0.0"

# A log that is still open after this long does not close by itself.
STILL_OPEN_S = 0.5


def answer(response: httpx.Response) -> Shown:
    """Status, telling headers and body, without times and identifiers."""
    headers = {key for key in response.headers if key in ("allow", "www-authenticate", "x-request-id", "retry-after")}
    return response.status_code, frozenset(headers), steady(response.text)


def steady(text: str) -> str:
    """A text without what differs from run to run."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "some id", text)
    text = re.sub(r'("build_time_ms": ?)\d+', r"\1some", text)
    return re.sub(r'("published": ?")([^"]+)', lambda found: found[1] + re.sub(r"\d", "0", found[2]), text)


def life(api: Api) -> list[Shown]:
    """A version is published, built, read, started again, published again, and read."""
    told = [answer(api.publish()), answer(api.start())]
    api.http.get(f"{PATH}/build/events")
    return [
        *told,
        answer(api.status()),
        answer(api.start()),
        answer(api.status()),
        answer(api.publish()),
        answer(api.publish(query="?auto_build=true")),
        answer(api.template()),
        answer(api.cancel()),
    ]


def log(api: Api) -> Shown:
    """The log of a build that is over, byte for byte."""
    api.publish("demo", "echo one")
    api.start()
    until_over(api)
    response = api.http.get(f"{PATH}/build/events")
    return response.status_code, re.sub(rb"\d", b"0", response.content)


def failure(api: Api) -> Shown:
    """The status and the last frame of a build that failed."""
    api.publish("demo", "exit 1")
    api.start()
    text = api.http.get(f"{PATH}/build/events").text
    return answer(api.status()), re.sub(r"\d", "0", text.strip().rsplit("\n\n", 1)[-1])


def refusals(api: Api) -> list[Shown]:
    """All kinds of answers that say no."""
    api.http.post("/templates", json=document())
    calls = [
        ("GET", "/templates/default/unknown/1.0.0/build", PRIMARY),
        ("GET", "/templates/default/unknown/1.0.0/build/events", PRIMARY),
        ("DELETE", "/templates/default/unknown/1.0.0/build", PRIMARY),
        ("DELETE", f"{PATH}/build", PRIMARY),
        ("PUT", f"{PATH}/build", PRIMARY),
        ("HEAD", f"{PATH}/build", PRIMARY),
        ("GET", "/templates/default/demo/1.0/build", PRIMARY),
        ("GET", "/templates/default/given/1.0.0/build", PRIMARY),
        ("GET", f"{PATH}/build", "sk_live_nobody"),
        ("POST", "/templates/default/unknown/1.0.0/build", RESTRICTED),
        ("GET", "/templates/default/legacy-demo/1.0.0/build", RESTRICTED),
        ("GET", "/templates/system/openclaw/1.0.0", RESTRICTED),
        ("POST", "/templates/system/openclaw/1.0.0/build", PRIMARY),
    ]
    told = [api.http.request(m, path, headers={"Authorization": f"Bearer {key}"}) for m, path, key in calls]
    told.append(api.http.get(f"{PATH}/build", headers={"Authorization": "Basic abc"}))
    told.append(httpx.get(f"{api.url}{PATH}/build"))
    told.append(api.http.post("/templates", json={"api_version": "orgo.ai/v1", "template": {}}))
    return [answer(response) for response in told]


def wire(api: Api) -> Shown:
    """The head of an answer and its body as they were sent."""
    api.publish()
    response = api.status()
    log_type = api.http.get("/templates/system/openclaw/1.0.0/build/events").headers["content-type"]
    return [pair for pair in response.headers.raw if pair[0].lower() != b"date"], response.text, log_type


def chunks(api: Api) -> list[int]:
    """The sizes of the pieces that the log of a build that runs is sent in."""
    api.publish()
    api.start()
    place = urlsplit(api.url)
    head = f"GET {place.path}{PATH}/build/events HTTP/1.1\r\nHost: {place.netloc}\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=20) as wire_end:
        wire_end.sendall(f"{head}Authorization: Bearer {PRIMARY}\r\nConnection: close\r\n\r\n".encode())
        text = b"".join(iter(lambda: wire_end.recv(65536), b""))
    return [int(size, 16) for size in re.findall(rb"\r\n([0-9a-f]+)\r\n", text)]


def busy(api: Api) -> list[Shown]:
    """A version is started twice, cancelled twice, and started again before the cancelled build has settled."""
    api.publish()
    return [answer(call()) for call in (api.start, api.start, api.cancel, api.cancel, api.start, api.status)]


def replaced(api: Api) -> list[Shown]:
    """A version is replaced while it builds, and one is deleted while it builds and published again."""
    api.publish()
    api.start()
    api.publish("other", "echo other")
    api.start("other")
    told = [answer(api.publish("demo", "echo anew", query="?force=true")), answer(api.delete("other"))]
    api.publish("other", "echo other")
    return [*told, answer(api.status("other"))]


def afterlife(api: Api) -> Shown:
    """A version that was built is deleted, published again, and started."""
    api.publish()
    api.start()
    until_over(api)
    api.delete()
    api.publish()
    return answer(api.start())


def cancelled(api: Api) -> list[str]:
    """A version fails, is started again and cancelled; another one is cancelled without having failed before."""
    told = []
    for name, pause, step in (("failing", "sleep 0.5", "exit 1"), ("good", "sleep 600", "echo good")):
        api.publish(name, pause, step)
        if name == "failing":
            api.start(name)
            until_over(api, name)
        api.start(name)
        api.cancel(name)
        until_over(api, name)
        told.append(api.status(name).json()["status"])
    return told


def cancelled_log(api: Api) -> bool:
    """Whether the log of a cancelled build ends before the build has settled."""
    api.publish()
    api.start()
    api.cancel()
    return closes(api)


def lingering_log(api: Api) -> bool:
    """Whether the log of a build ends when there is nothing more to say."""
    api.publish()
    api.start()
    return closes(api)


def closes(api: Api) -> bool:
    """Whether a log ends within a time, whatever it says."""
    try:
        api.http.get(f"{PATH}/build/events", timeout=STILL_OPEN_S)
    except httpx.ReadTimeout:
        return False
    return True


def end(api: Api) -> str:
    """The status right after the log has ended."""
    api.publish()
    api.start()
    api.http.get(f"{PATH}/build/events")
    return str(api.status().json()["status"])


def too_slow(api: Api) -> str:
    """The status of a build that ran out of time."""
    api.publish("demo", "sleep 600")
    api.start()
    until_over(api)
    return str(api.status().json()["status"])


def secret(api: Api) -> str:
    """The status of a build whose document refers to a secret."""
    env = {"env": {"TOKEN": {"secret": "token"}}, "secrets": [{"name": "token"}]}
    api.http.post("/templates", json=document() | env).raise_for_status()
    api.start()
    until_over(api)
    return str(api.status().json()["status"])


def times(api: Api) -> bool:
    """Whether all build times are whole hundredths of a second."""
    told = []
    for number in range(8):
        api.publish(f"demo-{number}")
        api.start(f"demo-{number}")
        until_over(api, f"demo-{number}")
        told.append(api.status(f"demo-{number}").json()["build_time_ms"])
    return all(build_time_ms % 10 == 0 for build_time_ms in told)


def neighbours(api: Api) -> str:
    """The status of a build that takes longer when one that was started after it is over."""
    api.publish("longer", "sleep 0.7")
    api.publish("shorter")
    api.start("longer")
    api.start("shorter")
    until_over(api, "shorter")
    return str(api.status("longer").json()["status"])


def shared(api: Api) -> Shown:
    """An account starts what another one has built."""
    api.publish()
    api.start()
    until_over(api)
    other = Api(api.url, SECOND)
    other.publish()
    told = answer(other.start()), answer(other.status()), answer(other.cancel())
    other.http.close()
    return told


def namespaces(api: Api) -> str:
    """The ref of a document that asks for a namespace."""
    envelope = {"namespace": "team", "name": "demo", "version": "1.0.0", "template": document()}
    return str(api.http.post("/templates", json=envelope).json()["ref"])


def envelopes(api: Api) -> list[Shown]:
    """A document is published as it is, and another one in an envelope."""
    envelope = {"namespace": "default", "name": "other", "version": "1.0.0", "template": document("other")}
    return [answer(api.publish()), answer(api.http.post("/templates", json=envelope))]


def reads(api: Api) -> list[int]:
    """The status codes of several reads in a row."""
    return [api.status().status_code for _ in range(6)]


def limited(api: Api) -> list[Shown]:
    """Two starts in a row."""
    api.publish()
    return [answer(api.start()), answer(api.start())]


def full(api: Api) -> Shown:
    """A publish with auto_build while another version builds."""
    api.publish("first")
    api.start("first")
    return answer(api.publish("demo", query="?auto_build=true"))


def until_over(api: Api, name: str = "demo") -> None:
    """Waits for the end of a build, whether or not its log can be read."""
    while api.status(name).json()["status"] == "building":
        api.http.get(f"/templates/default/{name}/1.0.0/build/events")
