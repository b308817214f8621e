"""Let a Python program under callgrind say what is counted. Requests to valgrind are C, which is compiled here."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.instructions.callgrind import MissingTool


def compile_marks(folder: Path) -> Path:
    """Compile marks.c and return the path of the library.

    Raises:
        MissingTool: there is no C compiler, or valgrind's header is missing.
    """
    if shutil.which("cc") is None:
        raise MissingTool("There is no C compiler. Install one (Debian: apt install gcc libc6-dev).")
    library = folder / "marks.so"
    source = Path(__file__).with_name("marks.c")
    made = subprocess.run(
        ["cc", "-O1", "-shared", "-fPIC", "-o", library, source], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise MissingTool(f"marks.c does not compile. Is valgrind's header installed?\n{made.stderr}")
    return library


class Marks:
    """Requests to the callgrind that runs this process. Start it with `--instr-atstart=no --collect-atstart=no`."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))

    def begin(self) -> None:
        """Instrument the program from here on: until now it ran ten times as fast."""
        self._library.instrument()

    @contextmanager
    def counted(self, label: str) -> Iterator[None]:
        """Count the instructions of the body, and dump their number under a label."""
        self._library.toggle()
        yield
        self._library.toggle()
        self._library.dump(label.encode())

    def ping(self, connection: int, times: int) -> None:
        """Send so many PINGs over a socket, one after the other.

        Raises:
            ConnectionError: the store has closed it.
        """
        if self._library.ping(connection, times):
            raise ConnectionError("the store does not answer")
