"""The book as a page of documentation, in either language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from deepwide.claims.book import Entry, claims
from deepwide.claims.claim import Text
from deepwide.claims.words import DOCUMENTS, MARKS, SOURCES, VERDICTS

TITLE = Text("The claims book", "论断集")
INTRODUCTION = Text(
    "What five documents about the shape of language models state, each statement in this project's own words, "
    "computed anew and judged by its numbers. The same numbers come from `deepwide claims show ID`; where they "
    "change, so does the verdict. Written by `deepwide claims --write docs`.",
    "五篇讨论语言模型形状的文档所作的论断，均以本项目的语言重述，重新计算，并由数字判定。`deepwide claims show 编号"
    "` 给出同样的数字；数字变了，判定随之改变。本页由 `deepwide claims --write docs` 生成。",
)
HEADS = Text("document", "文档")
ALL = Text("all", "合计")
COMPUTED = Text("Computed", "计算")
SOURCE = Text("source", "依据")
COLON = Text(": ", "：")


def book_page(language: str) -> str:
    """The whole book in Markdown."""
    entries = claims()
    lines = [f"# {TITLE.told(language)}", "", INTRODUCTION.told(language), "", *_summary(entries, language)]
    for name, title in DOCUMENTS.items():
        lines += ["", f"## {name} · {title.told(language)}", ""]
        for entry in (each for each in entries if each.claim.document == name):
            lines += _entry(entry, language)
    return "\n".join(lines).rstrip() + "\n"


def _summary(entries: Iterable[Entry], language: str) -> Iterator[str]:
    """How many claims of each document have each verdict."""
    found = Counter((each.claim.document, each.verdict) for each in entries)
    heads = [f"{MARKS[verdict]} {word.told(language)}" for verdict, word in VERDICTS.items()]
    yield f"| {HEADS.told(language)} | {' | '.join(heads)} |"
    yield f"|---|{'---:|' * len(heads)}"
    for name, title in DOCUMENTS.items():
        yield f"| {name} {title.told(language)} | {' | '.join(str(found[name, verdict]) for verdict in VERDICTS)} |"
    sums = (sum(found[name, verdict] for name in DOCUMENTS) for verdict in VERDICTS)
    yield f"| {ALL.told(language)} | {' | '.join(map(str, sums))} |"


def _entry(entry: Entry, language: str) -> Iterator[str]:
    claim, colon = entry.claim, COLON.told(language)
    yield f"**{claim.id}** {claim.says.told(language)}  "
    yield f"{MARKS[entry.verdict]} **{VERDICTS[entry.verdict].told(language)}**{colon}{entry.why.told(language)}  "
    how = f"{claim.how} " if language == "en" else ""
    where = f"`{claim.judge.__module__.rpartition('.')[2]}.{claim.judge.__name__}`"
    rests = f"{SOURCE.told(language)}{colon}{SOURCES[claim.source].told(language)}"
    yield f"<sub>{COMPUTED.told(language)}{colon}{how}{where} · {rests}</sub>"
    yield ""
