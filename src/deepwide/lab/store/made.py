"""A run that was not trained but made of another: its folder appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput
from deepwide.lab.store.environment import environment
from deepwide.lab.store.files import json_bytes, plain, replace_whole, shown, sweep_parts, written
from deepwide.lab.store.folder import Run, now, open_run
from deepwide.lab.store.index import update_index
from deepwide.lab.store.names import MANIFEST, root_folder, safe_name
from deepwide.lab.store.summary import checked

MOST_NAMES = 1000


def free_name(root: str | Path | None, name: str, usual: str) -> str:
    """The name that was asked for, if it is not taken; else the usual one, with a number where that is."""
    folder = root_folder(root)
    if name:
        if os.path.lexists(folder / safe_name(name)):
            raise BadInput(f"there is a run called {name} in {shown(folder)} already; choose another --name")
        return name
    numbered = (usual, *(f"{usual}-{number}" for number in range(2, MOST_NAMES)))
    for each in numbered:
        if not os.path.lexists(folder / each):
            return safe_name(each)
    raise BadInput(f"there are {MOST_NAMES} runs called {usual} in {shown(folder)}; give --name")


def keep_whole(root: str | Path | None, name: str, manifest: Mapping[str, Any], fill: Callable[[Path], None]) -> Run:
    """Makes the folder under a hidden name, lets `fill` write into it, and moves it into place."""
    folder = root_folder(root)
    part = folder / f".{name}.{os.getpid()}.part"
    whole = checked({"environment": environment(), **plain(manifest), "created": now(), "finished": now()})
    with written(folder / name):
        folder.mkdir(parents=True, exist_ok=True)
        sweep_parts(folder, ".*.part")
        shutil.rmtree(part, ignore_errors=True)  # of a process of this number that was killed
        try:
            part.mkdir()
            fill(part)
            replace_whole(part / MANIFEST, json_bytes(whole))
            part.rename(folder / name)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    update_index(folder / name)
    return open_run(folder, name)
