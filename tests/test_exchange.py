"""What is read of a body is remembered, and no more of it than fits."""

import tracemalloc

from touchstone.facts.exchange import Response


def test_body_is_read_once() -> None:
    """Rules ask for the same body one after the other, whoever holds it."""
    for body in (b'{"status": "ready"}', b'{"status": "%s"}' % (b"y" * 10_000)):
        assert Response(200, body=body).json_object() is Response(200, body=bytes(bytearray(body))).json_object()


def test_few_long_bodies_are_remembered() -> None:
    """JSON takes many times its length once it is read, and a target may make each body unlike all others."""
    many = b"[" + b"{}," * 10_000 + b"{}]"
    tracemalloc.start()
    try:
        for number in range(100):
            assert Response(200, body=b'{"a": %d, "b": %s}' % (number, many)).json_object()
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A hundred of them take 70 MB.
    assert held_bytes < 12_000_000
