"""Every setting that some process of EMP has, so that each of them can tell a misspelt name from another's setting.

The models stand beside the processes that they are for, which may not be imported here; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Final

PREFIX: Final = "EMP_"
"""How the variable of a setting begins."""
LEFT_ALONE: Final = "EMP_TEST_"
"""Variables for tests, of EMP and of plugins, begin so; no setting does."""

CREDENTIALS: Final = frozenset({"redis_url", "redis_url_file", "api_key"})
"""Settings that let their holder in; processes that run plugins are started without the variables of these."""

SETTING_NAMES: Final = frozenset(
    {
        # every process
        "redis_url", "redis_url_file", "namespace", "log_format", "log_level",
        # client commands
        "url", "api_key",
        # emp dev
        "port", "data_dir", "store_binary", "reload",
        # emp server and emp worker
        "tracing",
        # emp server
        "host", "durability", "server_workers", "insecure", "require_key", "keys_fresh_for", "session_lasts",
        "allowed_hosts", "payload_limit_bytes", "default_expires_in", "body_limit_values", "batch_limit_items",
        "batch_limit_bytes", "small_body_limit_bytes", "longest_wait", "page_default_items", "page_limit_items",
        "stream_keep_alive", "stream_buffer_updates", "job_types_fresh_for", "submissions_at_once",
        "bodies_limit_bytes", "submissions_per_second", "waiting_limit", "waiting_limit_per_type",
        "store_headroom_percent", "streams_per_client", "metrics_job_types", "head_limit_bytes", "request_patience",
        "answer_patience", "stop_grace",
        # emp worker
        "plugins", "plugins_disabled", "plugins_prefer", "plugins_import_limit", "name", "types", "concurrency",
        "max_held_bytes", "threads", "children", "children_alone", "child_max_jobs", "child_max_age",
        "child_max_growth", "processes", "grace", "max_jobs", "max_age", "health_port", "strict",
    }
)  # fmt: skip


def without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the variables that hold credentials of EMP."""
    held = {PREFIX + name.upper() for name in CREDENTIALS}
    return {name: value for name, value in environment.items() if name.upper() not in held}


def nearest(name: str) -> str | None:
    """Give the setting whose name is most like this one; None if none is."""
    return next(iter(get_close_matches(name.lower(), sorted(SETTING_NAMES), n=1)), None)


def ignored_variables(names: Iterable[str], plugins: Callable[[], Iterable[str]] = lambda: ()) -> list[str]:
    """Say which `EMP_*` variables are no settings: each may be misspelt, or belong to other software.

    Those that begin with the name of an installed plugin are that plugin's; `plugins` is asked for the names only if
    there is a variable that may be one.
    """
    lines = []
    left_alone: tuple[str, ...] | None = None
    for name in sorted(names):
        setting = name.upper().removeprefix(PREFIX).lower()
        if name.upper().startswith(PREFIX) and not name.startswith(LEFT_ALONE) and setting not in SETTING_NAMES:
            if left_alone is None:
                left_alone = tuple(f"{plugin.lower().replace('-', '_').replace('.', '_')}_" for plugin in plugins())
            if setting.startswith(left_alone):
                continue
            near = nearest(setting)
            meant = "" if near is None else f"; is {PREFIX}{near.upper()} meant?"
            lines.append(f"{name} is no setting of EMP and is ignored{meant}")
    return lines
