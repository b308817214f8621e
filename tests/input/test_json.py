"""Bodies that are no JSON, or more than JSON, wherever one is read: refused with a problem, and nothing is stored."""

from __future__ import annotations

import json

import pytest

from emp_core.ids import JobId
from support.serving import stored_jobs, submit

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

JSON = {"content-type": "application/json"}
ENVELOPE = b'{"job_type":"any.thing","payload":%s}'

NOT_JSON = {
    "nothing": b"",
    "space": b" \n",
    "not a number": b"NaN",
    "infinity": b"Infinity",
    "minus infinity": b"-Infinity",
    "plus": b"+1",
    "leading zero": b"01",
    "no digits after the point": b"1.",
    "no digits before the point": b".5",
    "no exponent": b"1e",
    "hexadecimal": b"0x1",
    "python": b"None",
    "javascript": b"undefined",
    "upper case": b"TRUE",
    "single quotes": b"'a'",
    "bare key": b"{a:1}",
    "number as key": b"{1:1}",
    "comma at the end of an array": b"[1,]",
    "comma at the end of an object": b'{"a":1,}',
    "no comma": b"[1 2]",
    "no value": b'{"a":}',
    "comment": b"[1/**/]",
    "open array": b"[1",
    "open object": b'{"a":1',
    "open string": b'"abc',
    "open escape": b'"\\',
    "unknown escape": rb'"\x41"',
    "short escape": rb'"\u12"',
    "line break in a string": b'"a\nb"',
    "tab in a string": b'"a\tb"',
    "null byte in a string": b'"a\0b"',
    "text behind it": b"1 x",
    "two values": b"1 2",
    "closing too much": b"[]]",
    "mixed brackets": b"[}",
    "invalid UTF-8": b'"\xff"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "UTF-8 of a surrogate": b'"\xed\xa0\x80"',
    "truncated UTF-8": b'"\xe2\x82"',
    "UTF-16": '"a"'.encode("utf-16"),
    "UTF-16 without a mark": '"a"'.encode("utf-16-le"),
    "byte order mark": b'\xef\xbb\xbf"a"',
    "high surrogate": rb'"\ud800"',
    "low surrogate": rb'"\udc00"',
    "surrogates the wrong way": rb'"\udc00\ud800"',
    "surrogate in a key": rb'{"\ud800":1}',
    "65 levels": b"[" * 65 + b"]" * 65,
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 levels that never close": b'{"a":' * 100_000,
    "form feed": b"\f1",
    "no-break space": "\u00a01".encode(),
}
TAKEN = {
    "null": b"null",
    "empty key": b'{"":0}',
    "repeated key of a payload": b'{"a":1,"a":2}',
    "400 digits": b"1" * 400,
    "a large exponent": b"1e308",
    "a tiny number": b"1e-400",
    "minus zero": b"-0",
    "escaped null": rb'"\u0000"',
    "a pair of surrogates": rb'"\ud83d\ude00"',
    "not a character": '"\uffff\U0010ffff"'.encode(),
    "separators of lines": '"\u2028\u2029"'.encode(),
    "63 levels": b"[" * 63 + b"]" * 63,
    "a long string": b'"' + b"a" * 1_000_000 + b'"',
    "keys of objects": b'{"__proto__":{"constructor":1}}',
}
MEMBERS = {
    "no type": (b'{"payload":1}', "/job_type"),
    "no payload": (b'{"job_type":"any.thing"}', "/payload"),
    "unknown": (b'{"job_type":"any.thing","payload":1,"prio":1}', "/prio"),
    "twice": (b'{"job_type":"any.thing","payload":1,"payload":2}', "/payload"),
    "twice, once escaped": (rb'{"job_type":"any.thing","payload":1,"payl\u006fad":2}', "/payload"),
    "a number for a name": (b'{"job_type":7,"payload":1}', "/job_type"),
    "a fraction": (b'{"job_type":"any.thing","payload":1,"priority":1.5}', "/priority"),
    "a priority beyond all": (b'{"job_type":"any.thing","payload":1,"priority":99999999999999999999}', "/priority"),
    "true as a number": (b'{"job_type":"any.thing","payload":1,"max_attempts":true}', "/max_attempts"),
    "an endless delay": (b'{"job_type":"any.thing","payload":1,"delay":1e308}', "/delay"),
    "a tag that is none": (b'{"job_type":"any.thing","payload":1,"tags":["a",null]}', "/tags/1"),
    "a tag that cannot be seen": (rb'{"job_type":"any.thing","payload":1,"tags":["a\u0007"]}', "/tags/0"),
    "inside backoff": (b'{"job_type":"any.thing","payload":1,"backoff":{"factor":1e999}}', "/backoff/factor"),
}


def is_problem(answer, status):
    """Check that an answer is a problem of a status, in the right media type."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["status"] == status
    return answer.json()


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
async def test_what_is_not_json_is_refused_at_every_door(client, store, body):
    job_id = await submit(client)
    doors = {
        "/v1/jobs": ENVELOPE % body,
        "/v1/job-types/any.thing/jobs": body,
        "/v1/job-types/any.thing/validate": body,
        f"/v1/jobs/{job_id}/cancel": b'{"why":%s}' % body,
    }

    for path, sent in doors.items():
        too_large = path.endswith("/cancel") and len(sent) > 64 * 1024
        is_problem(await client.post(path, content=sent, headers=JSON), 413 if too_large else 400)

    answer = await client.post("/v1/jobs/batch", content=b"[" + ENVELOPE % body + b"]", headers=JSON)
    assert answer.status_code in {200, 400}
    if answer.status_code == 200:
        assert [json.loads(line)["status"] for line in answer.text.splitlines()] == [400]
    assert await stored_jobs(store) == 1
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["state"] == "pending"


@pytest.mark.parametrize("payload", TAKEN.values(), ids=TAKEN)
async def test_odd_json_is_taken_and_kept_byte_for_byte(client, store, payload):
    answers = [
        await client.post("/v1/jobs", content=ENVELOPE % payload, headers=JSON),
        await client.post("/v1/job-types/any.thing/jobs", content=payload, headers=JSON),
    ]

    for answer in answers:
        assert answer.status_code == 202, answer.text
        assert await store.views.payload(JobId(answer.json()["id"])) == payload


@pytest.mark.parametrize(("body", "pointer"), MEMBERS.values(), ids=MEMBERS)
async def test_a_wrong_member_is_pointed_at(client, store, body, pointer):
    problem = is_problem(await client.post("/v1/jobs", content=body, headers=JSON), 400)

    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert await stored_jobs(store) == 0


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1" * 900, b"1" * 400 + b"e9"])
async def test_a_number_that_no_machine_holds_is_pointed_at_by_the_types_schema(client, store, number):
    answer = await client.post("/v1/job-types/text.words/jobs", content=b'{"text":%s}' % number, headers=JSON)

    problem = is_problem(answer, 422)
    assert problem["errors"][0]["pointer"] in {"/text", ""}
    assert await stored_jobs(store) == 0
