"""Imported before structlog by processes of EMP's own: they start 0.1 s sooner and are 4 MB smaller without rich.

structlog looks for rich to draw tracebacks with, which no log of EMP is. `emp_core` at large does not import this: in
the process of somebody who uses the client, structlog is theirs.
"""

from __future__ import annotations

from emp_core.importing import import_without

import_without("structlog", missing="rich")
