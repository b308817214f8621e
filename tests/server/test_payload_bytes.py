"""Payloads and results come out over HTTP byte for byte as they went in."""

from __future__ import annotations

import json

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from emp_core.store import Store

from .conftest import ANYTHING, Hand, RunningServer

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=10,
)


@st.composite
def json_texts(draw: st.DrawFn) -> bytes:
    """Make JSON in many spellings: white space, escapes, order."""
    spaced = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : \r\n")]))
    text = json.dumps(draw(VALUES), ensure_ascii=draw(st.booleans()), separators=spaced)
    try:
        encoded = text.encode()
        msgspec.json.decode(encoded)
    except (UnicodeEncodeError, msgspec.DecodeError):
        return b"null"
    return encoded


@pytest.fixture
def http(server: RunningServer):
    with httpx2.Client(base_url=server.url, timeout=20, trust_env=False) as http:
        yield http


@given(payload=json_texts(), typed=st.booleans())
@how(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_payload_comes_out_as_it_went_in(http: httpx2.Client, known_types: None, payload: bytes, typed: bool) -> None:
    path = f"/v1/job-types/{ANYTHING.job_type}/jobs" if typed else "/v1/jobs"
    body = payload if typed else b'{"job_type":"any.thing","payload":' + payload + b"}"

    answer = http.post(path, content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 202, answer.text
    assert http.get(f"{answer.headers['location']}/payload").content == payload


@pytest.mark.anyio
@pytest.mark.parametrize(
    "result",
    [b"null", b'{"a" : 1.0e0,  "a":2}', b"1" * 400, b'"\\u0000\\ud83d\\ude00"', b"[]", b"{}", b'{\n"a":\r\n1}'],
)
async def test_a_result_comes_out_as_the_worker_stored_it(
    client: httpx2.AsyncClient, store: Store, worker: Hand, result: bytes
) -> None:
    answer = await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})
    await worker.complete(await worker.start("any.thing"), result)

    assert (await client.get(f"{answer.headers['location']}/result")).content == result
    assert b'"result":' + result in (await client.get(answer.headers["location"])).content
