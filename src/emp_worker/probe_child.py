"""The child process of `emp_worker.probe`: `python -m emp_worker.probe_child FD`, where FD takes a line per step.

It loads the plugins that standard input names, and ends by itself when one takes too long: the timer of faulthandler
needs neither the interpreter lock nor anybody who waits for this process.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from importlib.metadata import EntryPoint

from emp_worker.discovery import GROUP, FoundPlugin, Phase
from emp_worker.loading import load_plugin

DONE = "done"


def main() -> None:
    """Load one plugin after the other, saying before each phase which one it is."""
    trail = int(sys.argv[1])
    # What a plugin starts must not hold the pipe.
    os.set_inheritable(trail, False)
    orders = json.load(sys.stdin)
    sys.path[:] = orders["sys_path"]
    faulthandler.enable()
    for number, (distribution, version, name, value) in enumerate(orders["plugins"]):

        def entering(phase: Phase, number: int = number) -> None:
            os.write(trail, f"{number} {phase}\n".encode())
            faulthandler.dump_traceback_later(orders["seconds"], exit=True)

        # It has no distribution here: that what it requires is there has been checked.
        load_plugin(FoundPlugin(distribution, version, name, EntryPoint(name, value, GROUP)), entering)
        faulthandler.cancel_dump_traceback_later()
    os.write(trail, f"{DONE}\n".encode())
    # What plugins do at the end of an interpreter is no reason not to load them.
    os._exit(0)


if __name__ == "__main__":
    main()
