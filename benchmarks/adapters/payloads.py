"""The payload that every contestant's jobs carry."""

from __future__ import annotations

import json
from typing import Any


def payload(size: int = 200, sent: int = 0) -> dict[str, Any]:
    """Make a payload whose JSON has so many bytes."""
    bare = len(json.dumps({"sent": sent, "text": ""}))
    return {"sent": sent, "text": "x" * (size - bare)}
