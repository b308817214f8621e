"""The store's format number: who gives it, who refuses it, and that a refusal changes nothing."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from emp_core.errors import StoreUnavailable
from emp_core.ids import new_job_id
from emp_core.jobs import Idempotency, OnWorkerLost, Submission
from emp_core.store import needs_other_release
from emp_core.store.format import NEWEST_FORMAT, OLDEST_FORMAT, is_known

from .conftest import REAL_SCRIPTS, Engine

pytestmark = pytest.mark.anyio

OTHERS = {
    "newer": str(NEWEST_FORMAT + 1),
    "older": str(OLDEST_FORMAT - 1),
    "no number": "nonsense",
    "empty": "",
    "huge": "9" * 400,
    "a fraction": f"{OLDEST_FORMAT}.5",
    "a leading zero": f"0{OLDEST_FORMAT}",
}


async def dump(engine: Engine) -> dict[str, bytes]:
    """Return every key of the namespace as the store serializes it."""
    return {key: await engine.client.dump(key) for key in await engine.all_keys()}


@pytest.mark.parametrize("first", ["submit", "register", "sweep", "initialize"])
async def test_the_first_write_gives_a_new_store_the_oldest_format(engine: Engine, first: str) -> None:
    """A rolling upgrade begins on a store that both releases know."""
    if first == "submit":
        await engine.submit()
    elif first == "register":
        await engine.worker()
    elif first == "sweep":
        await engine.sweep()
    else:
        await engine.store.initialize()

    assert await engine.client.get(engine.keys("format")) == str(OLDEST_FORMAT).encode()


async def test_a_read_gives_a_new_store_no_format(engine: Engine) -> None:
    """Looking at an empty store changes nothing in it."""
    await engine.store.measures.measure()

    assert not await engine.all_keys()


@pytest.mark.parametrize("number", OTHERS.values(), ids=OTHERS)
def test_python_knows_the_numbers_that_the_scripts_know(number: str) -> None:
    """One rule in both languages: another would leave a store that one of them accepts."""
    assert not is_known(number.encode())
    assert all(is_known(str(known).encode()) for known in range(OLDEST_FORMAT, NEWEST_FORMAT + 1))


@pytest.mark.parametrize("number", OTHERS.values(), ids=OTHERS)
async def test_every_script_refuses_another_format_and_changes_nothing(engine: Engine, number: str) -> None:
    """A process of another release does nothing to the store."""
    await engine.claimed()
    await engine.client.set(engine.keys("format"), number)
    before = await dump(engine)

    for script in REAL_SCRIPTS:
        if script.name != "announce":  # it works on the namespace, which has no format
            item = ("1",) * len(script.fields)
            command = script.command(engine.keys.tag, dict.fromkeys(script.arguments, "1"), [item] if item else ())
            with pytest.raises(ResponseError, match="EMPFORMAT"):
                await engine.client.execute_command("EVAL", script.text, *command[2:])

    assert await dump(engine) == before


async def test_a_call_on_another_format_says_what_to_do(engine: Engine) -> None:
    """Every way into the store raises the same error."""
    await engine.client.set(engine.keys("format"), OTHERS["newer"])

    for call in (engine.store.jobs.submit([Submission(new_job_id(), "a.type", b"1")]), engine.store.identify()):
        with pytest.raises(StoreUnavailable, match=r"this release works with formats") as refused:
            await call
        assert needs_other_release(refused.value)
        assert refused.value.may_have_run is False


async def test_the_format_rises_when_something_new_is_first_used(engine: Engine) -> None:
    """Not when a newer process works on the store, and not by a submission that is refused."""
    await engine.submit()
    await engine.worker()
    before = await engine.client.get(engine.keys("format"))

    await engine.submit(on_worker_lost=OnWorkerLost.FAIL)
    await engine.submit()

    assert (before, await engine.client.get(engine.keys("format"))) == (b"1", b"2")


async def test_a_submission_that_is_refused_raises_no_format(engine: Engine) -> None:
    """What was not stored is no use of it."""
    key = Idempotency("", "k", "d")
    await engine.submit(idempotency=key)

    await engine.submit(idempotency=key, on_worker_lost=OnWorkerLost.FAIL)

    assert await engine.client.get(engine.keys("format")) == b"1"


@pytest.mark.parametrize("key", ["epoch", "seq"])
async def test_a_store_of_before_the_number_is_refused(engine: Engine, key: str) -> None:
    """An older server has counted submissions there, or an older worker has registered."""
    await engine.client.set(engine.keys(key), "1")

    with pytest.raises(StoreUnavailable, match="emp store migrate"):
        await engine.submit()


@pytest.mark.parametrize("kind", ["list", "hash"])
async def test_a_format_of_a_wrong_type_is_refused(engine: Engine, kind: str) -> None:
    """A damaged number is no number: what the records mean is not known."""
    if kind == "list":
        await engine.client.rpush(engine.keys("format"), "1")
    else:
        await engine.client.hset(engine.keys("format"), "a", "1")

    with pytest.raises(StoreUnavailable, match="unreadable"):
        await engine.submit()
