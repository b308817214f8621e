"""Render pages: Jinja2 with autoescape, under a policy that runs only our own scripts and fetches nothing foreign."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import Response

from emp_server.callers import Caller
from emp_server.monitor import wording
from emp_server.monitor.legible import cut, visible

CONTENT_SECURITY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    # A page of somebody who has logged out is not shown from a cache.
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": CONTENT_SECURITY,
    # With `no-referrer` a browser sends a form with the origin `null`, which the door refuses.
    "Referrer-Policy": "same-origin",
}
LONGEST_TEXT: Final = 100_000


def page(template: str, caller: Caller, status: int = 200, **values: Any) -> Response:
    """Render one page for whoever asks: every value in it is shown as text, and no act that this caller may not do."""
    text = _TEMPLATES.get_template(template).render(values, caller=caller)
    return Response(text.encode("utf-8", "replace"), status, headers=HEADERS, media_type="text/html")


def _printed(value: Any) -> Any:
    """Make every text that a template prints fit to be seen; what is marked as HTML is ours."""
    return visible(cut(value, LONGEST_TEXT)) if type(value) is str else value


@pass_context
def _when(context: Context, moment: datetime | None) -> Markup:
    """Write a time as seen from the page's `now`, with the full one at hand."""
    if moment is None:
        return Markup("&ndash;")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(), wording.absolute(moment), wording.relative(moment, context["now"])
    )


@pass_context
def _for_how_long(context: Context, since: datetime | None) -> Markup:
    """Write how long something lasts already, with the time when it began at hand."""
    if since is None:
        return Markup("&ndash;")
    duration: timedelta = context["now"] - since
    return Markup('<time datetime="{}" title="since {}">{}</time>').format(
        since.isoformat(), wording.absolute(since), wording.about(duration)
    )


def _exactly(text: str) -> Markup:
    """Escape a text and change nothing else: for what a form sends back."""
    return Markup.escape(text)


_TEMPLATES: Final = Environment(
    loader=PackageLoader("emp_server", "monitor/templates"),
    autoescape=True,
    finalize=_printed,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "absolute": wording.absolute,
    "cut": cut,
    "exactly": _exactly,
    "lasting": _for_how_long,
    "number": wording.number,
    "of_bytes": wording.of_bytes,
    "percent": wording.percent,
    "plural": wording.plural,
    "span": wording.span,
    "when": _when,
}
_TEMPLATES.globals["emp_version"] = version("emp-jobs")
