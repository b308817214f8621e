"""What a request's headers say of its trace: by the rules of W3C Trace Context, and never an error."""

from __future__ import annotations

import pytest

from emp_core.tracing.context import STATE_LIMIT, carrier, read_trace

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def trace_of(*parents: bytes, states: tuple[bytes, ...] = ()) -> str:
    return read_trace([(b"traceparent", each) for each in parents] + [(b"tracestate", each) for each in states])


@pytest.mark.parametrize("parent", [PARENT, PARENT[:-2] + b"00", PARENT[:-2] + b"03", b" " + PARENT + b"\t"])
def test_a_valid_parent_is_read(parent):
    assert trace_of(parent) == parent.strip().decode()


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        b"garbage",
        PARENT[:-1],
        PARENT + b"0",
        PARENT + b"-more",
        PARENT.upper(),
        PARENT.replace(b"a", b"A", 1),
        b"ff" + PARENT[2:],
        b"0" + PARENT,
        b"00-" + b"0" * 32 + PARENT[35:],
        PARENT[:36] + b"0" * 16 + b"-01",
        PARENT.replace(b"-", b"_"),
        PARENT[:-2] + b"0g",
        PARENT + b"\n",
        PARENT.replace(b"7", "\u0667".encode(), 1),
        PARENT + b"\xff",
        b"00-" + b"a" * 1_000_000 + b"-b7ad6b7169203331-01",
    ],
)
def test_an_invalid_parent_is_none(parent):
    assert trace_of(parent) == ""


def test_two_parents_are_none():
    """Nobody can tell which one is meant."""
    assert trace_of(PARENT, PARENT) == ""
    assert trace_of() == ""


@pytest.mark.parametrize("more", [b"", b"-what-comes-later"])
def test_a_later_version_is_read_as_far_as_it_is_known(more):
    assert trace_of(b"cc" + PARENT[2:-2] + b"ff" + more) == PARENT.decode()


def test_a_state_is_passed_on_from_several_headers():
    read = trace_of(PARENT, states=(b"one=1, t@two=2 b", b"", b"three=3,"))

    assert read == f"{PARENT.decode()} one=1,t@two=2 b,three=3"
    assert carrier(read) == {"traceparent": PARENT.decode(), "tracestate": "one=1,t@two=2 b,three=3"}


@pytest.mark.parametrize(
    "state",
    [
        b"no equals sign",
        b"Upper=1",
        b"=1",
        b"a=",
        b"a=1,a=2",
        b"a=1=2",
        b"a=\xc3\xa4",
        b"a=\x1f",
        b"a=1;\n",
        b"a" * 300 + b"=1",
        b"a=" + b"1" * 300,
        b",".join(b"k%d=1" % at for at in range(33)),
    ],
)
def test_a_state_with_a_bad_member_is_left_out(state):
    """The parent stands all the same."""
    assert trace_of(PARENT, states=(state,)) == PARENT.decode()


def test_a_long_state_loses_its_large_members_then_its_last_ones():
    large = b"large=" + b"x" * 200
    small = [b"k%d=" % at + b"y" * 60 for at in range(10)]

    _, _, state = trace_of(PARENT, states=(large, b",".join(small))).partition(" ")

    assert len(state) <= STATE_LIMIT
    assert state.encode() == b",".join(small[:8])


def test_a_state_without_a_parent_is_none():
    assert trace_of(states=(b"a=1",)) == ""
