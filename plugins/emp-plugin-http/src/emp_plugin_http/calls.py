"""What a call is made of in a payload, and what of it is refused before anything is sent."""

from __future__ import annotations

import base64
import binascii
import re
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from emp_plugin_http.settings import MIB

BODY_LIMIT: Final = 4 * MIB
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110, 5.6.2
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8192}")  # RFC 9110, 5.5
_OURS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Header fields that say how a message is sent; a payload that set them could make two requests of one."""


class Method(StrEnum):
    """How a request is made."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


def _headers(headers: dict[str, str]) -> dict[str, str]:
    if len(headers) > 100:
        raise ValueError("at most 100 header fields are sent")
    for name, value in headers.items():
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name of a header field")
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise ValueError(f"{name} is set by the worker and cannot be given")
        if _VALUE.fullmatch(value) is None:
            raise ValueError(
                f"the value of {name} holds what no header field may: a line break, or a character beyond Latin-1"
            )
    return headers


Url = Annotated[str, Field(min_length=1, max_length=8192)]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]


class Call(BaseModel):
    """One request to make. At most one of the three bodies may be given."""

    model_config = ConfigDict(extra="forbid")

    url: Url = Field(description="where to send it, http or https; the worker's operator says which hosts may be asked")
    method: Method = Field(default=Method.GET, description="how it is made")
    headers: Headers = Field(default_factory=dict, description="header fields to send")
    body: str | None = Field(default=None, max_length=BODY_LIMIT, description="a text to send as the body, in UTF-8")
    body_base64: str | None = Field(
        default=None, max_length=BODY_LIMIT * 4 // 3 + 4, description="bytes to send as the body, in base64"
    )
    json_body: JsonValue = Field(
        default=None, description="a JSON value to send as the body, as application/json; null: none"
    )

    @model_validator(mode="after")
    def _one_body(self) -> Call:
        if sum(each is not None for each in (self.body, self.body_base64, self.json_body)) > 1:
            raise ValueError("give one of body, body_base64 and json_body")
        if self.body_base64 is not None:
            try:
                base64.b64decode(self.body_base64, validate=True)
            except (binascii.Error, ValueError) as error:
                raise ValueError(f"body_base64 is not base64: {error}") from None
        return self


class Answer(BaseModel):
    """What a service answered."""

    status: int = Field(description="the status code")
    url: str = Field(description="where the answer came from, after redirects")
    redirects: int = Field(description="how many redirects led there")
    headers: dict[str, str] = Field(
        description="its header fields, names in small letters; repeated ones joined by a comma"
    )
    bytes: int = Field(description="how many bytes the body has")
    body: str | None = Field(default=None, description="the body, where it is text in UTF-8")
    body_base64: str | None = Field(default=None, description="the body in base64, where it is not")


def answer_body(data: bytes) -> dict[str, Any]:
    """Give the fields of an answer that hold its body."""
    try:
        return {"bytes": len(data), "body": data.decode()}
    except UnicodeDecodeError:
        return {"bytes": len(data), "body_base64": base64.b64encode(data).decode()}
