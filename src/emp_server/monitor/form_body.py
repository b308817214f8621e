"""Read what a form of the monitor sends, and only from the monitor's own pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from emp_core.errors import InvalidRequest, NotAllowed
from emp_server.body import media_type, read_body
from emp_server.turns import apart

FORM: Final = frozenset({b"application/x-www-form-urlencoded"})
FIELDS: Final = 5000

Form = Mapping[str, Sequence[str]]


async def read_form(request: Request, limit_bytes: int) -> Form:
    """Read a form's fields, each with all its values in order.

    A form needs no permission to be sent from a foreign page, unlike JSON. The door has refused what says that it comes
    from one; here a browser has to say that it does not.

    Raises:
        NotAllowed: nothing says that a page of ours has sent it.
        TooLarge: it is over the limit.
        InvalidRequest: it is not a form in UTF-8.
    """
    headers = dict(request.scope["headers"])
    # The door has compared an origin with the host; `null` did not pass.
    if b"origin" not in headers and headers.get(b"sec-fetch-site") != b"same-origin":
        raise NotAllowed("this has to be sent by a page of this server; programs use the API")
    media_type(headers, FORM)
    body = await read_body(headers, request.receive, limit_bytes)
    return await apart(parse_form, body)


def parse_form(body: bytes) -> Form:
    """Take a form's body apart.

    Raises:
        InvalidRequest: it is not a form in UTF-8, or has too many fields.
    """
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
    except ValueError as error:
        raise InvalidRequest(f"this is not a form: {error}") from error
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return form


def first(form: Form, name: str) -> str:
    """Give a field's first value; empty where it was not sent."""
    values = form.get(name)
    return values[0] if values else ""


def way_back(form: Form, otherwise: str) -> str:
    """Give the page of ours that the form came from, never an address elsewhere."""
    given = first(form, "back")
    parts = urlsplit(given)
    is_ours = not (parts.scheme or parts.netloc) and given.startswith(("/jobs", "/types/", "/workers/"))
    return given if is_ours and given.isprintable() and "\\" not in given else otherwise
