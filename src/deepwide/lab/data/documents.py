"""Which texts a source holds, read as what strangers may have written: files, globs, folders.

A document is read when it is asked for, one at a time. Text is UTF-8 (what is not becomes the sign U+FFFD), its lines
end in a newline alone. A file that is named and is no text is refused; one that a folder or a glob holds is passed over
with a note.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import has_magic
from itertools import islice
from pathlib import Path

from deepwide.errors import BadInput
from deepwide.lab.store.files import shown

MOST_FILES = 200_000
MOST_FILE_BYTES = 2**30  # a document is held in memory whole while it is read
MOST_DAMAGED_SHARE = 0.05  # of the bytes that are not UTF-8: beyond it the file is in another encoding, or no text
SUFFIXES = frozenset(
    ".txt .text .md .markdown .rst .adoc .tex .org .log .srt .py .pyi .ipynb .c .h .cc .cpp .hpp .cs .java .js .jsx "
    ".ts .tsx .go .rs .rb .php .pl .sh .lua .r .jl .hs .ml .scala .kt .swift .sql .html .htm .xml .css .json .jsonl "
    ".csv .tsv .yaml .yml .toml .ini .cfg".split()
)
PASSED_OVER = frozenset("__pycache__ node_modules site-packages".split())  # hidden folders are, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text: what it is called, and how it is read. `named` by the user, not found in a folder."""

    name: str
    read: Callable[[], bytes]
    named: bool = False


def file_document(path: Path, *, name: str | None = None, named: bool = False) -> Document:
    """The document that a file holds."""
    return Document(name=name or shown(path), read=partial(text_bytes, path), named=named)


def documents_of(source: str | Path) -> list[Document]:
    """The documents under a path or a glob, in the order of their names."""
    text = str(source)
    path = Path(text).expanduser()
    try:
        if path.is_dir():
            return [file_document(found) for found in _limited(text, _files_in(path))]
        if has_magic(text) and not path.exists():
            return [file_document(found) for found in sorted(_limited(text, _matches(path)))]
        if os.path.lexists(path):
            return [file_document(path, named=True)]
    except BadInput:
        raise
    except (OSError, ValueError) as error:  # a name too long, a null character in it
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"data={shown(text)!r} cannot be read: {reason}") from None
    raise BadInput(
        f"data={shown(text)!r}: no such file or folder; give a file of text, a folder, a glob, 'stdlib', 'copy', "
        "'reverse' or 'hf:OWNER/NAME'"
    )


def text_bytes(path: Path) -> bytes:
    """A file's text in UTF-8; BadInput says in one line why there is none."""
    where = shown(path)
    raw = _content(path, where)
    if not raw:
        raise BadInput(f"{where}: empty")
    if b"\0" in raw:
        raise BadInput(f"{where}: binary, or text in UTF-16; expected text in UTF-8 (iconv converts it)")
    return clean(raw.decode("utf-8-sig", errors="replace"), where, len(raw))


def clean(text: str, where: str, raw_bytes: int) -> bytes:
    """Text as it is trained on: UTF-8, lines that end in a newline; BadInput where too much of it was none."""
    if text.count("\ufffd") > MOST_DAMAGED_SHARE * raw_bytes:
        raise BadInput(f"{where}: not text in UTF-8; convert it first (iconv -t UTF-8)")
    return text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", errors="replace")


def _content(path: Path, where: str) -> bytes:
    """The bytes of a regular file: a pipe is not waited for, a device not drained, and the size is checked first."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise BadInput(f"{where}: not a file of text but a folder, a pipe or a device")
            if about.st_size > MOST_FILE_BYTES:
                raise BadInput(f"{where}: {about.st_size:,} bytes, more than {MOST_FILE_BYTES:,}; split it first")
            return file.read(MOST_FILE_BYTES)
    except OSError as error:
        raise BadInput(f"{where}: cannot be read ({error.strerror})") from None


def _files_in(folder: Path) -> Iterator[Path]:
    """Files with the ending of a text, folder by folder; links to folders are not followed, so there are no loops."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in PASSED_OVER)
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(place, name)


def _matches(pattern: Path) -> Iterator[Path]:
    """Files that fit a pattern; `**` does not follow links to folders."""
    plain = next(i for i, part in enumerate(pattern.parts) if has_magic(part))
    base = Path(*pattern.parts[:plain])
    return (match for match in base.glob(str(Path(*pattern.parts[plain:]))) if not match.is_dir())


def _limited(source: str, paths: Iterator[Path]) -> Sequence[Path]:
    """All of the paths; BadInput where there are none, or more than anyone means."""
    found = list(islice(paths, MOST_FILES + 1))
    if not found:
        endings = " ".join(sorted(SUFFIXES)[:6])
        raise BadInput(f"data={shown(source)!r}: no text in it; a folder is searched for files that end in {endings} …")
    if len(found) > MOST_FILES:
        raise BadInput(
            f"data={shown(source)!r}: more than {MOST_FILES:,} files; join them first, or give a folder within"
        )
    return found
