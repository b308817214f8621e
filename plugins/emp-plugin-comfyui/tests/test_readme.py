"""The README says what the plugin does: every setting with its default, every failure by its code, every field."""

from __future__ import annotations

import re
from pathlib import Path

from emp_plugin_comfyui import ComfySettings, OutputFile, Run, RunResult, Upload

PLUGIN = Path(__file__).parent.parent
README = (PLUGIN / "README.md").read_text("utf-8")


def test_every_setting_is_there_with_its_default():
    rows = dict(re.findall(r"^\| `EMP_COMFYUI_([A-Z_]+)` \|.*\| ([^|]+) \|$", README, re.MULTILINE))

    written = {name.lower(): "" if default == "none" else default.strip("`") for name, default in rows.items()}
    defaults = {name: field.default for name, field in ComfySettings.model_fields.items()}
    assert written == {
        name: "" if default == () else f"{default:g}" if isinstance(default, float) else str(default)
        for name, default in defaults.items()
    }


def test_every_code_of_a_failure_is_there():
    sources = "".join(file.read_text("utf-8") for file in (PLUGIN / "src").rglob("*.py"))

    codes = set(re.findall(r'code="([a-z_]+)"', sources)) | {"out_of_memory", "node_failed"}
    table = README.partition("### Failures")[2].partition("The errors of")[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`([a-z_]+)`", "|".join(row.split("|")[:2]))]
    assert codes == set(named)


def test_every_field_is_there():
    fields = [name for model in (Run, Upload, RunResult, OutputFile) for name in model.model_fields]

    assert [name for name in fields if f"`{name}`" not in README] == []
