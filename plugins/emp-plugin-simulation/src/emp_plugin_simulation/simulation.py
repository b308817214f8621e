"""What a simulation is asked for, what it answers, and its steps, which are the same wherever it waits."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field, model_validator

from emp_plugin_simulation.load import Latency, drawn, is_in_burst
from emp_worker import JobContext, JobError


class Simulation(BaseModel):
    """Steps to walk through, and how they may fail."""

    model_config = ConfigDict(extra="forbid")

    steps: int = Field(default=10, ge=1, le=100_000, description="how many steps to walk through")
    step_seconds: float = Field(default=0.1, ge=0, le=3_600, description="how long each step takes, in seconds")
    latency: Latency = Field(
        default=Latency.CONSTANT, description="how the time of a step is spread around step_seconds, which is its mean"
    )
    latency_spread: float = Field(
        default=0.5, ge=0, le=10, description="the standard deviation as a part of the mean; for normal and lognormal"
    )
    latency_cap_seconds: float = Field(
        default=3_600, ge=0, le=3_600, description="the longest time of a step, whatever is drawn"
    )
    failure_chance: float = Field(
        default=0, ge=0, le=1, description="the chance, 0 to 1, that an attempt fails at one of its steps"
    )
    fail_attempts: int = Field(default=0, ge=0, le=1_000, description="how many attempts fail, counted from the first")
    burst_period_seconds: float = Field(
        default=0, ge=0, le=86_400, description="how often failures come in a burst, by the clock; 0: never"
    )
    burst_seconds: float = Field(default=0, ge=0, le=86_400, description="how long a burst lasts")
    burst_failure_chance: float = Field(
        default=1, ge=0, le=1, description="the chance, 0 to 1, that an attempt that begins in a burst fails"
    )
    seed: int | None = Field(
        default=None, description="makes chance repeatable: the same seed and attempt, the same course; random if null"
    )
    result_size: int = Field(
        default=0, ge=0, le=1_048_576, description="how many characters of filling the result carries, for load tests"
    )

    @model_validator(mode="after")
    def _bursts_fit(self) -> Simulation:
        if self.burst_seconds > self.burst_period_seconds:
            raise ValueError("burst_seconds is at most burst_period_seconds")
        return self


class SimulationResult(BaseModel):
    """How a simulation went."""

    steps: int = Field(description="the steps that were done")
    seconds: float = Field(description="how long they took, in seconds")
    attempt: int = Field(description="the attempt that came through")
    checksum: str = Field(description="16 hex digits that follow from the seed and the steps")
    filling: str = Field(default="", description="as many characters as result_size asked for")


class Steps:
    """The steps of one attempt: iterate, and wait at each; progress, log lines and failure come by themselves."""

    def __init__(self, payload: Simulation, job: JobContext) -> None:
        self._payload = payload
        self._job = job
        self._seed = random.getrandbits(32) if payload.seed is None else payload.seed
        self._began = time.monotonic()

    def __iter__(self) -> Iterator[float]:
        """Give the seconds that each step takes.

        Raises:
            JobError: the simulation fails here (`simulated_failure`); another attempt may come through.
        """
        steps, job = self._payload.steps, self._job
        failing = self._failing_step()
        # A chance of its own, so that a seed fails where it did before there were latencies.
        latency = random.Random(f"{self._seed}:{job.attempt}:latency")  # noqa: S311 - repeatable
        payload = self._payload
        job.log.info("attempt %d of %d: %d steps, seed %d", job.attempt, job.max_attempts, steps, self._seed)
        for step in range(1, steps + 1):
            if step == failing:
                job.log.warning("step %d fails", step)
                raise JobError(f"the simulation failed at step {step} of {steps}", code="simulated_failure")
            seconds = drawn(payload.latency, payload.step_seconds, payload.latency_spread, latency)
            yield min(seconds, payload.latency_cap_seconds)
            job.progress(step / steps, f"step {step} of {steps}")
        job.log.info("done")

    def result(self) -> SimulationResult:
        """Sum up after the last step."""
        steps = self._payload.steps
        return SimulationResult(
            steps=steps,
            seconds=round(time.monotonic() - self._began, 3),
            attempt=self._job.attempt,
            checksum=hashlib.sha256(f"{self._seed}:{steps}".encode()).hexdigest()[:16],
            filling="." * self._payload.result_size,
        )

    def _failing_step(self) -> int | None:
        """Say where this attempt fails; its number is part of the chance, so that a retry may come through."""
        # No secret hangs on it, and it must be repeatable.
        chance = random.Random(f"{self._seed}:{self._job.attempt}")  # noqa: S311
        payload = self._payload
        in_burst = is_in_burst(time.time(), payload.burst_period_seconds, payload.burst_seconds)
        likely = max(payload.failure_chance, payload.burst_failure_chance if in_burst else 0)
        if self._job.attempt <= payload.fail_attempts or chance.random() < likely:
            return chance.randint(1, self._payload.steps)
        return None
