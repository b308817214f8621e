"""`emp keys` and `emp login`: a key's life, and where it is kept."""

from __future__ import annotations

import json
import stat
import uuid

import pytest

from emp_server.settings import ServerSettings
from support.serving import running


@pytest.fixture
def emp(emp_command, valkey, tmp_path):
    """Give a function that runs `emp` in an empty folder and home, on a part of the store of its own."""
    namespace = f"t{uuid.uuid4().hex[:20]}"

    def run(*arguments, stdin="", **env):
        own = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "EMP_REDIS_URL": valkey.url,
            "EMP_NAMESPACE": namespace,
        }
        return emp_command.run(*arguments, cwd=tmp_path, env={**own, **env}, stdin=stdin)

    run.namespace = namespace
    return run


def test_a_key_is_printed_once_and_listed_without_its_secret(emp):
    made = emp("keys", "create", "shop", "--scope", "submit,read", "--expires", "90d", "--rate", "50")
    listed = emp("keys")

    key = made.stdout.strip()
    assert made.returncode == 0
    assert key.startswith("emp_")
    assert key not in made.stderr
    key_id, name, scopes, _, expires, rate = listed.stdout.rstrip("\n").split("\t")
    assert (key_id, name, scopes, rate) == (key.split("_")[1], "shop", "read,submit", "50")
    assert expires
    assert key.split("_")[2] not in listed.stdout + emp("keys", "list", "--json").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("shop",),
        ("shop", "--scope", ""),
        ("shop", "--scope", "root"),
        ("a shop", "--scope", "read"),
        ("shop", "--scope", "read", "--expires", "never"),
        ("shop", "--scope", "read", "--expires", "999999999999d"),
        ("shop", "--scope", "read", "--rate", "0"),
    ],
)
def test_a_wrong_wish_ends_with_2_and_makes_no_key(emp, arguments):
    assert emp("keys", "create", *arguments).returncode == 2
    assert emp("keys").stdout == ""


def test_a_name_is_given_once(emp):
    emp("keys", "create", "shop", "--scope", "read")

    again = emp("keys", "create", "shop", "--scope", "admin")

    assert again.returncode == 2
    assert "shop" in again.stderr


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_key_is_revoked_by_its_name_or_its_id(emp, by):
    key = emp("keys", "create", "shop", "--scope", "read").stdout.strip()

    revoked = emp("keys", "revoke", "shop" if by == "name" else key.split("_")[1])

    assert revoked.returncode == 0
    assert emp("keys").stdout == ""
    assert emp("keys", "revoke", "shop").returncode == 6


def test_login_keeps_a_key_that_only_its_owner_can_read_and_commands_send_it(emp, valkey, tmp_path):
    key = emp("keys", "create", "shop", "--scope", "read").stdout.strip()
    with running(ServerSettings(redis_url=valkey.url, namespace=emp.namespace)) as server:
        assert emp("jobs", EMP_URL=server.url).returncode == 7

        kept = emp("login", stdin=f"{key}\n", EMP_URL=server.url)

        [file] = tmp_path.rglob("logins.json")
        assert kept.returncode == 0
        assert "shop" in kept.stderr
        assert key not in kept.stdout + kept.stderr
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text()) == {server.url: key}
        assert emp("jobs", EMP_URL=server.url).returncode == 0
        # Another server is not shown it, and the environment goes first.
        assert emp("jobs", EMP_URL=server.url, EMP_API_KEY="emp_wrong").returncode == 7
        assert emp("workers", "drain", "0" * 26, EMP_URL=server.url).returncode == 7

        file.chmod(0o644)
        assert emp("jobs", EMP_URL=server.url).returncode == 2
        file.chmod(0o600)
        assert emp("login", "--forget", EMP_URL=server.url).returncode == 0
        assert emp("jobs", EMP_URL=server.url).returncode == 7


def test_login_keeps_no_key_that_the_server_does_not_know(emp, valkey, tmp_path):
    emp("keys", "create", "shop", "--scope", "read")
    with running(ServerSettings(redis_url=valkey.url, namespace=emp.namespace)) as server:
        refused = emp("login", stdin="emp_" + "0" * 12 + "_" + "0" * 52, EMP_URL=server.url)

    assert refused.returncode == 7
    assert not list(tmp_path.rglob("logins.json"))
