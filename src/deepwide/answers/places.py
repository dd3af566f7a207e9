"""What a MODEL names on disk: a file, a folder with a model in it, or nothing; and the config.json that lies there.

Names come from users and from other systems, so they may be anything: too long, unreadable, with commas and equals
signs in them. Whatever they are, the answer is a path or one line saying what is wrong.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput
from deepwide.formats.config_file import LARGEST_CONFIG_BYTES, config_fields

ENDINGS = (".json", ".safetensors", ".gguf")
OF_PATHS = ("/", "./", "../", "~")
IN_A_FOLDER = ("config.json", "model.safetensors.index.json", "model.safetensors")
OF_WEIGHTS = (".safetensors.index.json", ".safetensors", ".gguf")
LATER_PART = re.compile(r"-(?!00001-)\d{5}-of-\d{5}\.gguf$")  # the first part speaks for all
LONGEST_PATH = 4096  # what Linux takes
MOST_NAMED = 3  # files that a message names


def on_disk(text: str) -> tuple[Path | None, str]:
    """The longest beginning of a MODEL, up to the end or a comma, that is a path; and the changes after it."""
    words = text.split(",") if 0 < len(text) < LONGEST_PATH else []
    for cut in range(len(words), 0, -1):
        path = _path(",".join(words[:cut]))
        if path is not None:
            return path, ",".join(words[cut:])
    return None, ""


def looks_like_a_file(text: str) -> bool:
    """Whether a MODEL that is not there must have been meant as a file."""
    return text.startswith(OF_PATHS) or (text.endswith(ENDINGS) and ("=" not in text or "/" in text))


def readable(path: Path) -> Path:
    """The path itself, or the file that stands for a model where it is a folder; an error where it is neither."""
    try:
        if not path.is_dir():
            if stat.S_ISFIFO(path.stat().st_mode):
                raise BadInput(f"{printable(path)} is a pipe, whose end would be waited for; give a file")
            return path
        found = _held(path)
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"no file called {printable(path)}") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{printable(path)} cannot be read: {_reason(error)}") from None
    if not found:
        raise BadInput(f"{printable(path)} is a folder with no config.json, .safetensors or .gguf in it")
    if len(found) > 1:
        names = ", ".join(printable(file.name) for file in found[:MOST_NAMED])
        raise BadInput(f"{printable(path)} is a folder with {len(found)} files of weights ({names}); give one of them")
    return found[0]


def holds_a_model(path: Path) -> bool:
    """Whether a path is a file, or a folder with a model in it."""
    try:
        return not path.is_dir() or bool(_held(path))
    except OSError:
        return False


def json_table(path: Path) -> Mapping[str, Any]:
    """The fields of a config.json, if it is a table of a believable size. No more is read than may be."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_CONFIG_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{printable(path)} cannot be read: {_reason(error)}") from None
    return config_fields(text, printable(path))


def printable(path: Path | str) -> str:
    """A path as it can be printed on one line, whatever bytes its name has."""
    text = str(path)
    return text if text.isprintable() else ascii(text)[1:-1]


def _path(text: str) -> Path | None:
    """The path of this name, if something is there or may be: a folder that is closed to us counts."""
    try:
        path = Path(text).expanduser()
        return path if text and path.exists() else None
    except PermissionError:
        return path
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a null character
        return None


def _held(folder: Path) -> list[Path]:
    """The files of a folder that can stand for a model: the config, else the index, else every file of weights."""
    for name in IN_A_FOLDER:
        if (folder / name).is_file():
            return [folder / name]
    files = sorted(file for file in folder.iterdir() if file.name.endswith(OF_WEIGHTS))
    indices = [file for file in files if file.suffix == ".json"]
    return indices or [file for file in files if file.suffix != ".gguf" or not LATER_PART.search(file.name)]


def _reason(error: Exception) -> str:
    return str((error.strerror if isinstance(error, OSError) else "") or error)
