"""Which documents train and which validate: never the same text on both sides.

Twins are one document. Documents are ordered by a hash of their text and of the seed, and are taken for validation in
that order until the share is reached; so neither their names nor the order of a folder matter. Where whole documents
cannot make the share (one big file), the end of each is cut off for it at the end of a line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from deepwide.errors import BadInput
from deepwide.lab.data.documents import Document

LOOSE = (0.5, 1.5)  # how far from the share asked for whole documents may leave it
MOST_LONE_SHARE = 0.2  # of the text that one whole document may take, where none is small enough for the share


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A document that was read once: a hash of its text, and how much of it there is."""

    document: Document
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The bytes of a text from one place to another."""

    text: Text
    begin: int
    end: int

    def read(self) -> bytes:
        """These bytes, unless the text has changed since it was first read."""
        raw = self.text.document.read()
        if _sha256(raw) != self.text.sha256:
            raise BadInput(f"{self.text.document.name}: changed while it was being read; run it again")
        return raw[self.begin : self.end]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The two sides, and a hash that is equal where both are."""

    train: tuple[Part, ...]
    validation: tuple[Part, ...]

    @property
    def sha256(self) -> str:
        """The hash of what lies on which side; the names of files are no part of it."""
        sides = (("train", self.train), ("validation", self.validation))
        lines = [f"{side} {part.text.sha256} {part.begin} {part.end}" for side, parts in sides for part in parts]
        return _sha256("\n".join(lines).encode())


def survey(documents: Iterable[Document]) -> tuple[list[Text], list[str]]:
    """Every distinct text, ordered by its hash, with notes on what was passed over."""
    texts: dict[str, Text] = {}
    refused: list[str] = []
    twins = 0
    for document in documents:
        try:
            raw = document.read()
        except BadInput as error:
            if document.named:
                raise
            refused.append(str(error))
            continue
        text = Text(document=document, sha256=_sha256(raw), size_bytes=len(raw))
        twins += text.sha256 in texts
        texts.setdefault(text.sha256, text)
    if not texts:
        raise BadInput(f"no text to train on: {refused[0] if refused else 'no documents'}")
    notes = [f"{len(refused)} documents passed over, the first: {refused[0]}"] if refused else []
    notes += [f"{twins} documents have the text of another and count once"] if twins else []
    return sorted(texts.values(), key=lambda text: text.sha256), notes


def split(texts: Sequence[Text], *, share: float, seed: int) -> Split:
    """The sides of the texts, by whole documents where they can make the share, by their ends where they cannot."""
    ordered = sorted(texts, key=lambda text: _sha256(f"{seed} {text.sha256}".encode()))
    chosen = {text.sha256 for text in _chosen(ordered, share)}
    if chosen:
        whole = [Part(text=text, begin=0, end=text.size_bytes) for text in ordered]
        return Split(
            train=tuple(part for part in whole if part.text.sha256 not in chosen),
            validation=tuple(part for part in whole if part.text.sha256 in chosen),
        )
    cuts = [(text, cut(text.document.read(), share)) for text in ordered]
    return Split(
        train=tuple(Part(text=text, begin=0, end=place) for text, place in cuts if place),
        validation=tuple(
            Part(text=text, begin=place, end=text.size_bytes) for text, place in cuts if _ends(text, place)
        ),
    )


def cut(raw: bytes, share: float) -> int:
    """Where the last share of a text begins: after the end of a line if one is near, never inside a character."""
    place = round(len(raw) * (1 - share))
    slack = max(1, round(len(raw) * min(share, 1 - share) / 2))
    line = raw.rfind(b"\n", max(0, place - slack), place) + 1 or raw.find(b"\n", place, place + slack) + 1
    if 0 < line < len(raw):
        return line
    while 0 < place < len(raw) and raw[place] & 0xC0 == 0x80:  # the later bytes of a character in UTF-8
        place -= 1
    return place


def _chosen(ordered: Sequence[Text], share: float) -> Sequence[Text]:
    """The documents that validate; none where whole ones cannot come near the share."""
    total_bytes = sum(text.size_bytes for text in ordered)
    least, most = (share * total_bytes * factor for factor in LOOSE)
    chosen = list(_filling(ordered, share * total_bytes, most))
    if sum(text.size_bytes for text in chosen) >= least:
        return chosen
    larger = [text for text in ordered if most < text.size_bytes <= MOST_LONE_SHARE * total_bytes]
    return [min(larger, key=lambda text: text.size_bytes)] if larger else []


def _filling(ordered: Sequence[Text], wanted_bytes: float, most_bytes: float) -> Iterator[Text]:
    """Documents in their order until there are enough; one that would be far too much is left out."""
    filled = 0
    for text in ordered:
        if filled < wanted_bytes and filled + text.size_bytes <= most_bytes:
            filled += text.size_bytes
            yield text


def _ends(text: Text, place: int) -> bool:
    return place < text.size_bytes


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
