"""GET /api/design: a search in a process of its own, which ends with its time, or when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from time import monotonic
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from deepwide.errors import BadInput
from deepwide.web import asked
from deepwide.web.desk import Desk
from deepwide.web.routes import JSON, REFUSED, Refusal

LIMIT_S = 30.0
LOOKS_EVERY_S = 0.2  # whether the client is still there
AT_ONCE = 2
GONE = 499  # what nginx calls a request whose client left; nobody reads it
BUSY: dict[int | str, dict[str, Any]] = {429: {"model": Refusal, "description": "Other searches are running."}}
search = APIRouter(prefix="/api", responses={**REFUSED, **BUSY}, tags=["questions"])
running: set[asyncio.subprocess.Process] = set()


@search.get("/design", summary="Which shape should a model have?")
async def of_design(request: Request, question: Annotated[asked.Design, Query()]) -> Response:
    """The best shape under limits, its front and its neighbours; `recommended` is null where none keeps to them."""
    if len(running) >= AT_ONCE:
        raise HTTPException(429, f"{AT_ONCE} searches are running, as many as this server allows; ask again soon")
    desk: Desk = request.app.state.desk
    configs = desk.shelf.configs(question.like) if question.like else {}
    told = await searched({"question": question.given(), "configs": configs}, request)
    if error := told.get("error"):
        raise BadInput(error)
    return Response(json.dumps(told["answer"]), media_type=JSON)


async def searched(task: dict[str, Any], request: Request) -> dict[str, Any]:
    """What the search says; it is ended where its time is up or its client has left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deepwide.web.searching"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # its workers end with it
    )
    running.add(process)
    talk = asyncio.create_task(process.communicate(json.dumps(task).encode()))
    try:
        await _heard(talk, request)
    finally:
        _end(process)
        await asyncio.wait({talk})
        running.discard(process)
    if process.returncode:
        raise BadInput("the search came to no end; leave fewer shapes to choose from")
    found: dict[str, Any] = json.loads(talk.result()[0])
    return found


async def _heard(talk: asyncio.Task[tuple[bytes, bytes]], request: Request) -> None:
    """Waits for what the process says, as long as it may take, and as long as the client waits."""
    end_s = monotonic() + LIMIT_S
    while not (await asyncio.wait({talk}, timeout=LOOKS_EVERY_S))[0]:
        if monotonic() > end_s:
            raise BadInput(f"the search took more than {LIMIT_S:g} s; leave fewer shapes to choose from")
        if await request.is_disconnected():
            raise HTTPException(GONE, "the client left")


def _end(process: asyncio.subprocess.Process) -> None:
    """Ends a search and its workers, if it has not ended by itself."""
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it may end this very moment
            os.killpg(process.pid, signal.SIGKILL)
