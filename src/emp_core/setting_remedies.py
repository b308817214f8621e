"""Say what to write in the place of a setting's wrong value. The value itself is not told: it may be a password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

_A_DURATION: Final = "write a duration like 30s or 500ms"
_A_TEXT: Final = "write a text, in quotes"
_NAMES: Final = "write names, separated by commas"
_A_WHOLE_NUMBER: Final = "write a whole number"
_TRUE_OR_FALSE: Final = "write true or false"

_BY_TYPE: Final[Mapping[str, str]] = {
    "bool_parsing": _TRUE_OR_FALSE,
    "bool_type": _TRUE_OR_FALSE,
    "dict_type": "write pairs like type=distribution, separated by commas",
    "int_from_float": _A_WHOLE_NUMBER,
    "int_parsing": _A_WHOLE_NUMBER,
    "int_parsing_size": _A_WHOLE_NUMBER,
    "int_type": _A_WHOLE_NUMBER,
    "path_type": "write a path, in quotes",
    "string_type": _A_TEXT,
    "time_delta_parsing": _A_DURATION,
    "time_delta_type": _A_DURATION,
    "tuple_type": _NAMES,
}
"""What to write, by the name that pydantic has for the fault."""


def remedy(fault: ErrorDetails) -> str:
    """Say what to write; pydantic's own words where we have none."""
    bounds: Mapping[str, Any] = fault.get("ctx", {})
    match fault["type"]:
        case "literal_error":
            return f"write {bounds['expected']}".replace("'", "")
        case "greater_than_equal":
            return f"write at least {_shown(bounds['ge'])}"
        case "greater_than":
            return f"write more than {_shown(bounds['gt'])}"
        case "less_than_equal":
            return f"write at most {_shown(bounds['le'])}"
        case "string_too_long":
            return f"write at most {bounds['max_length']} characters"
        case "value_error":
            return str(bounds["error"])
        case other:
            return _BY_TYPE.get(other, fault["msg"])


def _shown(bound: Any) -> str:
    # The bound of a duration that may be left out comes as Python's text for it; zero is the only one there is.
    return str(bound).replace("datetime.timedelta(0)", "0 seconds")
