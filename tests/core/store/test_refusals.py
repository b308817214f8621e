"""Each way in which a store fails us, on a real store that is brought into that state: what EMP makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import redis

from emp_core.api_keys import Scope, new_key
from emp_core.errors import EmpError, StoreError, StoreFull, StoreUnavailable
from emp_core.ids import WorkerId, new_job_id, new_worker_id
from emp_core.jobs import ClaimedJob, Completed, Submission
from emp_core.store import Reply, Store, open_store, stops_start
from emp_core.store.refusals import REFUSALS
from support.processes import free_port
from support.stores import StartedStore, started_store
from support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.process]

TYPE = "test.work"

# States that begin and end while a store runs.


@contextmanager
def full(store: StartedStore) -> Iterator[None]:
    store.client.config_set("maxmemory", 1)
    yield
    store.client.config_set("maxmemory", 0)


@contextmanager
def replica(store: StartedStore) -> Iterator[None]:
    store.client.execute_command("REPLICAOF", "127.0.0.1", 1)
    yield
    store.client.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def orphaned(store: StartedStore) -> Iterator[None]:
    store.client.config_set("replica-serve-stale-data", "no")
    with replica(store):
        yield
    store.client.config_set("replica-serve-stale-data", "yes")


@contextmanager
def without_replicas(store: StartedStore) -> Iterator[None]:
    store.client.config_set("min-replicas-to-write", 1)
    yield
    store.client.config_set("min-replicas-to-write", 0)


@contextmanager
def without_disk(store: StartedStore) -> Iterator[None]:
    directory = Path(store.client.config_get("dir")["dir"])
    (directory / "dump.rdb").mkdir()
    store.client.config_set("save", "3600 1")
    store.client.execute_command("BGSAVE")
    wait_until(lambda: store.client.info("persistence")["rdb_last_bgsave_status"] == "err")
    yield
    store.client.config_set("save", "")
    (directory / "dump.rdb").rmdir()


@contextmanager
def busy(store: StartedStore) -> Iterator[None]:
    store.client.config_set("busy-reply-threshold", 1)
    endless = redis.Redis(port=store.port, socket_timeout=0.2)
    with pytest.raises(redis.RedisError):  # no answer in time
        endless.eval("while true do end", 0)
    yield
    store.client.execute_command("SCRIPT", "KILL")
    endless.close()


@contextmanager
def locked(store: StartedStore) -> Iterator[None]:
    store.client.config_set("requirepass", "sesame")
    yield
    store.client.config_set("requirepass", "")


@contextmanager
def crowded(store: StartedStore) -> Iterator[None]:
    before = store.client.config_get("maxclients")["maxclients"]
    store.client.config_set("maxclients", 1)
    yield
    store.client.config_set("maxclients", before)


@contextmanager
def frozen(store: StartedStore) -> Iterator[None]:
    with store.frozen():
        yield


State = Callable[[StartedStore], "contextmanager[None]"]

PASSING: dict[str, tuple[State, type[StoreError]]] = {
    "READONLY": (replica, StoreUnavailable),
    "MASTERDOWN": (orphaned, StoreUnavailable),
    "NOREPLICAS": (without_replicas, StoreUnavailable),
    "MISCONF": (without_disk, StoreFull),
    "BUSY": (busy, StoreUnavailable),
    "NOAUTH": (locked, StoreUnavailable),
    "max number of clients reached": (crowded, StoreUnavailable),
    "OOM": (full, StoreFull),
    "no answer in time": (frozen, StoreUnavailable),
}
LETS_OUTCOMES_IN = {"OOM", "NOAUTH", "max number of clients reached"}
"""Where memory is full, scripts that make room run; and whoever is connected already is let in."""


@pytest.fixture(params=["valkey", "redis"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartedStore]:
    """Run a store of the test's own, on each engine in turn."""
    binary = None
    if request.param == "redis":
        request.getfixturevalue("redis_server")  # skips where there is none
        binary = Path("/usr/bin/redis-server")
    with started_store(tmp_path / "store", binary=binary) as store:
        yield store


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up calls soon."""
    monkeypatch.setattr("emp_core.store.connection.CALL_TIMEOUT", 0.3)


async def submit(store: Store) -> None:
    await store.jobs.submit([Submission(new_job_id(), TYPE, b"{}")])


@asynccontextmanager
async def holding(url: str) -> AsyncIterator[tuple[Store, WorkerId, ClaimedJob]]:
    """Hold a claimed job."""
    async with open_store(url, "x") as store:
        worker = new_worker_id()
        await store.workers.register(worker, {})
        await submit(store)
        (job,) = (await store.jobs.claim(worker, 1, {TYPE: 1}, 1)).jobs
        yield store, worker, job


@pytest.mark.parametrize("says", PASSING)
@pytest.mark.usefixtures("quick")
async def test_a_store_in_trouble_has_its_error_and_running_jobs_finish_when_it_is_over(
    own: StartedStore, says: str
) -> None:
    """The code and what is known of the outcome are told as the table says; nothing has to be started again."""
    state, error = PASSING[says]
    row = next(row for row in REFUSALS if row.says == says)
    async with holding(own.url) as (store, worker, job):
        outcome = Completed(job.job_id, job.token, b"1")
        with state(own):
            async with open_store(own.url, "x") as late:
                with pytest.raises(StoreError) as raised:
                    # A write would hear first that it is a replica.
                    await (late.types.paused() if says == "MASTERDOWN" else submit(late))
            if says not in LETS_OUTCOMES_IN:
                with pytest.raises(StoreError):
                    await store.jobs.complete(worker, [outcome])

        await wait_until_it_works(store)
        replies = await store.jobs.complete(worker, [outcome])

    assert type(raised.value) is row.error is error
    assert raised.value.may_have_run is row.may_have_run
    assert (raised.value.code or says) == says
    assert replies == [Reply.OK]


async def test_a_full_store_takes_the_outcomes_of_running_jobs_and_renewals(own: StartedStore) -> None:
    """They make room; whatever would take more is refused."""
    async with holding(own.url) as (store, worker, job):
        with full(own):
            replies = await store.jobs.complete(worker, [Completed(job.job_id, job.token, b"1")])
            renewed = await store.workers.renew(worker, 0.0)
            with pytest.raises(StoreFull):
                await submit(store)

    assert replies == [Reply.OK]
    assert renewed.word == "OK"


async def wait_until_it_works(store: Store) -> None:
    """Submit until the store takes it."""
    async with asyncio.timeout(15):
        while True:
            try:
                await submit(store)
            except EmpError:
                await asyncio.sleep(0.05)
            else:
                return


# States that a store is started in, or that are the client's.


async def refused(url: str) -> StoreError:
    """Give what a submission raises."""
    async with open_store(url, "x") as store:
        with pytest.raises(StoreError) as raised:
            await submit(store)
    return raised.value


async def test_a_store_that_loads_its_data_is_waited_for(tmp_path: Path) -> None:
    """LOADING: 503, and surely nothing was done."""
    with started_store(tmp_path / "store") as before:
        with before.client.pipeline() as pipeline:
            for n in range(2000):
                pipeline.set(f"key {n}", "x" * 100)
            pipeline.execute()
        before.client.save()
        port = before.port
    slow = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
    with started_store(tmp_path / "store", *slow, port=port, wait=False) as loading:
        wait_until(lambda: is_loading(loading))

        error = await refused(loading.url)

    assert (type(error), error.code, error.may_have_run) == (StoreUnavailable, "LOADING", False)


def is_loading(store: StartedStore) -> bool:
    try:
        return bool(store.client.info("persistence")["loading"])
    except redis.ConnectionError:
        return False


async def test_a_cluster_without_its_slots_is_waited_for(tmp_path: Path) -> None:
    """CLUSTERDOWN: 503, and surely nothing was done."""
    with started_store(tmp_path / "store", "--cluster-enabled", "yes") as store:
        error = await refused(store.url)

    assert (type(error), error.code, error.may_have_run) == (StoreUnavailable, "CLUSTERDOWN", False)


async def test_slots_of_another_node_and_slots_that_move_are_waited_for(tmp_path: Path) -> None:
    """MOVED and ASK: 503, and surely nothing was done."""
    codes = []
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
        one, two = (stack.enter_context(started_store(tmp_path / name, *options)) for name in ("one", "two"))
        one.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        one.client.execute_command("CLUSTER", "MEET", "127.0.0.1", two.port)
        slot = one.client.execute_command("CLUSTER", "KEYSLOT", "{emp:x:00}")
        ids = [node.client.execute_command("CLUSTER", "MYID").decode() for node in (one, two)]
        wait_until(lambda: ids[0] in str(two.client.execute_command("CLUSTER", "NODES")), 20)
        wait_until(lambda: all(is_ok(node) for node in (one, two)), 20)
        wait_until(lambda: two.client.execute_command("CLUSTER", "SLOTS"), 20)
        codes.append((await refused(two.url)).code)
        one.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        codes.append((await refused(one.url)).code)

    assert codes == ["MOVED", "ASK"]


def is_ok(node: StartedStore) -> bool:
    return b"cluster_state:ok" in node.client.execute_command("CLUSTER", "INFO")


@pytest.mark.parametrize(
    ("user", "code"),
    [("", "NOAUTH"), (":wrong", "WRONGPASS"), ("ann:sesame", "NOPERM")],
    ids=["NOAUTH", "WRONGPASS", "NOPERM"],
)
async def test_who_is_not_let_in_stops_at_its_start(tmp_path: Path, user: str, code: str) -> None:
    """Waiting will not mend a password; a process that runs goes on and tries again."""
    with started_store(tmp_path / "store", "--requirepass", "sesame") as store:
        operator = redis.Redis(port=store.port, password="sesame")  # noqa: S106 - it opens nothing
        operator.execute_command("ACL", "SETUSER", "ann", "on", ">sesame", "~*", "&*", "+@all", "-evalsha")
        operator.close()
        at = f"{user}@" if user else ""

        error = await refused(f"redis://{at}127.0.0.1:{store.port}/0")

    assert (type(error), error.code, error.may_have_run) == (StoreUnavailable, code, False)
    assert stops_start(error)
    assert "redis_url" in error.detail


async def test_where_nobody_listens_surely_nothing_was_done() -> None:
    """A refused connection is no lost one."""
    error = await refused(f"redis://127.0.0.1:{free_port()}/0")

    assert (type(error), error.code, error.may_have_run) == (StoreUnavailable, "", False)
    assert not stops_start(error)


async def test_where_the_store_dies_during_a_call_nobody_knows_whether_it_ran(own: StartedStore) -> None:
    """That nobody listens any more says nothing of the call before."""
    async with open_store(own.url, "x") as store:
        await store.ping()
        with own.frozen():
            call = asyncio.create_task(submit(store))
            await asyncio.sleep(0.1)  # it is sent
            own.kill()

        with pytest.raises(StoreUnavailable) as raised:
            await call

    assert raised.value.may_have_run


async def test_a_key_of_another_type_is_read_as_empty_and_not_written_to(own: StartedStore) -> None:
    """WRONGTYPE: 503, and surely nothing was done; the error says what repairs it."""
    async with open_store(own.url, "x") as store:
        own.client.set("{emp:x}:keys", "not a hash")
        own.client.set("{emp:x:00}:counts", "not a hash")
        key, _ = new_key("tester", [Scope.READ])

        with pytest.raises(StoreUnavailable, match="emp doctor --fix") as raised:
            await store.api_keys.add(key)

        assert (raised.value.code, raised.value.may_have_run) == ("WRONGTYPE", False)
        assert await store.views.counts() == {}


def test_every_row_of_the_table_has_its_test() -> None:
    """Those that no store can be brought to are in test_connection.py, with a server that only says so."""
    elsewhere = {"WRONGTYPE", "LOADING", "CLUSTERDOWN", "MOVED", "ASK", "NOAUTH", "WRONGPASS", "NOPERM"}
    scripted = {"TRYAGAIN", "NOSCRIPT", "UNBLOCKED", "DENIED"}
    lost = {"the connection is lost", "the connection is refused"}
    in_test_format = {"EMPFORMAT"}

    assert {row.says for row in REFUSALS} == PASSING.keys() | elsewhere | scripted | lost | in_test_format
