"""The body of a submission is read strictly, with the place of what is wrong, and the payload is left as it came."""

from __future__ import annotations

import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emp_core.errors import InvalidRequest, TooLarge
from emp_server.envelope import parse_batch_item, parse_envelope, parse_options, parse_payload, split_batch
from emp_server.strict_json import DEPTH_LIMIT


def envelope(payload: bytes = b"1", rest: bytes = b"") -> bytes:
    return b'{"job_type":"a","payload":' + payload + rest + b"}"


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b'{"a": 1,  "a" :2}',
        b"1e999",
        b"1" * 400,
        b'"\\u0000"',
        b'"\\ud83d\\ude00"',
        b'"\\\\ud800"',
        '"żółć \u2028 😀"'.encode(),
        b'"' + b"x" * 1_000_000 + b'"',
        nested(DEPTH_LIMIT - 1),
        b"[" + b'"[[[\\"[",' * 100 + b"[],{}]",
        b'["][","[",{"[":"]"}]',
    ],
    ids=lambda payload: payload[:20].decode(),
)
def test_a_payload_is_kept_byte_for_byte(payload):
    assert bytes(parse_envelope(envelope(payload)).payload) == payload
    assert parse_payload(payload) == payload


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "is empty"),
        (b"[]", "Expected `object`"),
        (b"{", "before it is whole"),
        (envelope(b"NaN"), "byte 26"),
        (envelope(b"-Infinity"), "byte 27"),
        (envelope(b"[1,]"), "byte 29"),
        (envelope(b"01"), "byte 27"),
        (envelope(b"'a'"), "byte 26"),
        (envelope(b'"\xff"'), "byte 27"),
        (b'{"job_type":"\xff","payload":1}', "byte 13"),
        (envelope(b'"\xed\xa0\x80"'), "byte 27"),
        (envelope(b'"\\ud800"'), "character 27"),
        (envelope(b'"\\udc00\\ud800"'), "character 27"),
        (envelope(b'"\\ud83d\\ud83d\\ude00"'), "character 27"),
        (envelope(b'"a\nb"'), "byte 28"),
        (envelope() + b" x", "trailing"),
        (b"\xef\xbb\xbf" + envelope(), "byte order mark"),
        (envelope().decode().encode("utf-16"), "byte order mark"),
        (envelope().decode().encode("utf-16-be"), "byte 0"),
        (envelope(nested(DEPTH_LIMIT)), "deeper than 64"),
        (envelope(nested(100_000)), "deeper than 64"),
        (envelope(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "deeper than 64"),
    ],
)
def test_a_malformed_body_is_refused_with_the_place(body, place):
    with pytest.raises(InvalidRequest) as refused:
        parse_envelope(body)

    assert place in refused.value.detail


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"{}", "/job_type"),
        (b'{"job_type":"a"}', "/payload"),
        (b'{"job_type":1,"payload":1}', "/job_type"),
        (envelope(rest=b',"colour":1'), "/colour"),
        (envelope(rest=b',"a/b~c":1'), "/a~1b~0c"),
        (envelope(rest=b',"id":"x"'), "/id"),
        (envelope(rest=b',"state":"completed"'), "/state"),
        (envelope(rest=b',"token":"x"'), "/token"),
        (envelope(rest=b',"priority":"1"'), "/priority"),
        (envelope(rest=b',"priority":true'), "/priority"),
        (envelope(rest=b',"priority":1.5'), "/priority"),
        (envelope(rest=b',"priority":1001'), "/priority"),
        (envelope(rest=b',"priority":-1001'), "/priority"),
        (envelope(rest=b',"priority":' + b"9" * 400), "/priority"),
        (envelope(rest=b',"delay":1e999'), "/delay"),
        (envelope(rest=b',"delay":true'), "/delay"),
        (envelope(rest=b',"delay":[]'), "/delay"),
        (envelope(rest=b',"max_attempts":0'), "/max_attempts"),
        (envelope(rest=b',"max_attempts":1001'), "/max_attempts"),
        (envelope(rest=b',"backoff":5'), "/backoff"),
        (envelope(rest=b',"backoff":{"jitter":2}'), "/backoff/jitter"),
        (envelope(rest=b',"backoff":{"factor":0.5}'), "/backoff/factor"),
        (envelope(rest=b',"backoff":{"faktor":2}'), "/backoff/faktor"),
        (envelope(rest=b',"tags":"x"'), "/tags"),
        (envelope(rest=b',"tags":["x",1]'), "/tags/1"),
        (envelope(rest=b',"tags":[""]'), "/tags/0"),
        (envelope(rest=b',"tags":["' + b"x" * 65 + b'"]'), "/tags/0"),
        (envelope(rest=b',"tags":[' + b",".join([b'"x"'] * 17) + b"]"), "/tags"),
    ],
)
def test_a_wrong_member_is_refused_with_a_pointer_to_it(body, pointer):
    with pytest.raises(InvalidRequest) as refused:
        parse_envelope(body)

    assert refused.value.pointer == pointer


@pytest.mark.parametrize(
    "body",
    [
        b'{"job_type":"a","job_type":"a","payload":1}',
        b'{"payload":1,"payload":1,"job_type":"a"}',
        b'{"job_type":"a","payload":1,"payload":1}',
        b'{"job_type":"a","payload":12,"payload":1}',
        b'{"job_type":"a","payload":1,"priority":1,"priority":1}',
        b'{"job_type":"a","payload":1,"job_type":"a"}',
        b'{"payload":12,"payload":1,"job_type":"a"}',
        b'{"payload":1,"job_type":"a","payload":12}',
        b'{"payload":"a\\",\\"b","payload":"a","job_type":"a"}',
        b'{"payload":{"x":1},"job_type":"a","payload":{}}',
        b'{"payload":[],"job_type":"a","payload":[[]]}',
        b' { "job_type" : "a" , "p\\u0061yload" : 1 , "payload" : 1 } ',
        envelope(rest=b',"backoff":{"base":1,"base":2}'),
        envelope(rest=b',"tags":[],"tags":[]'),
    ],
)
def test_a_key_of_the_envelope_that_comes_twice_is_refused(body):
    with pytest.raises(InvalidRequest, match="comes twice"):
        parse_envelope(body)


@given(
    payload=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    indent=st.sampled_from([None, 0, 3]),
    ascii_only=st.booleans(),
    first=st.booleans(),
)
def test_whatever_json_comes_as_a_payload_is_found_whole(payload, indent, ascii_only, first):
    try:
        text = json.dumps(payload, indent=indent, ensure_ascii=ascii_only).encode()
        msgspec.json.decode(text)
    except (UnicodeEncodeError, msgspec.DecodeError):  # halves of surrogate pairs and too large numbers are not sound
        return
    members = [b'"payload" : ' + text, b'"job_type":"a"']
    body = b"{ " + b" , ".join(members if first else members[::-1]) + b"}"

    assert bytes(parse_envelope(body).payload) == text


@given(st.binary(max_size=200))
def test_no_bytes_end_in_anything_but_an_envelope_or_a_refusal(body):
    for parse in (parse_envelope, parse_batch_item, parse_payload):
        try:
            parse(body)
        except InvalidRequest:
            continue


def test_a_refusal_does_not_quote_the_client_at_length():
    with pytest.raises(InvalidRequest) as refused:
        parse_envelope(envelope(rest=b',"' + b"x" * 100_000 + b'":1'))

    assert len(json.dumps(refused.value.members())) < 1500


def test_a_payload_alone_loses_only_the_space_around_it():
    assert parse_payload(b' {"a": 1}\n') == b'{"a": 1}'


def test_options_of_a_query_are_text():
    options = parse_options({"priority": "3", "delay": "1.5", "backoff": '{"base":1}', "tags": ["a", "b"]})

    assert (options.priority, options.delay, options.tags) == (3, "1.5", ("a", "b"))
    assert options.backoff is not None
    assert options.backoff.base == 1


@pytest.mark.parametrize(
    "query", [{"prio": "1"}, {"priority": "x"}, {"priority": "5000"}, {"backoff": "{"}, {"max_attempts": "1.5"}]
)
def test_a_wrong_option_in_a_query_is_refused(query):
    with pytest.raises(InvalidRequest, match="the query"):
        parse_options(query)


def test_a_batch_is_an_array_or_lines():
    assert split_batch(b'[{"a":1}, 2 ]', 2, lines=False) == [b'{"a":1}', b"2"]
    assert split_batch(b'{"a":1}\n\n2\r\n', 3, lines=True) == [b'{"a":1}', b"2\r"]


@pytest.mark.parametrize(("body", "lines"), [(b"[1, 2, 3]", False), (b"1\n2\n3", True), (b"1\n\n3\n", True)])
def test_a_batch_over_the_limit_is_refused(body, lines):
    split_batch(body, 3, lines=lines)

    with pytest.raises(TooLarge) as refused:
        split_batch(body, 2, lines=lines)

    assert refused.value.limit == 2


@pytest.mark.parametrize(
    ("body", "lines"), [(b"[" + b"0," * 500_000 + b"0]", False), (b"0\n" * 500_000, True)], ids=["array", "lines"]
)
def test_a_batch_over_the_limit_is_not_cut_to_its_end(body, lines):
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            split_batch(body, 1000, lines=lines)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 3 * len(body)


def test_a_batch_that_is_no_array_is_refused():
    with pytest.raises(InvalidRequest, match="Expected `array`"):
        split_batch(b"{}", 2, lines=False)
