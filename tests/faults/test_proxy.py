"""The proxy does to a connection what it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from faults.proxy import GOOD, Line, Proxy, Trap


@pytest.fixture
def echo() -> Iterator[int]:
    """Run a server that says what it hears; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    """Give a proxy before the echo."""
    with Proxy(echo) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """Give a connection through the proxy, over which something was said."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        yield client


def read_out(client: socket.socket) -> bytes:
    """Read until the connection ends."""
    received = b""
    while data := client.recv(100):
        received += data
    return received


def test_a_cut_resets_the_connections(proxy: Proxy, client: socket.socket) -> None:
    """The client is told by a reset, not by an end."""
    assert proxy.cut() == 1

    with pytest.raises(ConnectionResetError):
        client.recv(100)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_line_is_cut_after_so_many_bytes(proxy: Proxy, client: socket.socket, direction: str) -> None:
    """Those of a connection that is open count."""
    proxy.set(Line(cut=direction, cut_after=8))

    client.sendall(b"goodbye")

    with pytest.raises(ConnectionResetError):
        read_out(client)
    assert proxy.cuts == 1


def test_a_stalled_line_carries_nothing_until_it_is_healed(proxy: Proxy, client: socket.socket) -> None:
    """Nothing is lost either."""
    proxy.set(Line(stalled=frozenset({"up"})))
    client.sendall(b"later")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(100)

    proxy.heal()

    client.settimeout(5)
    assert client.recv(100) == b"later"


def test_a_line_splits_what_it_carries(proxy: Proxy, client: socket.socket) -> None:
    """One byte at a time arrives whole."""
    proxy.set(Line(piece=1))

    client.sendall(b"x" * 500)

    received = b""
    while len(received) < 500:
        received += client.recv(100)
    assert received == b"x" * 500


def test_half_a_connection_is_told_nothing(proxy: Proxy, client: socket.socket) -> None:
    """The server has gone; the client hears nothing of it until the line is healed."""
    proxy.half_open()
    client.sendall(b"anyone?")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(100)

    proxy.set(GOOD)

    client.settimeout(5)
    assert read_out(client) == b""


def test_a_trap_is_sprung_once_by_what_it_waits_for(proxy: Proxy, client: socket.socket) -> None:
    """What sprang it is not passed on where the trap says so."""
    sprung = []
    proxy.catch(Trap("up", lambda data: b"secret" in data, lambda: bool(sprung.append(1))))
    client.sendall(b"plain")
    assert client.recv(100) == b"plain"

    client.sendall(b"a secret")

    with pytest.raises(ConnectionResetError):
        client.recv(100)
    assert sprung == [1]
