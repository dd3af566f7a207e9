"""A corpus: tokens to train on and tokens to validate on, out of any text, ready on the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tokenizers
from numpy.typing import NDArray

from deepwide.errors import BadInput
from deepwide.lab.data import hub, standard_library, token_file
from deepwide.lab.data.documents import Document, documents_of
from deepwide.lab.data.draws import LARGEST
from deepwide.lab.data.split import Part, Split, split, survey
from deepwide.lab.data.synthetic import Task, task_of, words
from deepwide.lab.data.tokenizer import Tokenizer
from deepwide.lab.data.tokenizer_files import bpe_vocab, byte_tokenizer, from_json, load, trained_bpe
from deepwide.lab.store.files import replace_whole, shown, written

VALIDATION_SHARE = 0.05
KEY_LETTERS = 20  # of a hash: enough that no two files of a folder ever share a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Text as tokens. `sha256` is equal where both sides hold the same text: only then are losses compared.

    `train` and `validation` are one-dimensional, read-only and memory-mapped. `kind` says what they hold: running text,
    documents apart by the token `end`, or pairs for an encoder-decoder. A separator counts as one byte of the text.
    """

    train: NDArray[Any]
    validation: NDArray[Any]
    train_text_bytes: int
    validation_text_bytes: int
    vocab: int
    tokenizer: Tokenizer
    sha256: str
    source: str
    kind: Literal["text", "pairs"]
    path: Path
    notes: tuple[str, ...] = ()

    def nats_per_byte(self, loss: float) -> float:
        """A validation loss in nats a token, told per byte of text: the same scale for every tokeniser."""
        return loss * len(self.validation) / self.validation_text_bytes


def prepare(
    source: str | Path | Sequence[str | Path] = "",
    *,
    folder: str | Path,
    tokenizer: str | Tokenizer = "bytes",
    validation_share: float = VALIDATION_SHARE,
    seed: int = 0,
) -> Corpus:
    """The corpus of a source: nothing or `stdlib`, files, folders, globs, `hf:OWNER/NAME`, `copy` or `reverse`.

    `tokenizer` is one, or the name of one that is found or trained.

    Its tokens lie in the folder, and are made only where they do not lie there yet.
    """
    if not 0 < validation_share <= 0.5:
        raise BadInput(f"validation_share={validation_share} must be above 0 and at most 0.5")
    if not 0 <= seed < LARGEST:
        raise BadInput(f"seed={seed} must be a whole number from 0 to 2**64 − 1")
    sources = [source] if isinstance(source, str | Path) else list(source)
    first = str(sources[0]) if len(sources) == 1 else ""
    task = task_of(first)
    if task:
        return _task_corpus(task, first, _name(tokenizer), Path(folder), validation_share, seed)
    documents, notes = _documents(sources)
    return _text_corpus(documents, notes, sources, tokenizer, Path(folder), validation_share, seed)


def _documents(sources: Sequence[str | Path]) -> tuple[list[Document], list[str]]:
    """Everything that the sources name, each a document."""
    if not sources:
        raise BadInput("data names no file; give one, a folder or a glob, or leave it out for the standard library")
    documents: list[Document] = []
    notes: list[str] = []
    for source in sources:
        if source in standard_library.NAMES:
            found, said = standard_library.standard_library()
            notes += said
        else:
            hubs = str(source).startswith(hub.PREFIX)
            found = hub.hub_documents(str(source)) if hubs else documents_of(source)
        documents += found
    return documents, notes


def _text_corpus(
    documents: Sequence[Document],
    notes: Sequence[str],
    sources: Sequence[str | Path],
    tokenizer: str | Tokenizer,
    folder: Path,
    share: float,
    seed: int,
) -> Corpus:
    texts, said = survey(documents)
    sides = split(texts, share=share, seed=seed)
    name = ", ".join(shown(source) or "stdlib" for source in sources[:5])
    if not sides.train or not sides.validation:
        raise BadInput(
            f"data={name!r}: {sum(text.size_bytes for text in texts)} bytes are too little to train and validate"
        )
    found = _tokenizer(tokenizer, sides, folder) if isinstance(tokenizer, str) else tokenizer
    said += _remarks(found, _name(tokenizer))
    streams = (_stream(sides.train, found), _stream(sides.validation, found))
    return _corpus(streams, sides.sha256, found, folder, source=name, kind="text", notes=(*notes, *said))


def _task_corpus(task: Task, source: str, tokenizer: str, folder: Path, share: float, seed: int) -> Corpus:
    if tokenizer != "bytes":
        raise BadInput(f"tokenizer={tokenizer!r}: {task.name} is made of single letters; take tokenizer=bytes")
    found = words(task, seed)
    count = max(1, round(share * len(found)))
    sides = (found[count:], found[:count])
    sha256 = hashlib.sha256(f"{task}\n{count}\n{' '.join(found)}".encode()).hexdigest()
    streams = tuple(_pair_stream(task, side) for side in sides)
    return _corpus((streams[0], streams[1]), sha256, byte_tokenizer(), folder, source=source, kind="pairs", notes=())


def _corpus(
    streams: tuple[token_file.Stream, token_file.Stream],
    sha256: str,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    source: str,
    kind: Literal["text", "pairs"],
    notes: tuple[str, ...],
) -> Corpus:
    """The corpus out of its token file, which is made where it is not there, cut short or altered."""
    identity = tokenizer.engine.to_str()
    key = _key(str(token_file.FORMAT), sha256, identity, str(sorted(tokenizer.specials.items())))
    about = {"source": source, "corpus_sha256": sha256, "tokenizer": tokenizer.name, "vocab": tokenizer.vocab}
    sizes = token_file.stored(folder, key) or token_file.write(folder, key, tokenizer.dtype, streams, about)
    train, validation = token_file.mapped(folder, key, sizes)
    return Corpus(
        train=train,
        validation=validation,
        train_text_bytes=sizes.train_text_bytes,
        validation_text_bytes=sizes.validation_text_bytes,
        vocab=tokenizer.vocab,
        tokenizer=tokenizer,
        sha256=sha256,
        source=source,
        kind=kind,
        path=folder / f"tokens-{key}.bin",
        notes=notes,
    )


def _stream(parts: Sequence[Part], tokenizer: Tokenizer) -> token_file.Stream:
    """The tokens of the documents in turn, each with the token that ends it, where the tokeniser has one."""
    end = [tokenizer.specials["end"]] if "end" in tokenizer.specials else []
    for part in parts:
        raw = part.read()
        tokens = np.append(tokenizer.encoded(raw), np.array(end, dtype=tokenizer.dtype))
        yield tokens, len(raw) + len(end)


def _pair_stream(task: Task, sides: Sequence[str]) -> token_file.Stream:
    tokenizer = byte_tokenizer()
    start, end = bytes([tokenizer.special("start")]), bytes([tokenizer.special("end")])
    raw = b"".join(word.encode() + start + task.answer(word).encode() + end for word in sides)
    yield np.frombuffer(raw, dtype=np.uint8), len(raw)


def _tokenizer(name: str, sides: Split, folder: Path) -> Tokenizer:
    """The tokeniser of a name; a BPE is trained on the training side alone, and kept in the folder."""
    if name == "bytes":
        return byte_tokenizer()
    if not name.startswith("bpe:"):
        return load(name)
    vocab = bpe_vocab(name)
    path = folder / f"tokenizer-{_key(name, tokenizers.__version__, sides.sha256)}.json"
    kept = _kept(path, name)
    if kept:
        return kept
    trained = trained_bpe(_texts(sides.train), vocab)
    text = trained.engine.to_str().encode()
    with written(folder, token_file.WAY_OUT):
        folder.mkdir(parents=True, exist_ok=True)
        replace_whole(path, hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    return trained


def _name(tokenizer: str | Tokenizer) -> str:
    return tokenizer if isinstance(tokenizer, str) else tokenizer.name


def _kept(path: Path, name: str) -> Tokenizer | None:
    """The tokeniser that was trained before: its hash is the first line, and one that was altered is none."""
    try:
        sha256, _, text = path.read_bytes().partition(b"\n")
    except (OSError, ValueError):
        return None
    whole = hashlib.sha256(text).hexdigest().encode() == sha256
    return from_json(text.decode(), name=name) if whole else None


def _texts(parts: Sequence[Part]) -> Iterator[str]:
    return (part.read().decode(errors="replace") for part in parts)


def _remarks(tokenizer: Tokenizer, name: str) -> list[str]:
    """What a user would want to know of the tokeniser that was found."""
    said = []
    if name.startswith("bpe:") and tokenizer.vocab < bpe_vocab(name):
        said.append(f"{name}: the text has enough in it for {tokenizer.vocab} tokens only")
    if "end" not in tokenizer.specials:
        said.append(f"{name}: no token ends a document, so documents follow each other without a mark")
    return said


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:KEY_LETTERS]
