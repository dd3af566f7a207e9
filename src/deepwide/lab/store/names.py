"""What runs are called, and where they lie: names that are safe as folders everywhere, and readable ones by default."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput

ROOT = "runs"
ROOT_VARIABLE = "DEEPWIDE_RUNS"
MANIFEST = "manifest.json"
LONGEST_NAME = 100
LONGEST_STEM = 60
SAFE = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9_+=-]|\.(?=[A-Za-z0-9]))*"
)  # a dot stands between two others, or not at all


def root_folder(root: str | Path | None = None) -> Path:
    """The folder of all runs: the given one, else $DEEPWIDE_RUNS, else `runs` in the current folder."""
    return Path(root or os.environ.get(ROOT_VARIABLE) or ROOT)


def is_safe(name: str) -> bool:
    """Whether this can be the name of a run: it is no path, is not hidden, and prints as it is."""
    return len(name) <= LONGEST_NAME and SAFE.fullmatch(name) is not None


def safe_name(name: str) -> str:
    """The name itself; BadInput where it cannot be one."""
    if not is_safe(name):
        raise BadInput(
            f"name={name[:LONGEST_NAME]!r} cannot name a run; take up to {LONGEST_NAME} letters, digits, and - _ + = "
            "or dots between them, as in llama-4x128"
        )
    return name


def run_names(root: str | Path | None = None) -> tuple[str, ...]:
    """The names under which a manifest lies, in order; none where there is no folder."""
    try:
        with os.scandir(root_folder(root)) as entries:
            found = [entry.name for entry in entries if not entry.name.startswith(".") and _holds_a_run(entry.path)]
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"root={str(root_folder(root))!r} cannot be read: {reason}; give --root FOLDER") from None
    return tuple(sorted(found))


def default_name(root: str | Path | None, manifest: Mapping[str, Any]) -> str:
    """A name not yet taken: what the model is like, its layers x hidden, and a number.

    >>> default_name("/nowhere", {"model": "like=llama,layers=4", "architecture": {"layers": 4, "hidden": 128}})
    'llama-4x128-0001'
    """
    stem = _stem(manifest)
    numbered = re.compile(re.escape(stem) + r"-([0-9]{4,9})")
    taken = (numbered.fullmatch(name) for name in _names_of_all(root_folder(root)))
    last = max((int(found[1]) for found in taken if found), default=0)
    return f"{stem}-{last + 1:04d}"


def _stem(manifest: Mapping[str, Any]) -> str:
    """The family or the catalogue's name, and the shape where it is told."""
    text, shape = str(manifest.get("model", "")), manifest.get("architecture")
    like = re.search(r"(?:^|,)like=([^,]+)", text)
    word = like[1] if like else Path(text.partition(",")[0]).stem if "/" in text else text.partition(",")[0]
    word = re.sub(r"[^A-Za-z0-9]+", "-", "" if "=" in word else word).strip("-")[:LONGEST_STEM] or "run"
    sizes = [shape.get(key) for key in ("layers", "hidden")] if isinstance(shape, Mapping) else []
    return f"{word}-{sizes[0]}x{sizes[1]}" if sizes and all(isinstance(size, int) for size in sizes) else word


def _names_of_all(root: Path) -> list[str]:
    """Every name in the folder, of a run or not: none of them may be taken again."""
    try:
        return [entry.name for entry in root.iterdir()]
    except OSError:
        return []


def _holds_a_run(folder: str) -> bool:
    return os.path.lexists(f"{folder}/{MANIFEST}")
