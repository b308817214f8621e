"""The server's settings: where they come from, and what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.errors import SettingsError
from emp_core.settings import load
from emp_server.settings import ServerSettings


def test_a_flag_comes_before_a_variable_and_a_variable_before_the_default(monkeypatch):
    monkeypatch.setenv("EMP_PORT", "1111")
    monkeypatch.setenv("EMP_LONGEST_WAIT", "PT5S")
    monkeypatch.setenv("EMP_ALLOWED_HOSTS", "emp.internal")

    settings = load(ServerSettings, port=2222, host=None)

    assert (settings.port, settings.host, settings.longest_wait) == (2222, "127.0.0.1", timedelta(seconds=5))
    assert settings.allowed_hosts == ("emp.internal",)


@pytest.mark.parametrize(("name", "value"), [("port", 70000), ("server_workers", 0), ("stream_keep_alive", 0)])
def test_a_setting_out_of_its_range_is_named(name, value):
    with pytest.raises(SettingsError, match=name):
        load(ServerSettings, **{name: value})
