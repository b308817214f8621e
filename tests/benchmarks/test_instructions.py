"""Counted instructions are compared with the recorded ones; what is counted does not depend on time or on start-up."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from benchmarks.instructions import callgrind, python_parts, store_part
from benchmarks.instructions.__main__ import FILE, PARTS
from benchmarks.instructions.callgrind import MissingTool, callgrind_command, read_dumps
from benchmarks.instructions.lockstep import Clock, Lockstep
from benchmarks.instructions.marks import Marks, compile_marks
from benchmarks.instructions.record import Counted, compare, read_records, write_records

from emp_core.store import open_store
from emp_core.store.embedded import EmbeddedStore

HERE = {"store": "valkey-server 9.1.2", "machine": "x86_64"}
RECORDED = Counted(HERE, {"claim": 100_000, "submit": 200_000})


def counted(**figures: int) -> Counted:
    return Counted(HERE, RECORDED.figures | figures)


def test_a_rise_of_three_per_cent_holds():
    verdict = compare("store", RECORDED, counted(claim=103_000))

    assert (verdict.has_risen, verdict.cannot_compare) == (False, False)


def test_a_rise_by_more_is_named_with_its_size():
    verdict = compare("store", RECORDED, counted(claim=103_100))

    assert verdict.has_risen
    [line] = [line for line in verdict.lines if "ROSE" in line]
    assert line.split() == ["store", "claim", "100,000", "103,100", "+3.10%", "ROSE", "by", "more", "than", "3%"]


def test_a_fall_holds_and_asks_to_be_recorded():
    verdict = compare("store", RECORDED, counted(submit=150_000))

    assert not verdict.has_risen
    assert ["record it" in line for line in verdict.lines] == [False, True]


@pytest.mark.parametrize("figures", [{"claim": 100_000}, {"claim": 100_000, "submit": 200_000, "start": 5}])
def test_a_figure_that_is_new_or_gone_counts_as_a_rise(figures):
    verdict = compare("store", RECORDED, Counted(HERE, figures))

    assert verdict.has_risen
    assert any("IS NOT IN BOTH" in line for line in verdict.lines)


def test_figures_of_another_version_are_not_compared():
    verdict = compare("store", RECORDED, Counted(HERE | {"store": "valkey-server 9.2.0"}, {"claim": 900_000}))

    assert (verdict.has_risen, verdict.cannot_compare) == (False, True)
    told = "\n".join(verdict.lines)
    assert "CANNOT COMPARE: recorded with valkey-server 9.1.2 store, this is valkey-server 9.2.0." in told
    assert "900,000" in told


def test_without_a_record_there_is_nothing_to_compare_with():
    verdict = compare("worker", None, RECORDED)

    assert verdict.cannot_compare
    assert "make instructions RECORD=1" in verdict.lines[-1]


def test_records_are_read_as_they_were_written(tmp_path: Path):
    file = tmp_path / "instructions.json"
    assert read_records(file) == {}

    write_records(file, {"store": RECORDED})

    assert read_records(file) == {"store": RECORDED}


def test_every_part_is_recorded():
    assert read_records(FILE).keys() == set(PARTS)


def test_dumps_are_read_with_their_marks(tmp_path: Path):
    file = tmp_path / "counts"
    file.write_text(
        "version: 1\n\npart: 1\n\ndesc: Trigger: --dump-before=echoCommand\n\ntotals: 12\n\n"
        "part: 2\n\ndesc: Trigger: Client Request: job 40\n\nfn=(1) main\n3 7\n\ntotals: 345\n"
    )

    assert read_dumps(file) == [("--dump-before=echoCommand", 12), ("job 40", 345)]


def test_a_start_cancels_out_between_n_jobs_and_twice_as_many():
    dumps = [("job 10", 5_000 + 10 * 70), ("job 20", 5_000 + 20 * 70), ("Program termination", 9)]

    assert python_parts.figures(dumps) == {"job": 70}


def test_what_happens_once_is_not_in_a_figure():
    once = 1_500_000
    dumps = [
        ("job 10", 700),
        ("job 20", 1_400),
        ("job 10", 700),
        ("job 20", 1_400 + once),
        ("job 10", 700),
        ("job 20", 1_400),
    ]

    assert python_parts.figures(dumps) == {"job": 70}


def test_a_mark_s_own_instructions_are_left_out_and_a_batch_is_divided_among_its_jobs():
    marks = ["between", "nothing", "claim", "claim_of_100", "end"]

    assert store_part.figures(marks, [999, 50, 10, 110, 5_010]) == {"claim": 100, "claim_of_100": 50}


def test_a_store_in_which_nothing_is_counted_is_an_error():
    with pytest.raises(ValueError, match="nothing was counted"):
        store_part.figures(["between", "nothing", "claim", "end"], [0, 0, 0, 0])


def test_without_valgrind_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(MissingTool, match="apt install valgrind"):
        callgrind_command(["true"], Path("counts"))


def test_the_environment_of_what_is_counted_is_fixed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")

    environment = callgrind.fixed_environment()

    assert environment["PYTHONHASHSEED"] == "0"
    assert "LANG" not in environment


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    """Return the requests to callgrind; outside of it they do nothing."""
    if os.environ.get("EMP_TEST_REQUIRE_CC") != "1" and shutil.which("valgrind") is None:
        pytest.skip("no valgrind on the PATH")
    return Marks(compile_marks(tmp_path))


@pytest.mark.process
def test_the_loop_lets_time_jump_and_a_real_store_answer_in_none(marks: Marks):
    clock = Clock()

    async def look() -> tuple[float, float]:
        async with open_store(url, "lockstep") as store:
            await store.ping()
            asked = clock.now
            await asyncio.sleep(3600)
            return asked, clock.now

    with EmbeddedStore() as own:
        url = own.url
        loop = Lockstep(clock, marks, Path(url.removeprefix("unix://")))
        try:
            assert loop.run_until_complete(look()) == (0.0, pytest.approx(3600.0))
        finally:
            loop.close()
