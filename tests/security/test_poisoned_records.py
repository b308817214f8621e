"""No record in the store can make a process import, execute or unpickle anything: Python's own audit hook tells."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from emp_core.errors import EmpError
from emp_core.janitor import Janitor
from support.serving import ANYTHING, submit

pytestmark = pytest.mark.anyio

FORBIDDEN = (
    "import",
    "compile",
    "pickle.find_class",
    "marshal.loads",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "ctypes.dlopen",
)
"""What a record must not cause. Code has to be compiled, or loaded with marshal, before it can be executed."""


class Runs:
    """What a pickle of this would do, if anybody read it."""

    def __reduce__(self):
        return (__import__, ("this_module_does_not_exist",))


POISONS = (
    pickle.dumps(Runs()),
    b'{"py/object": "os.system", "py/reduce": [{"py/function": "os.system"}, ["true"]]}',
    b"!!python/object/apply:os.system [true]",
    b'{"job_type":"os.system","handler":"os:system","type":"os.system","kind":"builtins.eval","message":"__import__(1)"}',
    b"__import__('os').system('true')",
)


class Watch:
    """What the audit hook has seen while it was to look. A hook can never be taken out again."""

    looks = False
    seen: list[str] = []  # noqa: RUF012 - one for the process, as the hook is

    @classmethod
    def hook(cls, event: str, arguments: tuple[object, ...]) -> None:
        if cls.looks and event.startswith(FORBIDDEN):
            cls.seen.append(f"{event} {arguments[0]!r}"[:200])


sys.addaudithook(Watch.hook)


@contextmanager
def watched() -> Iterator[list[str]]:
    Watch.seen = []
    Watch.looks = True
    try:
        yield Watch.seen
    finally:
        Watch.looks = False


async def read_everything(client, store, job_ids):
    """Read whatever can be read of the store, through the server and as a worker and a janitor do."""
    paths = [
        "/v1/jobs",
        "/v1/jobs?state=failed",
        "/v1/job-types",
        "/v1/workers",
        "/v1/stats",
        "/metrics",
        "/openapi.json",
        "/docs",
    ]
    paths += ["/", "/jobs", "/types", "/workers", "/v1/whoami", "/v1/job-types/any.thing", "/readyz"]
    for job_id in job_ids:
        paths += [f"/v1/jobs/{job_id}{part}" for part in ("", "/payload", "/result", "/log")]
        paths += [f"/jobs/{job_id}", f"/types/any.thing/run?like={job_id}"]
    answers = [await client.get(path) for path in paths]
    await Janitor(store).step()
    return [answer.status_code for answer in answers]


async def poison(store, job_id, with_what):
    """Write something else over what the store holds about a job, the workers, the types and the keys."""
    key, send = store._keys, store._pipeline.send
    namespace = store.api_keys._tag
    fields = [name for name in await send(("HKEYS", key("job", job_id))) if name not in {b"type", b"state"}]
    for name in (*fields, b"tags", b"digest", b"handler", b"message", b"reason", b"cancel_by"):
        await send(("HSET", key("job", job_id), name, with_what))
    for kind in ("payload", "result", "error"):
        await send(("SET", key(kind, job_id), with_what))
    for kind in ("attempts", "log"):
        await send(("RPUSH", key(kind, job_id), with_what))
    await send(("RPUSH", key("lost"), with_what))
    await send(("HSET", f"{namespace}:types", "os.system|x", b"1 " + with_what))
    await send(("HSET", f"{namespace}:keys", "0" * 12, with_what))
    await send(("PUBLISH", key("feed", "updates"), with_what))
    await send(("PUBLISH", key("feed", "workers"), with_what))


async def test_no_record_can_make_a_server_or_a_worker_import_execute_or_unpickle_anything(client, store, worker):
    warm = await submit(client)
    await worker.fail(await worker.start(ANYTHING.job_type))
    await read_everything(client, store, [warm])  # what is imported when it is first needed is imported now
    job_ids = [await submit(client) for _ in POISONS]
    for job_id, text in zip(job_ids, POISONS, strict=True):
        await poison(store, job_id, text)
    with watched() as usual:
        await read_everything(client, store, [warm])

    with watched() as seen:
        statuses = await read_everything(client, store, job_ids)
        with suppress(EmpError, ValueError):  # a record that cannot be read is not claimed
            await worker.claim(ANYTHING.job_type)

    # The framework evaluates annotations of ours now and then.
    assert not set(seen) - set(usual)
    assert not [status for status in statuses if status >= 500]


def test_the_hook_would_have_seen_it():
    with watched() as seen, pytest.raises(ModuleNotFoundError):
        pickle.loads(POISONS[0])  # noqa: S301 - that it is seen is what is tested

    assert any("find_class" in line for line in seen)
    assert any(line.startswith("import") for line in seen)
