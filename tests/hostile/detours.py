"""Flaws of redirects, certificates, clocks, and repeated keys."""

import functools
import ssl
from datetime import UTC, datetime, timedelta

import trustme

from tests.hostile.choices import JSON, every, later, reads, spelled, starts, streams, whole
from tests.hostile.line import Line, Request
from tests.hostile.server import Flaw, Scene, Serve, healthy
from tests.hostile.serving import raw, spoilt

_TYPE = ": ".join(JSON)
_FAR = "Fri, 01 Jan 2038 00:00:00 GMT"
_PAST = "Mon, 01 Jan 1990 00:00:00 GMT"


@functools.cache
def authority() -> trustme.CA:
    """The certificate authority of these servers, one per process."""
    return trustme.CA()


def _context(cert: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    return context


def _good() -> ssl.SSLContext:
    return _context(authority().issue_cert("127.0.0.1"))


def _expired() -> ssl.SSLContext:
    now = datetime.now(UTC)
    begin, end = now - timedelta(days=30), now - timedelta(days=1)
    return _context(authority().issue_cert("127.0.0.1", not_before=begin, not_after=end))


def _wrong_host() -> ssl.SSLContext:
    return _context(authority().issue_cert("elsewhere.example.test"))


def _unknown() -> ssl.SSLContext:
    return _context(trustme.CA().issue_cert("127.0.0.1"))


def _plainly(scene: Scene, line: Line) -> None:
    """Answers like a plain HTTP server that receives a TLS handshake."""
    line.any()
    line.send(whole(b"no", status="400 Bad Request"))


def _redirect(status: str, *, elsewhere: bool) -> Serve:
    def serve(scene: Scene, line: Line, request: Request) -> bool:
        place = scene.elsewhere if elsewhere else scene.server
        line.send(whole(b"", f"Location: http://{place.host}:{place.port}{request.target}", status=status))
        return True

    return serve


def _refusing(retry_after: str, date: str) -> Serve:
    body = spelled({"error": "slow down"})
    answer = whole(body, _TYPE, f"Date: {date}", f"Retry-After: {retry_after}", status="429 Too Many Requests")
    return raw(answer, closes=False)


def _dated(date: str) -> Serve:
    return spoilt(lambda reply: reply.but(("Date", date)).wire())


def _echo(scene: Scene, line: Line, request: Request) -> bool:
    """Repeats the request with its key in a header, a cookie and the body."""
    key = _key(request)
    body = spelled({"error": f"not for Bearer {key} ({key})", "headers": dict(request.headers)})
    line.send(whole(body, _TYPE, f"X-Echo: Bearer {key}", f"Set-Cookie: key={key}", status="404 Not Found"))
    return True


def _key(request: Request) -> str:
    return next((value[7:] for name, value in request.headers if name.lower() == "authorization"), "nobody")


def _as_header_name(scene: Scene, line: Line, request: Request) -> bool:
    key = _key(request)
    line.send(whole(b"{}", _TYPE, f"{key}: a", f"X-{key}-Left: 7", status="404 Not Found"))
    return True


def _coded(scene: Scene, line: Line, request: Request) -> bool:
    line.send(whole(b"{}", _TYPE, f"Content-Encoding: {_key(request)}"))
    return True


ALL = (
    Flaw("redirect-loop", "redirects each request to itself", _redirect("302 Found", elsewhere=False), every),
    Flaw("redirect-loop-reads", "the same to status reads", _redirect("307 Again", elsewhere=False), reads),
    Flaw("redirect-elsewhere", "redirects each request to another host", _redirect("307 Go", elsewhere=True), every),
    Flaw("redirect-elsewhere-reads", "the same to status reads", _redirect("308 Go", elsewhere=True), reads),
    Flaw("redirect-elsewhere-streams", "the same to build logs", _redirect("302 Go", elsewhere=True), streams),
    Flaw("tls-expired", "shows a certificate that has expired", healthy, tls=_expired),
    Flaw("tls-self-signed", "shows a certificate that nobody trusts", healthy, tls=_unknown),
    Flaw("tls-wrong-host", "shows the certificate of another host", healthy, tls=_wrong_host),
    Flaw("tls-good", "speaks TLS as it should", healthy, tls=_good),
    Flaw("tls-not-spoken", "speaks plain HTTP where TLS is expected", healthy, greets=_plainly, scheme="https"),
    Flaw("tls-only", "speaks TLS where plain HTTP is expected", healthy, tls=_good, scheme="http"),
    Flaw("clock-years-ahead", "refuses starts until a date in 2038", _refusing(_FAR, _FAR), starts),
    Flaw("retry-after-passed", "refuses starts until a date in 1990", _refusing(_PAST, _PAST), starts),
    Flaw("retry-after-astronomic", "refuses starts for 10^30 seconds", _refusing("1" + "0" * 30, _PAST), starts),
    Flaw("date-years-ahead", "sends a Date of 2038", _dated(_FAR), later),
    Flaw("key-repeated", "repeats the key in each answer to a status read", _echo, reads),
    Flaw("key-repeated-first", "the same to everything", _echo, every),
    Flaw("key-in-header-names", "names headers of status reads after the key", _as_header_name, reads),
    Flaw("key-as-coding", "says that status reads are packed in a way called like the key", _coded, reads),
)
