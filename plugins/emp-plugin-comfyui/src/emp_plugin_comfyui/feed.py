"""What a ComfyUI server says of a run while it goes on: a socket, which is opened again when it breaks."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from emp_plugin_comfyui.messages import Message, read_message

_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0


class Feed:
    """The messages about one run.

    They may be missed, so whoever reads them looks at the history as well. The client's id is made of the job's: who
    takes the run up after a death hears of it.
    """

    def __init__(self, url: str, client_id: str, *, connect_seconds: float, message_limit: int) -> None:
        self._url = f"ws{url.removeprefix('http')}/ws?clientId={quote(client_id)}"
        self._connect_seconds = connect_seconds
        self._message_limit = message_limit
        self._socket: ClientConnection | None = None
        self._pause = _PAUSE
        self.breaks = 0

    async def open(self) -> None:
        """Open the socket; if it cannot be had now, `next` tries again."""
        try:
            # Without pings: a server that loads a model does not answer for a while. The history tells what is true.
            self._socket = await connect(
                self._url,
                open_timeout=self._connect_seconds,
                close_timeout=1,
                ping_interval=None,
                max_size=self._message_limit,
                proxy=None,
            )
            self._pause = _PAUSE
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ConnectionClosed):
            self._socket = None

    async def next(self, prompt_id: str, seconds: float) -> Message | None:
        """Wait for a message about a run, at most so long; None: nothing was heard, or something was missed."""
        if self._socket is None:
            await asyncio.sleep(min(self._pause, seconds))
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            await self.open()
            return None
        try:
            async with asyncio.timeout(seconds):
                frame = await self._socket.recv()
        except TimeoutError:
            return None
        except ConnectionClosed:
            self._socket = None
            self.breaks += 1
            return None
        return read_message(frame, prompt_id)

    async def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            await self._socket.close()
