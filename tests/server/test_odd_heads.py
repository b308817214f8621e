"""However a submission's head is written, and whoever's it was before, both ways through the server answer it alike."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from emp_core.api_keys import Scope, new_key
from emp_server.connections import PatientProtocol
from support.waiting import wait_until_async
from support.wire import connected, post

from .conftest import running, stored_jobs

pytestmark = pytest.mark.anyio

OWN = re.compile(rb"(?m)^(date|location|x-request-id|content-length): .*$")
"""Headers that each answer has for itself."""
OWN_MEMBERS = re.compile(rb'"(id|request_id|created_at|urls)":("[^"]*"|{[^}]*})')
LONG = b"Prefer: handling=lenient"
"""Asks for nothing, but has to be looked at."""
HEADS = {
    "another type behind": ([b"Content-Type: text/plain"], b"application/json"),
    "the right type behind": ([b"Content-Type: application/json"], b"text/plain"),
    "a type in capitals": ([], b"APPLICATION/JSON"),
    "a charset": ([], b'application/json;charset="UTF-8"'),
    "another charset": ([], b"application/json; charset=latin-1"),
    "a tab": ([], b"\tapplication/json\t"),
    "an empty type": ([], b""),
    "no origin": ([b"Origin: null"], b"application/json"),
    "two request ids": ([b"X-Request-Id: first", b"X-Request-Id: second"], b"application/json"),
    "a request id that is none": ([b"X-Request-Id: a b"], b"application/json"),
    "bytes beyond ASCII": ([b"X-Odd: \xe4\xff"], b"application/json"),
    "an empty header": ([b"X-Odd:"], b"application/json"),
    "an upgrade": ([b"Connection: upgrade", b"Upgrade: h2c"], b"application/json"),
    "an identity": ([b"Content-Encoding: identity"], b"application/json"),
}


def told(answer):
    """Give what an answer says, without what each has for itself."""
    status, head, body = answer
    headers = sorted(OWN.sub(b"", head.replace(b"\r\n", b"\n")).split(b"\n"))
    return status, headers, OWN_MEMBERS.sub(b"", body)


@pytest.mark.parametrize(("lines", "kind"), HEADS.values(), ids=HEADS)
async def test_both_ways_read_an_odd_head_alike(server, client, lines, kind):
    assert (await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 0})).status_code == 202

    answers = []
    async with connected(server) as wire:
        # The second has the head of the first, and need not be read.
        for more in ([], [], [LONG]):
            wire.writer.write(post(*lines, *more, kind=kind))
            answers.append(told(await wire.answer()))

    assert answers[0] == answers[1] == answers[2]


async def test_a_repeated_head_whose_key_was_revoked_opens_nothing(settings, store, monkeypatch):
    heads = []
    read = PatientProtocol.on_headers_complete
    monkeypatch.setattr(PatientProtocol, "on_headers_complete", lambda self: heads.append(self.url) or read(self))
    key, text = new_key("shop", [Scope.SUBMIT])
    await store.api_keys.add(key)
    request = post(b"Authorization: Bearer " + text.encode())

    # Types are known for long, so that only the key can lead to the long way.
    with running(settings.model_copy(update={"job_types_fresh_for": timedelta(hours=1)})) as server:
        async with connected(server) as wire:

            async def status():
                wire.writer.write(request)
                return (await wire.answer())[0]

            # The first is read and has the store asked for the key, the second is read, the third is not.
            assert [await status() for _ in range(3)] == [202, 202, 202]
            assert len(heads) == 2
            assert await store.api_keys.revoke(key.key_id)

            async def refused():
                return await status() == 401

            await wait_until_async(refused)
            stored = await stored_jobs(store)
            assert [await status() for _ in range(3)] == [401, 401, 401]

    assert await stored_jobs(store) == stored
