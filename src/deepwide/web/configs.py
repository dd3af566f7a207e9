"""POST /api/configs: a config.json becomes a MODEL. Its contents are read, never a path, and nothing is executed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel

from deepwide.answers.models import find_model
from deepwide.answers.shelf import only_from
from deepwide.web import asked
from deepwide.web.desk import Desk
from deepwide.web.routes import REFUSED, Refusal
from deepwide.web.shelf import LARGEST_CONFIG_BYTES

BODY = {"content": {"application/json": {"schema": {"type": "object"}}}, "required": True}
TOO_LONG: dict[int | str, dict[str, Any]] = {413: {"model": Refusal, "description": "The body is too long."}}
configs = APIRouter(prefix="/api", responses=REFUSED, tags=["models"])


class Kept(BaseModel):
    """The name under which the config is a MODEL in every other question."""

    model: str


@configs.post(
    "/configs", summary="A config.json becomes a MODEL", responses=TOO_LONG, openapi_extra={"requestBody": BODY}
)
async def of_config(request: Request, _: Annotated[asked.Nothing, Query()]) -> Kept:
    """Send the file as it is. It is kept in memory, the oldest forgotten first; the same file has the same name."""
    text = await _body(request)
    desk: Desk = request.app.state.desk
    name = desk.shelf.put(text)
    with only_from(desk.shelf.configs(name)):
        find_model(name)  # a config that is no model is refused now
    return Kept(model=name)


async def _body(request: Request) -> bytes:
    """The body, read no further than a config.json may be long."""
    text = bytearray()
    async for piece in request.stream():
        text += piece
        if len(text) > LARGEST_CONFIG_BYTES:
            raise HTTPException(413, f"a config.json of more than {LARGEST_CONFIG_BYTES:,} bytes is not taken")
    return bytes(text)
