"""The media types that the server reads and answers with, each written once."""

from __future__ import annotations

from typing import Final

JSON: Final = "application/json"
JSON_LINES: Final = "application/jsonl"
JSON_SCHEMA: Final = "application/schema+json"
PROBLEM: Final = "application/problem+json"
EVENT_STREAM: Final = "text/event-stream"
HTML: Final = "text/html"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
