"""The list of faults, in the order of the promises; and what cannot be done here, with the reason."""

from __future__ import annotations

from functools import partial
from typing import Final

from faults import (
    clock_faults,
    handler_faults,
    limit_faults,
    network_faults,
    plugin_faults,
    record_faults,
    server_faults,
    store_faults,
    worker_faults,
)
from faults.clients import Wish
from faults.clock import no_clock
from faults.fault import Fault
from faults.proxy import Line
from faults.rig import Setup

_LONG: Final = Setup(wish=Wish(seconds=1.5, pause=0.1))
_THREE: Final = Setup(workers=3)
_FEW_CHILDREN: Final = Setup(workers=1, worker_options=("--grace", "2", "--children-alone", "2"))
_SMALL_DISK: Final = Setup(small_disk=True)
# Rigs of their own: what was emptied or damaged on purpose is no part of what comes before or after.
_EMPTIED: Final = Setup(clients=2)
_DAMAGED: Final = Setup(workers=1)
_STALLED: Final = Line(stalled=frozenset({"up", "down"}))

WORKER: Final = (
    Fault("worker killed while idle", worker_faults.killed, load=False),
    Fault("worker killed between claim and start", worker_faults.between_claim_and_start),
    Fault("worker killed in the handler", worker_faults.killed, quick=True),
    Fault("worker killed between handler and finish", worker_faults.between_handler_and_finish),
    Fault("worker killed after the finish", worker_faults.after_finish),
    Fault("answer of a claim cut", worker_faults.claim_answer_cut),
    Fault("store frozen during a claim", worker_faults.store_frozen_in_claim),
    Fault("worker killed three times", worker_faults.killed_three_times, load=False, setup=_FEW_CHILDREN),
    Fault("worker's machine died", worker_faults.machine_died),
    Fault("worker's machine died beside an idle worker", worker_faults.machine_died_beside_idle, load=False),
    Fault("all workers' machines died", worker_faults.all_machines_died, hold=3),
    Fault("worker stopped for less than a lease", partial(worker_faults.stopped, seconds=7, is_lost=False)),
    Fault("worker stopped for more than a lease", partial(worker_faults.stopped, seconds=20, is_lost=True)),
    Fault("worker frozen under its supervisor", worker_faults.frozen),
    Fault("finish arrives after the lease", worker_faults.late_finish, hold=1, load=False),
    Fault("worker stopped at the doorbell", worker_faults.stopped_in_pop, load=False),
    Fault("SIGTERM with short jobs", worker_faults.told_to_stop),
    Fault("SIGTERM twice", partial(worker_faults.told_to_stop, twice=True)),
    Fault("SIGTERM with long jobs", worker_faults.told_to_stop, setup=_LONG),
)

SERVER: Final = (Fault("server killed", server_faults.killed, quick=True),)

STORE: Final = (
    Fault("store killed", store_faults.killed, quick=True, may_lose=False),
    Fault("store away for more than a lease", store_faults.killed, hold=18, may_lose=False),
    Fault("scripts flushed", store_faults.scripts_flushed, may_lose=False),
    Fault("store loading", store_faults.loading, may_lose=False),
    Fault("store frozen for 1 s", partial(store_faults.frozen, seconds=1), may_lose=False),
    Fault("store frozen for 5 s", partial(store_faults.frozen, seconds=5), may_lose=False),
    Fault("store frozen for 30 s", partial(store_faults.frozen, seconds=30), may_lose=False),
    Fault("store out of memory", store_faults.out_of_memory, hold=2, may_lose=False),
    Fault("store is a read-only replica", store_faults.read_only, hold=2, may_lose=False),
    Fault(
        "store's disk full",
        store_faults.disk_full,
        hold=2,
        may_lose=False,
        setup=_SMALL_DISK,
        missing=store_faults.no_small_disk,
    ),
    Fault("store taken over by a newer release", store_faults.another_format),
    Fault("store restarted empty", store_faults.emptied, hold=2, setup=_EMPTIED),
)

NETWORK: Final = (
    Fault("connections cut", network_faults.cut, quick=True),
    Fault("requests cut after n bytes", partial(network_faults.cut_after, direction="up")),
    Fault("answers cut after n bytes", partial(network_faults.cut_after, direction="down")),
    Fault("connections stalled", partial(network_faults.changed, line=_STALLED, what="were stalled"), hold=4),
    Fault("connections delayed", partial(network_faults.changed, line=Line(delay=0.05), what="were delayed"), hold=3),
    Fault("one byte at a time", partial(network_faults.changed, line=Line(piece=1), what="were split"), hold=3),
    Fault("connections half open", network_faults.half_open, hold=4),
    Fault("one of three workers cut off", network_faults.partitioned, setup=_THREE),
)

_HARM: Final = (
    ("raises BaseException", "failed"),
    ("calls sys.exit", "failed"),
    ("calls os._exit", "failed"),
    ("crashes", "failed"),
    ("hogs memory", "failed"),
    ("never ends", "failed"),
    ("blocks the loop", "completed"),
    ("keeps the interpreter lock", "failed"),
    ("swallows its cancellation", "failed"),
    ("leaves threads", "completed"),
    ("leaves a child", "completed"),
    ("closes its output", ""),
)
HANDLER: Final = tuple(
    Fault(
        f"handler {how} ({mode})",
        partial(handler_faults.hostile, how=how, mode=mode, ends_as=ends_as),
    )
    for how, ends_as in _HARM
    for mode in ("async", "process")
    # In the worker itself nothing bounds its memory but the machine's.
    if (how, mode) != ("hogs memory", "async")
)

_CLOCKS: Final = Setup(clocks=True, wish=Wish(later=0, failing=0, expiring=0))
_HOUR: Final = 3600
CLOCK: Final = tuple(
    Fault(f"{whose} clock {seconds:+} s", partial(inject, seconds=seconds), hold=2, setup=_CLOCKS, missing=no_clock)
    for whose, inject in (("worker's", clock_faults.worker_jumps), ("store's", clock_faults.store_jumps))
    for seconds in (_HOUR, -_HOUR)
)

LIMITS: Final = (
    Fault("server without file descriptors", limit_faults.server_files, hold=2),
    Fault("worker without file descriptors", limit_faults.worker_files, hold=2),
    Fault("store without connections", limit_faults.store_connections, hold=2),
)

RECORDS: Final = (
    Fault("records with unknown fields", record_faults.unknown_fields),
    Fault("records damaged", record_faults.damaged, setup=_DAMAGED),
)

PLUGINS: Final = (
    Fault("plugin fails at import", plugin_faults.broken),
    Fault("two plugins with one job type", plugin_faults.twins),
    Fault("plugin disagrees about a schema", plugin_faults.disagreeing),
)

FAULTS: Final = (*WORKER, *HANDLER, *SERVER, *STORE, *NETWORK, *CLOCK, *LIMITS, *RECORDS, *PLUGINS)

GAPS: Final = {
    "Sentinel failover": "this rig has one store; tests/e2e/test_failover.py does it under load",
    "Cluster slot move": "EMP follows no redirection; tests/core/store/test_refusals.py shows what it hears",
    "handler hogs memory (async)": "nothing bounds it there but the machine's memory",
}
"""Faults of the promises that this suite does not inject, and why; docs/explanation/faults.md says the same."""
