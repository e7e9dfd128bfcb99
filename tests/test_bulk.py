"""
A side-car sends each arrival of its schedule once, counts from the moment at which it was due, and tells all of it.
"""

import itertools
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.bulk_driver import LIMIT_S, Driven, setup_for, shot
from tests.lean_server import Peer, always, serving
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT
from touchstone.loadgen import bulk_wire
from touchstone.loadgen.bulk import ORPHANED
from touchstone.loadgen.bulk_wire import BulkShot

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
STALL_S = 0.3


def silent(peer: Peer) -> None:
    """Hears and never answers."""
    peer.hear()
    peer.wait_for_end()


def test_each_arrival_is_sent_once_and_counted_in_its_second() -> None:
    """The server hears each shot as often as the schedule has it, the windows have the seconds of the schedule, and the
    reports add up to the last one.
    """
    shots = [shot(f"/{number}") for number in range(10)]
    dues = [6.9 + number / 1000 for number in range(200)]
    numbers = [number * 7 % 10 for number in range(200)]
    with serving(always(OK)) as server, Driven(setup_for(server.url, shots), dues, numbers) as side_car:
        last = side_car.go(begun_s=6.89).finish()
        heard = Counter(said for _, said in server.heard)
    assert heard == Counter(f"GET /{number}" for number in numbers)
    assert (last.scheduled, last.sent, last.done, last.unsent, last.undue, last.in_flight) == (200, 200, 200, 0, 0, 0)
    windows = Counter[tuple[int, str, str]]()
    for window in side_car.windows():
        windows[window.at_s, window.operation, window.outcome] += window.count
        assert window.response.count == window.service.count == window.late.count == window.count
        assert window.body_bytes == 5 * window.count
        assert min(window.late.min_s, window.service.min_s) >= 0
    assert windows == Counter((int(due), f"/{number}", "200") for due, number in zip(dues, numbers, strict=True))
    assert (len(side_car.looks()), side_car.seen().total()) == (10, 200)
    assert last.late_p50_s <= last.late_p99_s


def test_response_times_count_from_the_moment_an_arrival_was_due() -> None:
    """What a stalled server keeps waiting is told as response time, as the server's own clock has it; its service time
    is that of one request, and the wait for a connection is lateness.
    """
    log: list[tuple[float, float]] = []

    def script(peer: Peer) -> None:
        while peer.hear():
            heard_at = time.monotonic()
            if len(log) == 10:
                threading.Event().wait(STALL_S)
            log.append((heard_at, time.monotonic()))
            peer.say(OK)

    dues = [number / 100 for number in range(40)]
    with serving(script) as server, Driven(setup_for(server.url, [shot("/")], max_connections=1), dues) as side_car:
        last = side_car.go().finish()
    # With one connection, arrivals are served in their order, and each is heard after the one before was done.
    heard = [at - side_car.origin for at, _ in log] + [last.at_s]
    told = [at - side_car.origin for _, at in log]
    windows = list(side_car.windows())
    response_s = sum(window.response.sum_s for window in windows)
    waits_s = [max(0.0, before - due) for before, due in zip(told, dues[1:], strict=False)]
    assert sum(end - due for end, due in zip(told, dues, strict=True)) <= response_s
    assert response_s <= sum(end - due for end, due in zip(heard[1:], dues, strict=True))
    assert sum(window.late.sum_s for window in windows) >= sum(waits_s) > STALL_S
    assert max(window.service.max_s for window in windows) >= STALL_S


def test_stop_sends_no_more_and_tells_what_is_left() -> None:
    """After a stop what is under way is waited for, what waits is not sent, and what was not due yet is told apart.
    Ctrl-C, which reaches the side-car as well, is none.
    """
    answer = threading.Event()

    def script(peer: Peer) -> None:
        while peer.hear():
            answer.wait(LIMIT_S)
            peer.say(OK)

    dues = [0.0, 0.0, 0.0, 1.0, *(60.0 + number for number in range(100))]
    with serving(script) as server:
        setup = setup_for(server.url, [shot("/")], max_connections=1)
        with Driven(setup, dues) as side_car:
            side_car.go(begun_s=1.0)
            report = side_car.wait_for_report()
            assert (report.sent, report.in_flight, report.waiting, report.final) == (1, 1, 3, False)
            assert report.waited_s >= 1.0
            side_car.child.send_signal(signal.SIGINT)
            side_car.stop(grace_s=LIMIT_S)
            # It says at once what it makes of that.
            assert (side_car.wait_for_report().unsent, side_car.reports[-1].in_flight) == (3, 1)
            answer.set()
            last = side_car.finish()
    assert report.at_s < side_car.reports[1].at_s < last.at_s
    assert last.cpu_s > 0
    assert last.rss_bytes > 1_000_000
    assert (last.scheduled, last.sent, last.done, last.unsent, last.undue) == (104, 1, 1, 3, 100)
    assert side_car.outcomes() == {"/": {"200": 1, UNSENT: 3}}
    assert {(w.at_s, w.count) for w in side_car.windows() if w.outcome == UNSENT} == {(0, 2), (1, 1)}


def test_stop_blames_nobody_for_what_it_cuts_off() -> None:
    """A request that is under way when the grace of a stop is over is counted as cut off, and looks like no fault."""
    with serving(silent) as server, Driven(setup_for(server.url, [shot("/")]), [0.0]) as side_car:
        side_car.go()
        while not side_car.wait_for_report().in_flight:
            pass
        side_car.stop(grace_s=0.0)
        last = side_car.finish()
    assert (last.sent, last.done, last.unsent, last.in_flight) == (1, 1, 0, 0)
    assert (side_car.outcomes(), side_car.errors()) == ({"/": {CUT_OFF: 1}}, {})
    assert not last.looks


def test_stop_before_the_start_sends_nothing() -> None:
    """A side-car that was stopped before it was to begin ends when it is to begin."""
    with serving(always(OK)) as server, Driven(setup_for(server.url, [shot("/")]), [0.0]) as side_car:
        side_car.stop(grace_s=LIMIT_S)
        last = side_car.go().finish()
        assert server.heard == []
    assert (last.sent, last.unsent, last.undue) == (0, 0, 1)


def test_end_of_patience_ends_the_run() -> None:
    """
    When the grace after the last arrival is over, requests under way are given up, and arrivals in line are unsent.
    """
    with serving(silent) as server:
        setup = setup_for(server.url, [shot("/")], max_connections=1, grace_s=0.05)
        with Driven(setup, [0.0] * 3) as side_car:
            last = side_car.go().finish()
    assert (last.sent, last.done, last.unsent, last.in_flight) == (1, 1, 2, 0)
    assert side_car.outcomes() == {"/": {NO_ANSWER: 1, UNSENT: 2}}
    assert side_car.errors() == {"ReadTimeout: no answer yet when the run ended": 1}


def test_answers_of_all_kinds_are_told() -> None:
    """However an answer is framed, and whatever is wrong with it, its outcome, its length and its bytes are told."""
    whole = {
        "/length": OK,
        "/chunked": b"HTTP/1.1 429 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "/empty": b"HTTP/1.1 204 X\r\n\r\n",
        "/interim": b"HTTP/1.1 100 X\r\n\r\n" + OK,
        "/more": OK + b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n",
        "/garbage": b"hello\r\n\r\n",
        "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    }
    last = {"/close": b"HTTP/1.1 200 OK\r\n\r\nhello", "/short": OK[:-1], "/nothing": b""}

    def script(peer: Peer) -> None:
        while said := peer.hear():
            path = said.split()[1]
            if path in last:
                peer.say_and_close(last[path])
                return
            peer.say(whole[path])

    paths = [*whole, *last]
    with serving(script) as server:
        setup = setup_for(server.url, [shot(path, "POST") for path in paths])
        with Driven(setup, [0.0] * len(paths), range(len(paths))) as side_car:
            side_car.go().finish()
    bad = ("/garbage", "/chunks", "/short", "/nothing")
    outcomes = dict.fromkeys(paths, "200") | {"/chunked": "429", "/empty": "204"} | dict.fromkeys(bad, NO_ANSWER)
    assert side_car.outcomes() == {path: {outcome: 1} for path, outcome in outcomes.items()}
    sizes = {window.operation: window.body_bytes for window in side_car.windows()}
    assert sizes == dict.fromkeys(paths, 5) | {"/short": 4} | dict.fromkeys(("/empty", *bad[:2], *bad[3:]), 0)
    bodies = {paths[look.shot]: look.answer.body for look in side_car.looks()}
    assert bodies == {path: (b"", b"hell", b"hello")[max(0, size - 3)] for path, size in sizes.items()}
    assert {error.partition(":")[0] for error in side_car.errors()} == {"RemoteProtocolError"}
    assert side_car.errors().total() == len(bad)


def test_silence_is_given_up_and_its_connection_with_it() -> None:
    """A request that is not answered in time is counted so, and the next one goes out on another connection."""
    with serving(silent) as server:
        setup = setup_for(server.url, [shot("/")], max_connections=1, timeout_s=0.05)
        with Driven(setup, [0.0, 0.0]) as side_car:
            last = side_car.go().finish()
        assert [number for number, _ in server.heard] == [1, 2]
    assert (last.sent, last.done, last.unsent) == (2, 2, 0)
    assert side_car.errors() == {"ReadTimeout: no complete answer within 0.05 s": 2}
    assert side_car.outcomes() == {"/": {NO_ANSWER: 2}}


def test_looks_are_shown_once_and_a_key_always() -> None:
    """
    Answers that differ in Date and request id are one look, counted as often as it came; one with the key is another.
    """
    key = "sk_live_0123456789abcdef"
    numbers = itertools.count()

    def script(peer: Peer) -> None:
        while peer.hear():
            number = next(numbers)
            body = f'{{"request_id":"{key if number == 7 else f"{number:024}"}"}}'
            date = f"Thu, 26 Nov 2026 23:03:{number:02} GMT"
            peer.say(f"HTTP/1.1 404 X\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

    with serving(script) as server:
        setup = setup_for(server.url, [shot("/")], secrets=(key.encode(),), looks_per_s=0, max_connections=1)
        with Driven(setup, [number / 1000 for number in range(50)]) as side_car:
            side_car.go().finish()
    assert [look.answer.body[15:-2] for look in side_car.looks()] == [b"%024d" % 0, key.encode()]
    assert side_car.seen() == {0: 49, 1: 1}
    assert [report.unseen for report in side_car.reports if report.unseen] == []


@pytest.mark.parametrize(("method", "outcomes"), [("GET", {"200": 3}), ("POST", {"200": 2, NO_ANSWER: 1})])
def test_only_what_does_no_harm_is_sent_again(method: str, outcomes: dict[str, int]) -> None:
    """
    Where a connection that was used before is closed instead of an answer, a read is sent again, and a start never.
    """

    def script(peer: Peer) -> None:
        while peer.hear() and not (peer.number == 1 and len(peer.server.heard) == 2):
            peer.say(OK)

    with serving(script) as server:
        setup = setup_for(server.url, [shot("/", method)], max_connections=1)
        with Driven(setup, [0.0, 0.0, 0.0]) as side_car:
            last = side_car.go().finish()
        assert len(server.heard) == (4 if method == "GET" else 3)
    assert side_car.outcomes() == {"/": outcomes}
    assert (last.sent, last.done) == (3, 3)
    notes = [note for report in side_car.reports for note in report.notes]
    assert len(notes) == (method == "GET")


def test_requests_never_share_a_connection_at_a_time() -> None:
    """
    A connection carries one request at a time, no more connections are open than allowed, and arrivals take turns.
    """
    gate = threading.Barrier(3)

    def script(peer: Peer) -> None:
        while peer.hear():
            # Only when three are heard at the same time does anybody get an answer.
            gate.wait(LIMIT_S)
            peer.say(OK)

    with serving(script) as server:
        setup = setup_for(server.url, [shot(f"/{number}") for number in range(9)], max_connections=3)
        with Driven(setup, [0.0] * 9, range(9)) as side_car:
            side_car.go().finish()
        heard = server.heard
    assert {number for number, _ in heard} == {1, 2, 3}
    rounds = [{said for _, said in heard[at : at + 3]} for at in (0, 3, 6)]
    assert rounds == [{f"GET /{number}" for number in range(at, at + 3)} for at in (0, 3, 6)]


def test_connections_are_opened_ahead() -> None:
    """As many as are asked for, though one would do for what is due."""
    gate = threading.Barrier(3)

    def script(peer: Peer) -> None:
        # Nobody gets an answer before three are there.
        gate.wait(LIMIT_S)
        while peer.hear():
            peer.say(OK)

    with serving(script) as server:
        setup = setup_for(server.url, [shot("/")], ahead=3)
        with Driven(setup, [0.0]) as side_car:
            last = side_car.go().finish()
    assert (last.sent, last.done) == (1, 1)
    assert side_car.outcomes() == {"/": {"200": 1}}


@pytest.mark.parametrize("answer", [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK + b"x"])
def test_connection_is_left_after_an_answer_that_ends_it(answer: bytes) -> None:
    """
    Where the server says that no other request may follow, or sends more than an answer, the next one goes elsewhere,
    however often the same bytes come.
    """
    with serving(always(answer)) as server:
        setup = setup_for(server.url, [shot("/")], max_connections=1)
        with Driven(setup, [0.0, 0.0, 0.0]) as side_car:
            side_car.go().finish()
        assert [number for number, _ in server.heard] == [1, 2, 3]
    assert side_car.outcomes() == {"/": {"200": 3}}
    assert side_car.seen() == {0: 3}


def test_target_that_hangs_up_at_once_is_told_as_no_answer() -> None:
    """A target that closes each connection as soon as it is open keeps nobody from getting ready, nor from the end."""
    with (
        serving(lambda peer: None) as server,
        Driven(setup_for(server.url, [shot("/", "POST")]), [0.0] * 40) as side_car,
    ):
        last = side_car.go().finish()
    assert (last.sent, last.done, last.unsent) == (40, 40, 0)
    assert side_car.outcomes() == {"/": {NO_ANSWER: 40}}


@pytest.mark.parametrize("early", [False, True])
def test_request_of_any_size_is_sent_whole(early: bool) -> None:
    """
    What does not go out in one piece goes out nevertheless; an answer that does not wait for it ends the connection.
    """
    size, heard = 8_000_000, list[int]()

    def script(peer: Peer) -> None:
        if early and peer.number == 1:
            # Or all of it would be in some buffer of the system.
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sock.recv(1)
            peer.say(OK)
            peer.wait_for_end()
            return
        while peer.hear():
            heard.append(peer.number)
            peer.say(OK)

    wire = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size)
    with serving(script) as server:
        setup = setup_for(server.url, [BulkShot("/", "POST", wire)], max_connections=1)
        with Driven(setup, [0.0, 0.0]) as side_car:
            side_car.go().finish()
    assert side_car.outcomes() == {"/": {"200": 2}}
    assert heard == ([2] if early else [1, 1])


def test_target_that_is_gone_is_told_as_no_answer() -> None:
    """Where nobody listens, each arrival is counted as unanswered, with the reason, and none of them as late."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with Driven(setup_for(url, [shot("/")]), [number / 100 for number in range(20)]) as side_car:
        last = side_car.go().finish()
    assert (last.sent, last.done, last.unsent) == (20, 20, 0)
    assert side_car.outcomes() == {"/": {NO_ANSWER: 20}}
    assert side_car.errors() == {"ConnectError: Connection refused": 20}
    for window in side_car.windows():
        assert window.late.sum_s < window.response.sum_s


def test_side_car_ends_with_its_parent() -> None:
    """Once nobody holds the other end of its pipe, a side-car ends at once, whatever it was about to send."""
    with Driven(setup_for("http://127.0.0.1:1", [shot("/")]), [60.0]) as side_car:
        side_car.go()
        assert side_car.child.stdin is not None
        side_car.child.stdin.close()
        assert side_car.child.wait(LIMIT_S) == ORPHANED


def test_schedule_without_arrivals_is_over_at_once() -> None:
    """Where there is nothing to send, the final report says so."""
    with Driven(setup_for("http://127.0.0.1:1", [shot("/")]), []) as side_car:
        last = side_car.go().finish()
    assert (last.scheduled, last.sent, last.done, last.windows) == (0, 0, 0, ())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody signed, and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", "-"]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    path.write_text(path.read_text() + made.stdout)
    return path


@pytest.mark.parametrize(("trusted", "outcome", "error"), [(True, "200", ""), (False, NO_ANSWER, "ConnectError: self")])
def test_only_a_trusted_certificate_is_spoken_to(certificate: Path, trusted: bool, outcome: str, error: str) -> None:
    """With TLS answers come as without, unless nobody vouches for the server: then nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    environment = {"SSL_CERT_FILE": str(certificate)} if trusted else {}
    with serving(always(OK), context) as server:
        setup = setup_for(server.url, [shot("/")], max_connections=1)
        with Driven(setup, [0.0, 0.0], environment=environment) as side_car:
            side_car.go().finish()
        assert len(server.heard) == (2 if trusted else 0)
    assert side_car.outcomes() == {"/": {outcome: 2}}
    assert all(text.startswith(error) for text in side_car.errors())
    assert bool(side_car.errors()) == bool(error)


def test_message_that_makes_no_sense_ends_the_side_car() -> None:
    """A side-car that is told what it does not understand ends with an error, and does not go on with the rest."""
    with Driven(setup_for("http://127.0.0.1:1", [shot("/")]), []) as side_car:
        side_car.tell(bulk_wire.frame(b"?"))
        assert side_car.child.wait(LIMIT_S) not in (0, ORPHANED)
