"""What the routes are handed: the parts that app.py built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from emp_core.store import Store
from emp_server.audit import Rejections
from emp_server.catalog import Catalog
from emp_server.crowd import Crowd
from emp_server.keyring import KeyRing
from emp_server.metrics.traffic import Traffic
from emp_server.pressure import Pressure
from emp_server.rates import Rates
from emp_server.refusals import Refusals
from emp_server.settings import ServerSettings
from emp_server.store_watch import StoreWatch
from emp_server.tracing import Submissions
from emp_server.updates import Updates


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one server, made in `app.build_app`."""

    settings: ServerSettings
    store: Store
    catalog: Catalog
    updates: Updates
    watch: StoreWatch
    keyring: KeyRing
    refusals: Refusals
    rejections: Rejections
    crowd: Crowd
    rates: Rates
    pressure: Pressure
    traffic: Traffic
    traced: Submissions


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


TheParts = Annotated[Parts, Depends(_parts)]
"""A route's parameter of this type is given the parts."""
