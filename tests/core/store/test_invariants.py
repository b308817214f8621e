"""Whatever clients, workers and the janitor do, indexes and counters agree with the records."""

from __future__ import annotations

import uuid

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emp_core.store.embedded import EmbeddedStore

from .conftest import TYPE, Engine, real
from .invariants import violations
from .soak import VERBS, Soak, Step, random_steps

pytestmark = pytest.mark.anyio


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 999)), min_size=10, max_size=80))
def test_any_sequence_of_verbs_leaves_all_in_order(valkey: EmbeddedStore, steps: list[Step]) -> None:
    """Hypothesis looks for the shortest sequence that does not."""

    async def run() -> list[str]:
        async with real(valkey.url, f"t{uuid.uuid4().hex[:20]}") as engine:
            await engine.submit()
            await Soak(engine).run(steps)
            return await violations(engine)

    assert anyio.run(run) == []


@pytest.mark.parametrize("seed", range(2))
async def test_a_long_run_leaves_all_in_order(engine: Engine, seed: int) -> None:
    """The same on every engine, over hundreds of steps."""
    soak = Soak(engine)

    for _ in range(3):
        await soak.run(random_steps(seed, 100))
        assert await violations(engine) == []

    assert len(soak.late) > 20, "the run should have settled jobs"


@pytest.mark.parametrize("seed", range(2))
async def test_totals_never_shrink(engine: Engine, seed: int) -> None:
    """Counters of what has happened only grow."""
    totals = {"submitted", "completed", "failed", "cancelled", "retried", "lost", "refused", "revived"}
    soak, before = Soak(engine), dict.fromkeys(totals, 0)

    for round_ in range(8):
        await soak.run(random_steps(seed * 100 + round_, 40))
        counts = await engine.counts("test.a")
        after = {name: counts.get(name, 0) for name in totals}
        assert all(after[name] >= before[name] for name in totals), (before, after)
        before = after

    assert before["submitted"] > 0


DAMAGES = {
    "a counter that is not decremented": ("HINCRBY", "counts", f"pending:{TYPE}", "1"),
    "an index that forgets": ("DEL", f"pending:{TYPE}"),
    "an entry without a record": ("ZADD", "scheduled", "1", "0" * 26),
    "a held job that is not": ("SADD", "held:w", "0" * 26),
}


@pytest.mark.parametrize("what", list(DAMAGES))
async def test_the_check_can_fail(engine: Engine, what: str) -> None:
    """Each kind of disorder, made by hand, is told."""
    await engine.submit()
    command, kind, *rest = DAMAGES[what]
    before = await violations(engine)

    await engine.client.execute_command(command, engine.keys(kind), *rest)

    assert (before, len(await violations(engine))) == ([], 1)
