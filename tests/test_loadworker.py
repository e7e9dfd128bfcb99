"""A worker on a machine of its own: where its master may be, and what is said where it did not do its part."""

from pathlib import Path

import pytest

from touchstone.errors import TargetError, UsageError
from touchstone.loadgen.handover import JOINED, REFUSAL
from touchstone.loadgen.runner import check_host, failure


@pytest.mark.parametrize(
    ("printed", "master", "kind", "said"),
    [
        ("Starting Locust", "127.0.0.1", TargetError, "no master at 127.0.0.1:5557; start it with --master"),
        ("Starting Locust", "mastre.invalid", UsageError, "--worker mastre.invalid: nobody knows this host"),
        (f"{JOINED}\n{REFUSAL}it came too late", "127.0.0.1", TargetError, "it came too late"),
        (JOINED, "127.0.0.1", TargetError, "Locust ended with 3; see "),
    ],
)
def test_worker_that_did_not_do_its_part_says_why(
    printed: str, master: str, kind: type[Exception], said: str, tmp_path: Path
) -> None:
    """A host that nobody knows is the caller's mistake; a master that is not there, or refuses, is nobody's."""
    log = tmp_path / "locust.log"
    log.write_text(f"{printed}\nShutting down\n", encoding="utf-8")
    error = failure(log, 3, master, 5557)
    assert (type(error), said in str(error)) == (kind, True)


@pytest.mark.parametrize(
    "host", ["master", "master.example.test", "a_b-c.test", "10.1.2.3", "::1", "fe80::1", "localhost."]
)
def test_host_may_be_a_name_or_an_address(host: str) -> None:
    """Whatever may be a host is taken, known or not."""
    check_host(host)


@pytest.mark.parametrize(
    "host", ["a b", "master:5557", "http://master", "-m", "a..b", "mästér", "x" * 254, "1.2.3.4/8"]
)
def test_what_cannot_be_a_host_is_refused(host: str) -> None:
    """A port, a URL or a slip of the fingers is told at once."""
    with pytest.raises(UsageError, match=r"^--worker '.*': no host; expected the name or the address .* into --port$"):
        check_host(host)
