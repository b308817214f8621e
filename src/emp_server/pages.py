"""Render the server's pages: Jinja2 with autoescape, under a policy that runs no script and fetches nothing foreign."""

from __future__ import annotations

from typing import Any, Final

from jinja2 import Environment, PackageLoader
from starlette.responses import Response

CONTENT_SECURITY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_TEMPLATES: Final = Environment(loader=PackageLoader("emp_server", "ui/templates"), autoescape=True)


def page(template: str, **values: Any) -> Response:
    """Render one page; every value in it is shown as text."""
    text = _TEMPLATES.get_template(template).render(values)
    return Response(text, media_type="text/html", headers={"Content-Security-Policy": CONTENT_SECURITY})
