"""The application: the routes, the page's files, and one line for whatever goes wrong."""

from __future__ import annotations

from functools import partial

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepwide.errors import BadInput
from deepwide.web.configs import configs
from deepwide.web.desk import Desk
from deepwide.web.files import page
from deepwide.web.routes import api
from deepwide.web.schema import openapi
from deepwide.web.search import search

ABOUT = "Transformer shapes taken apart, priced and compared. The answers are those of the command line's --json."
COMPRESSION = 4  # of nine: the bytes of a higher level are hardly fewer
LONGEST_ERROR = 600
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def application() -> FastAPI:
    """The server's application, with nothing asked yet."""
    app = FastAPI(title="deepwide", description=ABOUT, docs_url=None, redoc_url=None)  # those pages need a network
    app.state.desk = Desk()
    for router in (api, search, configs, page):
        app.include_router(router)
    app.openapi = partial(openapi, app)  # type: ignore[method-assign]  # the way that FastAPI documents
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=COMPRESSION)
    app.add_middleware(Guarded)
    app.exception_handler(BadInput)(_bad_input)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_refused)
    return app


class Guarded:
    """Nothing from elsewhere is loaded by the page, and no other page may frame it: headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes everything on, with the headers put before the first byte."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, sent)


async def _bad_input(_: Request, error: Exception) -> JSONResponse:
    return _line(422, str(error))


async def _refused(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 400
    return _line(status, str(getattr(error, "detail", error)))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """The first field that is wrong: its name, and what was expected."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"msg": str(error)}
    where = ".".join(str(part) for part in first.get("loc", ()) if part != "query")
    said = str(first["msg"]).removeprefix("Value error, ")
    return _line(422, f"{where}: {said}" if where else said)


def _line(status: int, text: str) -> JSONResponse:
    line = " ".join(text.split())
    return JSONResponse({"error": line[:LONGEST_ERROR]}, status_code=status)
