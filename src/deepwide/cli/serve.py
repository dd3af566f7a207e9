"""`deepwide serve`: the page and its API on this machine."""

from __future__ import annotations

import socket
import sys

import click

from deepwide.errors import BadInput

LOOPBACK = "127.0.0.1"
SWITCH_S = 0.001  # a long answer lets a short one by after a millisecond, not after Python's five


@click.command()
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any that is free."
)
@click.option("--host", default=LOOPBACK, show_default=True, help="Who may come: 0.0.0.0 lets the whole network in.")
@click.option("--open", "opened", is_flag=True, help="Open the page in a browser.")
def command(port: int, host: str, opened: bool) -> None:
    """The page: any model at once, deep against wide at its size, a second beside it. Ctrl-C ends it.

    \b
    deepwide serve --open
    deepwide serve --port 8080
    """
    try:
        import uvicorn

        from deepwide.web.app import application
    except ModuleNotFoundError as missing:
        raise BadInput(f"the page needs {missing.name}: pip install 'deepwide[web]'") from None
    place = bound(host, port)
    address = f"http://{host}:{place.getsockname()[1]}/"
    click.echo(f"deepwide is at {address}  (Ctrl-C ends it)")
    if opened:
        click.launch(address)
    sys.setswitchinterval(SWITCH_S)
    config = uvicorn.Config(application(), log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[place])


def bound(host: str, port: int) -> socket.socket:
    """The port, taken; one line where somebody else has it."""
    try:
        return socket.create_server((host, port), backlog=1024, family=_family(host))
    except (OSError, OverflowError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0]  # asyncio repeats the address
        raise BadInput(f"--port {port} on {host} cannot be taken: {reason}; choose another --port") from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
