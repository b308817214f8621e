"""Where a request may go: the list of targets, and the addresses that are connected to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from emp_plugin_http import REQUEST
from emp_plugin_http.calls import Call
from emp_plugin_http.exchange import Exchange
from emp_plugin_http.guard import is_allowed
from emp_plugin_http.settings import HttpSettings
from emp_worker import JobError
from emp_worker.testing import Failed, Retry, run_job
from support.http_service import Reply, Service

PRIVATE = [
    "127.0.0.1",
    "127.255.0.9",
    "0.0.0.0",  # noqa: S104 - refused
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:db8::1",
    "192.0.0.192",
    "168.63.129.16",
    "fec0::1",
    "192.88.99.1",
    "3fff::1",
]


def code(payload: dict[str, Any]) -> Any:
    run = run_job(REQUEST, {"timeout_seconds": 5, **payload})
    assert run.error is not None
    assert isinstance(run.outcome, Failed)
    return run.error["code"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused(address: str):
    assert not is_allowed(ip_address(address), ())


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_a_public_address_is_allowed(address: str):
    assert is_allowed(ip_address(address), ())


def test_an_allowed_network_lets_its_own_addresses_through_and_no_others():
    networks = [ip_network("10.1.0.0/16")]

    assert [is_allowed(ip_address(each), networks) for each in ("10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1")] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("targets", "scheme", "host", "port", "allowed"),
    [
        ("", "https", "a.example", 443, False),
        ("a.example", "https", "a.example", 443, True),
        ("a.example", "https", "A.EXAMPLE", 443, True),
        ("a.example", "http", "a.example", 80, False),
        ("a.example", "https", "a.example", 444, False),
        ("a.example", "https", "b.a.example", 443, False),
        ("a.example", "https", "xa.example", 443, False),
        ("*.a.example", "https", "b.a.example", 443, True),
        ("*.a.example", "https", "a.example", 443, False),
        ("*.a.example", "https", "xa.example", 443, False),
        ("http://a.example", "http", "a.example", 80, True),
        ("http://a.example:8080", "http", "a.example", 8080, True),
        ("http://a.example:*", "http", "a.example", 9, True),
        ("http://[::1]:8080", "http", "::1", 8080, True),
        ("b.example, a.example", "https", "a.example", 443, True),
        ("*", "http", "a.example", 81, True),
    ],
)
def test_a_target_is_a_scheme_a_host_and_a_port(
    monkeypatch: pytest.MonkeyPatch, targets: str, scheme: str, host: str, port: int, allowed: bool
):
    monkeypatch.setenv("EMP_HTTP_TARGETS", targets)

    assert HttpSettings().allows(scheme, host, port) is allowed


@pytest.mark.parametrize("value", ["a b", "ftp://x", "https://x/path", "https://u:p@x", "https://x:99x", "x?y"])
def test_a_target_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("EMP_HTTP_TARGETS", value)

    run = run_job(REQUEST, {"url": "http://x"})

    assert run.error is not None
    assert "EMP_HTTP_TARGETS" in run.error["message"]
    assert isinstance(run.outcome, Retry)


def test_nothing_may_be_asked_until_the_operator_says_what(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EMP_HTTP_TARGETS")

    assert code({"url": f"{service.url}/"}) == "target_not_allowed"
    assert service.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]"])
def test_loopback_is_refused_however_it_is_written(service: Service, monkeypatch: pytest.MonkeyPatch, host: str):
    monkeypatch.setenv("EMP_HTTP_TARGETS", "*")
    monkeypatch.delenv("EMP_HTTP_ALLOW_NETWORKS")

    run = run_job(REQUEST, {"url": f"http://{host}:{service.port}/", "timeout_seconds": 5})

    assert run.error is not None
    assert run.error["code"] in {"address_not_allowed", "connection_failed", "bad_url"}
    assert service.asked == []


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://other.example/", "target_not_allowed"),
        ("file:///etc/passwd", "bad_url"),
        ("http://user:pass@127.0.0.1/", "bad_url"),
        ("//other.example/x", "target_not_allowed"),
        ("http://127.0.0.1:0/", "bad_url"),
    ],
)
def test_a_redirect_is_checked_like_the_first(service: Service, location: str, expected: str):
    service.routes["/"] = Reply(302, {"Location": location})

    assert code({"url": f"{service.url}/"}) == expected


def test_a_redirect_to_a_private_address_is_refused(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_HTTP_TARGETS", "*")
    service.routes["/"] = Reply(302, {"Location": "http://169.254.169.254/latest/meta-data"})

    assert code({"url": f"{service.url}/"}) == "address_not_allowed"


@pytest.mark.parametrize(
    "url",
    ["ftp://x/", "x", "http://", "http://u:p@x/", "http://x:99999/", "http://\x00/", "javascript:1"],
)
def test_what_is_no_http_url_is_refused(url: str):
    assert code({"url": url}) == "bad_url"


@pytest.mark.parametrize("host", ["..xn--a", "[", "-xn--a", "*xn--a=", "a" * 300, "xn--", "ß.example"])
def test_a_strange_host_is_refused_and_nothing_worse(host: str):
    assert code({"url": f"http://{host}/"}) in {"bad_url", "target_not_allowed"}


def test_a_name_that_changes_its_address_gains_nothing(service: Service):
    """DNS rebinding: the first look-up gives a public address, every later one loopback."""
    answers: list[Sequence[str]] = []

    async def look_up(host: str, port: int) -> Sequence[str]:
        answers.append(["127.0.0.1"])
        return answers[-1]

    async def attack() -> str | None:
        exchange = Exchange(HttpSettings(targets=("*",), allow_networks=()), look_up)
        try:
            await exchange.send(Call(url=f"http://rebind.example:{service.port}/"), limit=10, seconds=5)
        except JobError as error:
            return error.code
        finally:
            await exchange.close()
        return None

    assert asyncio.run(attack()) == "address_not_allowed"
    assert len(answers) == 1, "the address that was checked is the one that is used"
    assert service.asked == []


def test_of_several_addresses_only_the_allowed_ones_are_connected_to(service: Service):
    async def look_up(host: str, port: int) -> Sequence[str]:
        return ["10.255.255.1", "127.0.0.1"]

    async def ask() -> int:
        exchange = Exchange(HttpSettings(targets=("*",), allow_networks=("127.0.0.0/8",)), look_up)
        try:
            return (await exchange.send(Call(url=f"http://two.example:{service.port}/"), limit=100, seconds=5)).status
        finally:
            await exchange.close()

    service.routes["/"] = Reply(204)

    assert asyncio.run(ask()) == 204
    assert service.asked[0].headers["host"] == f"two.example:{service.port}"


def test_no_proxy_is_taken_from_the_environment(service: Service, monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    service.routes["/"] = Reply(200)

    assert run_job(REQUEST, {"url": f"{service.url}/"}).result["status"] == 200
