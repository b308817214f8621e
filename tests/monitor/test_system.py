"""The page of the system: the store's facts, what the doctor finds, the settings in force, the versions."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.store import Durability, Level
from emp_server.monitor.system_page import settings_in_force, store_facts
from emp_server.settings import ServerSettings
from support.page_reading import Reader
from support.serving import register, submit

pytestmark = pytest.mark.anyio

KEPT = Durability(Level.PROCESS, "appendonly yes, appendfsync everysec", "noeviction", 0, 0)


async def words_of(client) -> str:
    return Reader((await client.get("/system")).text).text


async def test_a_sound_store_is_called_sound(client, worker):
    words = await words_of(client)

    assert "The doctor finds nothing wrong" in words
    assert "maxmemory-policy noeviction" in words
    assert "appendfsync everysec" in words


async def test_what_the_doctor_finds_comes_first_with_its_remedy(client):
    await submit(client)

    words = await words_of(client)

    assert "The doctor asks you to look at 1 thing" in words
    assert words.index("start a worker with the plugin that serves them") < words.index("noeviction")


async def test_workers_of_different_versions_are_pointed_out(client, store):
    await register(store, version="1.0")
    assert "versions differ" not in await words_of(client)

    await register(store, version="2.0", plugins=[{"distribution": "emp-plugin-words", "version": "3.1"}])

    words = await words_of(client)
    assert "versions differ" in words
    assert "1 worker EMP 2.0" in words
    assert "emp-plugin-words 3.1" in words


async def test_every_setting_is_there_with_its_value(client, settings):
    words = await words_of(client)

    assert all(name in words for name in ServerSettings.model_fields)
    assert settings.namespace in words


@pytest.mark.parametrize(
    "url",
    ["redis://:hunter2@h:1/0", "redis+sentinel://u:hunter2@h:1/m?sentinel_password=hunter2", "redis://u:hunter2@h"],
)
def test_no_secret_is_shown(url: str):
    shown = settings_in_force(ServerSettings(redis_url=url))

    assert not any("hunter2" in setting.value for setting in shown)
    assert any("h" in setting.value and setting.is_changed for setting in shown if setting.name == "redis_url")


def test_settings_are_written_as_people_write_them():
    settings = ServerSettings(allowed_hosts=("a.example", "b.example"), longest_wait=timedelta(seconds=90))

    written = {setting.name: setting.value for setting in settings_in_force(settings)}

    assert written["allowed_hosts"] == "a.example, b.example"
    assert written["longest_wait"] == "1 min 30 s"
    assert written["payload_limit_bytes"] == "16.0 MiB"
    assert written["insecure"] == "false"


def test_a_store_that_tells_nothing_of_itself_is_shown_all_the_same():
    facts = dict(store_facts({}, Durability(Level.UNKNOWN, "nobody may ask", "", 0, None)))

    assert facts == {
        "An accepted job survives": "level unknown (nobody may ask)",
        "When memory is full": "not told",
        "Replicas": "0",
    }


def test_memory_is_told_with_its_limit():
    info = {
        "redis_version": "7.0.1",
        "used_memory": str(2**20),
        "maxmemory": str(2**30),
        "used_memory_peak": str(2**21),
    }

    facts = dict(store_facts(info, KEPT))

    assert facts["Server"] == "Redis 7.0.1"
    assert facts["Memory"] == "1.0 MiB used of 1.0 GiB, 2.0 MiB at most so far"
