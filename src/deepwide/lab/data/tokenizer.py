"""How text becomes tokens and back: bytes, or pieces that the `tokenizers` library trained or was given.

Every tokeniser has the tokens that each objective needs, under the same four names:

    pad    fills a row of a batch up; never read, never a target
    start  what the decoder of an encoder-decoder reads before its first token
    end    between two documents; where a generated text stops
    mask   what a masked LM reads in place of a token

*bytes* has exactly 256 tokens, whose numbers are the bytes. UTF-8 never uses the bytes 0xF5 to 0xFF, so the four names
take 252 to 255: no text holds them, and one vocabulary of 256 serves every objective. A trained BPE puts them first.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepwide.errors import BadInput

SPECIALS = ("pad", "start", "end", "mask")
BYTE_SPECIALS = {name: 252 + i for i, name in enumerate(SPECIALS)}
BYTES = 256
MOST_AT_ONCE_BYTES = 2**20  # of text that the library is given in one go; it needs a hundred times as much memory
UNKNOWN = "\ufffd".encode()  # what a token number outside the vocabulary reads as


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """A tokeniser. `engine` is the `tokenizers` one; `pieces` the bytes of each token, where tokens are bytes."""

    name: str
    vocab: int
    specials: Mapping[str, int]
    engine: Any
    pieces: tuple[bytes, ...] | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest of the two types in which token files hold numbers."""
        return np.dtype("<u2" if self.vocab <= 2**16 else "<u4")

    @property
    def special_ids(self) -> tuple[int, ...]:
        """The numbers of the special tokens, in order."""
        return tuple(sorted(set(self.specials.values())))

    def special(self, name: str) -> int:
        """The number of a special token: end, start, pad or mask."""
        if name not in self.specials:
            known = ", ".join(self.specials) or "none"
            raise BadInput(
                f"tokenizer={self.name!r} has no token for {name!r} (it has: {known}); take 'bytes' or 'bpe:4096'"
            )
        return self.specials[name]

    def encode(self, text: str) -> list[int]:
        """The tokens of a text. The names of special tokens in it are text like any other."""
        tokens: list[int] = self.encoded(text.encode("utf-8", errors="replace")).tolist()
        return tokens

    def encoded(self, text: bytes) -> NDArray[Any]:
        """The tokens of a text in UTF-8, as an array."""
        if self.name == "bytes":
            return np.frombuffer(text, dtype=np.uint8).astype(self.dtype)
        rows = (self.engine.encode(piece, add_special_tokens=False).ids for piece in _pieces(text))
        arrays = [np.array(row, dtype=self.dtype) for row in rows]
        return np.concatenate(arrays) if arrays else np.empty(0, dtype=self.dtype)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; special tokens say nothing, broken UTF-8 reads as U+FFFD."""
        numbers = [int(token) for token in tokens]
        if self.pieces is None:
            known = [number for number in numbers if 0 <= number < self.vocab]
            return str(self.engine.decode(known, skip_special_tokens=True))
        return b"".join(_piece(self.pieces, number) for number in numbers).decode("utf-8", errors="replace")

    def stream(self) -> Callable[[int | None], str]:
        """A function that takes token after token and returns the text that each completes; None asks for what is left.

        A character of several bytes appears once its last byte has come; the parts join to what `decode` gives.
        """
        return self._byte_stream(self.pieces) if self.pieces is not None else self._word_stream()

    def save(self, folder: str | Path) -> None:
        """Writes tokenizer.json and tokenizer_config.json, as transformers reads them."""
        from deepwide.lab.data.tokenizer_files import save

        save(self, Path(folder))

    def _byte_stream(self, pieces: tuple[bytes, ...]) -> Callable[[int | None], str]:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

        def push(token: int | None) -> str:
            return decoder.decode(b"", final=True) if token is None else decoder.decode(_piece(pieces, int(token)))

        return push

    def _word_stream(self) -> Callable[[int | None], str]:
        """For tokens that are not bytes: the text so far is decoded anew, and what is new of it is given."""
        tokens: list[int] = []
        told = ""

        def push(token: int | None) -> str:
            nonlocal told
            tokens.extend([] if token is None else [int(token)])
            text = self.decode(tokens)
            if token is not None and text.endswith("\ufffd"):  # the next token may complete it
                return ""
            new, told = text[len(told) :], text
            return new

        return push


def _piece(pieces: Sequence[bytes], number: int) -> bytes:
    return pieces[number] if 0 <= number < len(pieces) else UNKNOWN


def _pieces(text: bytes) -> Iterator[str]:
    """The text in parts of a bearable size, cut after the end of a line where there is one."""
    begin = 0
    while begin < len(text):
        end = begin + MOST_AT_ONCE_BYTES
        if end < len(text):
            end = text.rfind(b"\n", begin, end) + 1 or _character_start(text, end)
        yield text[begin:end].decode("utf-8", errors="replace")
        begin = end


def _character_start(text: bytes, place: int) -> int:
    """The nearest place at or before this one where a character begins."""
    return next(i for i in range(place, place - 4, -1) if text[i] & 0xC0 != 0x80)
