"""How the page's server bears a crowd: clients who ask what the page asks, for a minute; the slowest of a hundred.

    python benchmarks/serve.py --clients 200 --seconds 60

Starts the server in a process of its own, then asks it over as many connections from a second one. A share of the
questions is new (`--new`), as when somebody moves a slider; the others were asked before. With `--search` a design runs
all the time beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from urllib.parse import urlencode

ROUTES = (
    ("count", {"explain": "true"}),
    ("memory", {"on": "h100-sxm"}),
    ("predict/inference", {"on": "h100-sxm"}),
    ("predict/loss", {"tokens": "1T"}),
)
PORT = 8765


class Seen:
    """What came back: how long each answer took, and what was no answer."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.wrong: list[str] = []


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--clients", type=int, default=200)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--new", type=float, default=0.05, help="share of questions that nobody asked before")
    options.add_argument("--pause", type=float, default=0.5, help="seconds that a client looks at an answer")
    options.add_argument("--search", action="store_true")
    asked = options.parse_args()
    command = [sys.executable, "-m", "deepwide", "serve", "--port", str(PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            seen = asyncio.run(crowd(asked))
        finally:
            server.terminate()
    print(json.dumps(summary(seen, asked), indent=1))


async def crowd(asked: argparse.Namespace) -> Seen:
    seen, end_s = Seen(), time.perf_counter() + asked.seconds
    for route, more in ROUTES:
        await get(*await asyncio.open_connection("127.0.0.1", PORT), route, {"model": "llama-3-8b", **more})
    searches = [search(end_s)] if asked.search else []
    await asyncio.gather(*(client(n, asked, end_s, seen) for n in range(asked.clients)), *searches)
    return seen


async def client(number: int, asked: argparse.Namespace, end_s: float, seen: Seen) -> None:
    """One who looks at an answer for a moment, then asks the next question."""
    chance = random.Random(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    await asyncio.sleep(chance.random() * asked.pause)
    while time.perf_counter() < end_s:
        route, more = chance.choice(ROUTES)
        layers = chance.randrange(1, 100_000) if chance.random() < asked.new else chance.randrange(1, 65)
        started = time.perf_counter()
        status, body = await get(reader, writer, route, {"model": f"llama-3-8b,layers={layers}", **more})
        seen.times_s.append(time.perf_counter() - started)
        if status != 200:
            seen.wrong.append(f"{status} {body[:120]!r}")
        await asyncio.sleep(2 * chance.random() * asked.pause)
    writer.close()


async def search(end_s: float) -> None:
    while time.perf_counter() < end_s:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        await get(reader, writer, "design", {"on": "h100-sxm", "parameters": "1B"})
        writer.close()


async def get(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, route: str, question: dict[str, str]
) -> tuple[int, bytes]:
    """One question over an open connection: the status and the body."""
    writer.write(f"GET /api/{route}?{urlencode(question)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(head.split()[1]), await reader.readexactly(length)


def summary(seen: Seen, asked: argparse.Namespace) -> dict[str, object]:
    ordered = sorted(seen.times_s)
    at = {
        name: round(1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)
        for name, share in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99), ("worst_ms", 1.0))
    }
    return {
        "clients": asked.clients,
        "seconds": asked.seconds,
        "new": asked.new,
        "search": asked.search,
        "answers": len(ordered),
        "per_s": round(len(ordered) / asked.seconds),
        **at,
        "wrong": len(seen.wrong),
        "first_wrong": seen.wrong[:3],
    }


if __name__ == "__main__":
    main()
