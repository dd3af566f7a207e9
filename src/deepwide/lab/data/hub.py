"""Text from the Hugging Face Hub, where its library `datasets` is installed: `hf:OWNER/NAME[:CONFIG][:SPLIT]`.

Rows are documents. Code that comes with a data set is never run: versions of the library that could are refused. So
is a name without its owner, since the library takes some of those (`text`, `json`) for all files of the current folder.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from deepwide.errors import BadInput
from deepwide.lab.data.documents import Document, clean
from deepwide.lab.store.files import shown

PREFIX = "hf:"
FIRST_SAFE_VERSION = 4  # from it on, the library has lost the means to run a data set's own code
SHAPE = re.compile(r"hf:(?P<name>\w[\w.-]*/\w[\w.-]*)(?::(?P<config>[\w.-]*))?(?::(?P<split>\w*))?", re.ASCII)
MOST_ROWS = 5_000_000


def hub_documents(source: str) -> list[Document]:
    """The rows of a data set, each a document; BadInput says what is missing and the way out."""
    asked = SHAPE.fullmatch(source)
    if asked is None:
        raise BadInput(
            f"data={shown(source)!r} must be hf:OWNER/NAME[:CONFIG][:SPLIT], as in hf:roneneldan/TinyStories or "
            "hf:Salesforce/wikitext:wikitext-2-raw-v1:train"
        )
    if Path(asked["name"]).exists():
        raise BadInput(
            f"data={source!r}: {asked['name']} is here; leave hf: out, or start elsewhere to have it from the Hub"
        )
    rows = _rows(source, asked["name"], asked["config"] or None, asked["split"] or "train")
    column = _text_column(source, rows)
    if len(rows) > MOST_ROWS:
        raise BadInput(
            f"data={shown(source)!r}: {len(rows):,} rows, more than {MOST_ROWS:,}; save a part of it as text"
        )
    return [Document(name=f"{source}[{i}]", read=partial(_row, rows, i, column)) for i in range(len(rows))]


def _rows(source: str, name: str, config: str | None, split: str) -> Any:
    """The data set, fetched or from the library's cache."""
    try:
        import datasets  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise BadInput(
            f"data={source!r} needs the library `datasets`: pip install 'datasets>=4', or give a file or a folder"
        ) from None
    version = str(datasets.__version__)
    if int(version.partition(".")[0]) < FIRST_SAFE_VERSION:
        raise BadInput(f"data={source!r}: datasets {version} can run code of others; pip install -U 'datasets>=4'")
    try:
        return datasets.load_dataset(name, config, split=split)
    except Exception as error:  # of many kinds: offline, no such name, no such split, a damaged cache
        reason = shown(" ".join(str(error).split())[:200]) or type(error).__name__
        raise BadInput(
            f"data={source!r} cannot be had: {reason}; check the name and the network, or give a file"
        ) from None


def _text_column(source: str, rows: Any) -> str:
    """The column called text, or the only one that holds strings."""
    strings = [name for name, kind in rows.features.items() if getattr(kind, "dtype", "") in ("string", "large_string")]
    if "text" in strings:
        return "text"
    if len(strings) != 1:
        raise BadInput(
            f"data={source!r}: no column `text` among {', '.join(list(rows.features)[:10])}; save it as text"
        )
    return str(strings[0])


def _row(rows: Any, index: int, column: str) -> bytes:
    text = str(rows[index][column] or "")
    if not text.strip():
        raise BadInput(f"row {index}: empty")
    return clean(text, f"row {index}", len(text))
