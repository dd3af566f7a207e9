"""A trained model with its matrices in 8 or 4 bits: what it loses, how many bytes it lies in, how quick it is."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.answer import Answer
from deepwide.answers.judged import Judged, judged, refuse_quantised, text_of
from deepwide.answers.packed import FILE, sizes_on_disk, write_packed
from deepwide.answers.quantize.rows import GROUPS, KEEP, chosen_by, file_bytes, group_for, kept_words, way_of
from deepwide.lab.needs import need_lab

if TYPE_CHECKING:
    from deepwide.answers.train.setting import Setting
    from deepwide.answers.train.start import Start
    from deepwide.lab.compress import Way
    from deepwide.lab.network import Transformer
    from deepwide.lab.store import Run

__all__ = ["Quantized", "quantize"]
FULL_BYTES = 4  # of a weight of a run: fp32


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized(Answer):
    """What was made, before and after.

    group             weights that share a scale; 0 where each output has one
    keep              what stays in 16 bits besides what always does
    rows              of the ledger whose matrices are packed
    predicted_bytes   of all tensors, from the ledger alone; tensor_bytes: those of the file
    header_bytes      that say where each tensor stands in it
    """

    name: str
    start: str
    model: str
    to: str
    group: int
    keep: tuple[str, ...]
    rows: tuple[str, ...]
    predicted_bytes: int
    tensor_bytes: int
    header_bytes: int
    before: Judged
    after: Judged
    folder: str
    notes: tuple[str, ...] = ()

    @property
    def cost(self) -> float:
        """Nats of loss more than before."""
        return self.after.loss - self.before.loss

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        lists = {name: list(plain[name]) for name in ("keep", "rows", "notes")}
        return {**plain, **lists, "cost": self.cost, "before": self.before.to_dict(), "after": self.after.to_dict()}


def quantize(
    run: str,
    *,
    to: str,
    group: int | None = None,
    keep: str = ",".join(KEEP),
    data: str = "",
    name: str = "",
    root: str | Path | None = None,
) -> Quantized:
    """Packs the matrices of a trained model, and keeps it as a run of its own.

    run               or a folder of Hugging Face's
    to                int8, int4, or nf4 (which needs bitsandbytes)
    group             weights that share a scale: 32, 64 or 128; the largest that divides all rows where left out
    keep              what stays in 16 bits: "head,embedding", roles such as "down", or "none"
    data              the text that it is judged by; its own where left out
    """
    need_lab()
    from deepwide.answers.train.start import start_of
    from deepwide.answers.trained import run_of
    from deepwide.lab.compress import checked_way
    from deepwide.lab.store import free_name, root_folder

    folder = root_folder(root)
    checked_way(to, (group if to == "int8" else group or GROUPS[0]) or 0)
    refuse_quantised(run_of(run, root), "quantised again")
    start = start_of(run, root)
    words = kept_words(keep, start.model.ledger)
    rows = tuple(filter(chosen_by(words), start.model.ledger.weights))
    way = checked_way(to, group_for(to, group, rows))
    usual = f"{Path(start.name).name}-{to}{f'-{way.group}' if way.group else ''}"
    called, by = free_name(folder, name, usual), text_of(start, data, folder)
    plan = Plan(start=start, way=way, keep=words, rows=tuple(w.name for w in rows))
    return _answer(plan, _kept(plan, by, folder, called), by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be packed, and how."""

    start: Start
    way: Way
    keep: tuple[str, ...]
    rows: tuple[str, ...]

    @property
    def predicted_bytes(self) -> int:
        """Bytes of all tensors of the file, from the ledger alone."""
        how = way_of(self.way.to, self.way.group)
        return file_bytes(self.start.model.ledger, how, chosen_by(self.keep))


def _kept(plan: Plan, by: Setting, folder: Path, name: str) -> Run:
    """The run of the packed model, whole or not at all."""
    from deepwide.answers.train.beginning import manifest_of
    from deepwide.lab.compress import quantise
    from deepwide.lab.store import keep_whole

    packed = deepcopy(plan.start.trained.model)
    quantise(packed, plan.way, plan.rows)
    told = {"to": plan.way.to, "group": plan.way.group, "keep": list(plan.keep), "rows": list(plan.rows)}
    manifest = {**manifest_of(by), **plan.start.described, "start": plan.start.name, "quantized": told}
    bytes_there: dict[str, int] = {}

    def fill(part: Path) -> None:
        write_packed(part, packed)
        plan.start.trained.tokenizer.save(part)
        bytes_there["tensor_bytes"] = sizes_on_disk(part / FILE)[0]

    return keep_whole(
        folder, name, {**manifest, "predicted": {"tensor_bytes": plan.predicted_bytes}, "measured": bytes_there}, fill
    )


def _answer(plan: Plan, run: Run, by: Setting) -> Quantized:
    from deepwide.answers.trained import trained

    start = plan.start
    packed = trained(str(run.path)).model
    tensor_bytes, header_bytes = sizes_on_disk(run.path / FILE)
    full_bytes = FULL_BYTES * int(start.model.ledger.parameters())
    before, after = judged([(start.trained.model, full_bytes), (packed, tensor_bytes)], by)
    return Quantized(
        name=run.name,
        start=start.name,
        model=start.model.name,
        to=plan.way.to,
        group=plan.way.group,
        keep=plan.keep,
        rows=plan.rows,
        predicted_bytes=plan.predicted_bytes,
        tensor_bytes=tensor_bytes,
        header_bytes=header_bytes,
        before=before,
        after=after,
        folder=str(run.path),
        notes=(*start.trained.notes, *_notes(plan, packed)),
    )


def _notes(plan: Plan, packed: Transformer) -> Iterator[str]:
    """What is not as one might think."""
    from deepwide.lab.compress import unpacked_first

    tied = any(w.tied for w in plan.start.model.ledger.weights if w.part == "head")
    if "head" not in plan.keep and tied:
        yield "the head is the embedding's own table, which is looked up too: it stays in 16 bits"
    slow, all_of_them = unpacked_first(packed)
    if slow:
        yield f"{slow} of {all_of_them} packed matrices have no kernel here: each is unpacked before its product"
