"""Carbon: published tonnes of training runs, from their parameters and tokens, and of model cards, from device hours.

carbon*.md holds a table headed `run | N(act) B | ...` and a paragraph of Meta's cards (hours and tonnes). The watts,
efficiency, PUE and grid of a run are its own, so it tests 6 N D and the arithmetic. A card is TDP x hours x one grid of
its generation; those two grids (415, 387 g/kWh) are drawn from these very cards, so the spread among them is tested
and not their level. Baseline: the median tonnes per device hour of all rows in the folder.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from accuracy_rows import Row

from deepwide.cost.bill import kg_co2e, kwh, power_w, training_device_hours
from deepwide.facts.bills import grid

# Intervals of about 90%: the root mean square of the errors (4.2% of five runs, 1.3% of ten cards) by Student's t.
RUN_SHARE = 0.09
CARD_SHARE = 0.025
COLUMNS = ("N(act) B", "tokens B", "avg W", "peak TF", "eff", "PUE", "kg/kWh", "t act")
CARDS = "Meta model cards"
CARD_TDP_W = 700  # H100-80GB, as the cards state
GENERATIONS = {"3": "meta-2024", "4": "meta-2025"}
# The family is said once, for the sizes after it.
NAME = r"(?:Llama (?P<family>[\d.]+) |(?P<dashed>[\d.]+)-)?(?P<size>\w+) "
ENTRIES = (
    re.compile(NAME + r"(?P<hours>[\d.]+)(?P<scale>[kM])(?: h)? (?P<tonnes>[\d,.]*\d)"),
    re.compile(NAME + r"(?P<tonnes>[\d,.]*\d) t / (?P<hours>[\d.]+)(?P<scale>[kM])"),
)
SCALES = {"k": 1e3, "M": 1e6}


def rows(folder: Path) -> Iterator[Row]:
    """Runs of the table, then the cards, each beside the baseline."""
    found = [pair for path in sorted(folder.glob("carbon*.md")) for pair in _file(path)]
    rates = [row.published / hours for row, hours in found if not row.excluded]
    for row, hours in found:
        yield row if row.excluded else replace(row, baseline=hours * statistics.median(rates))


def _file(path: Path) -> Iterator[tuple[Row, float]]:
    """The rows of one file, each with its device hours."""
    text = path.read_text("utf-8")
    for cells in _tables(text):
        yield _run(cells, f"{path.name}, runs of LLMCarbon")
    for family, size, hours, tonnes in _cards(text):
        yield _card(family, size, hours, tonnes, f"{path.name}, Meta's model cards")


def _tables(text: str) -> Iterator[dict[str, str]]:
    """The rows of every Markdown table whose first column is `run`, by the names of its columns."""
    header: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|"):
            header = []
        elif not header:
            header = cells
        elif header[0] == "run" and not re.fullmatch(r"[\s|:-]+", line):
            yield dict(zip(header, cells, strict=False))


def _run(cells: dict[str, str], source: str) -> tuple[Row, float]:
    label = cells["run"]
    values = {column: _number(cells.get(column, "")) for column in COLUMNS}
    lacking = [column for column, value in values.items() if not value]
    if lacking:
        return Row(id=label, source=source, excluded=f"no {', '.join(lacking)}"), 0.0
    parameters, tokens, watts, peak, efficiency, pue, kg_per_kwh, published = (v or 0.0 for v in values.values())
    hours = float(training_device_hours(parameters * 1e9, tokens * 1e9, peak * 1e12, efficiency))
    tonnes = float(kg_co2e(kwh(hours, watts, pue), kg_per_kwh * 1000)) / 1000
    return _row(label, source, published, tonnes, RUN_SHARE), hours


def _number(cell: str) -> float | None:
    """The number of a cell: the one in brackets, which is the active count of a mixture, else the first."""
    inside = re.search(r"\((\d[\d,]*(?:\.\d+)?)\)", cell) or re.search(r"(\d[\d,]*(?:\.\d+)?|\.\d+)", cell)
    return float(inside[1].replace(",", "")) if inside else None


def _cards(text: str) -> Iterator[tuple[str, str, float, float]]:
    """Family, size, device hours and tonnes of each entry of the paragraph under the heading of the cards."""
    section = re.search(rf"^#[^\n]*{CARDS}[^\n]*\n(.*?)(?=\n#|\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    family = ""
    for piece in re.split(r"[;.] ", " ".join(section[1].split())) if section else ():
        entry = next(filter(None, (pattern.match(piece) for pattern in ENTRIES)), None)
        if entry:
            family = entry["family"] or entry["dashed"] or family
            hours = float(entry["hours"]) * SCALES[entry["scale"]]
            yield family, entry["size"], hours, float(entry["tonnes"].replace(",", ""))


def _card(family: str, size: str, hours: float, published: float, source: str) -> tuple[Row, float]:
    label = f"Llama {family} {size}"
    if size == "total":
        return Row(id=label, source=source, excluded="the sum of the cards before it"), 0.0
    if family[:1] not in GENERATIONS:
        return Row(id=label, source=source, excluded="no grid of its generation is known"), 0.0
    grams = grid(GENERATIONS[family[0]]).gco2e_per_kwh  # holds the PUE too
    watts = power_w(CARD_TDP_W)
    tonnes = float(kg_co2e(kwh(hours, watts), grams)) / 1000
    return _row(label, source, published, tonnes, CARD_SHARE), hours


def _row(label: str, source: str, published: float, predicted: float, share: float) -> Row:
    return Row(
        id=label,
        source=source,
        published=published,
        predicted=predicted,
        low=predicted * (1 - share),
        high=predicted * (1 + share),
    )
