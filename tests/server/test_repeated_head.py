"""A head is known again where it differs from the last one in its length alone."""

from __future__ import annotations

import pytest

from emp_server.repeated_head import RepeatedHead
from support.wire import post

HEADERS = {b"host": b"localhost"}


def known(request: bytes) -> RepeatedHead:
    head = RepeatedHead.of(request, HEADERS)
    assert head is not None
    return head


@pytest.mark.parametrize("body", [b"", b"1", b"x" * 9, b"x" * 10, b"x" * 60_000, b"\r\n\r\n"], ids=len)
def test_the_same_head_with_a_body_of_any_length_is_known(body):
    head = known(post(b"X-After: 1"))

    assert head.body_of(post(b"X-After: 1", body=body)) == body
    assert head.headers is HEADERS


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"X-After: 2"),
        post(b"X-After: 1", b"X-More: 1"),
        post(),
        post(b"X-After: 1", kind=b"application/jsonx"),
        post(b"X-After: 1", path=b"/v1/jobs/batch"),
        post(b"X-After: 1") + post(b"X-After: 1"),
        post(b"X-After: 1")[:-1],
        post(b"X-After: 1", body=b"", length=5),
        post(b"X-After: 1", body=b"12345", length=4),
        post(b"X-After: 1").replace(b"Length: ", b"Length: +"),
        post(b"X-After: 1").replace(b"Length: ", b"Length:  "),
        post(b"X-After: 1").replace(b"Length: 36", b"Length: 36 "),
        post(b"X-After: 1").replace(b"Length: 36", b"Length: "),
        post(b"X-After: 1").replace(b"Length: 36", b"Length: 0000000000036"),
        post(b"X-After: 1").replace(b"\r\n", b"\n"),
        b"",
        b"POST",
    ],
    ids=range(17),
)
def test_all_else_is_read(request_bytes):
    assert known(post(b"X-After: 1")).body_of(request_bytes) is None


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\nContent-Length: 5\r\n",
        post(b"X: " + b"a" * 5000),
        post()[:60],
    ],
    ids=["chunked", "no length", "long", "cut"],
)
def test_a_head_without_a_length_or_of_great_length_is_not_remembered(request_bytes):
    assert RepeatedHead.of(request_bytes, HEADERS) is None
