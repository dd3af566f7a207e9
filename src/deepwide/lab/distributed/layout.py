"""How many processes share one model, and how: each of four ways to cut the work, times the others.

A layout is written as `tp=2` or `fsdp=2,tp=2`. What it asks of a model and a batch is checked here, before anything is
built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from deepwide.architecture.attention import Attention
from deepwide.architecture.experts import Experts
from deepwide.architecture.extras import Table
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Architecture, Body
from deepwide.errors import BadInput, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Processes in each direction; their product is the number of processes.

    pp      the layers are cut into so many stages, one after the other
    dp      each has the whole model and its own rows of the batch
    fsdp    each has its own rows, and a part of every tensor, which is put together where it is used
    tp      each has some heads of every attention and a part of every network
    """

    pp: int = 1
    dp: int = 1
    fsdp: int = 1
    tp: int = 1

    @property
    def processes(self) -> int:
        """All of them."""
        return self.pp * self.dp * self.fsdp * self.tp

    @property
    def data(self) -> int:
        """Into how many parts the rows of a batch are cut."""
        return self.dp * self.fsdp

    def __str__(self) -> str:
        cuts = {f.name: getattr(self, f.name) for f in fields(self)}
        return ",".join(f"{name}={ways}" for name, ways in cuts.items() if ways > 1) or "dp=1"


WAYS = tuple(f.name for f in fields(Layout))


def layout_from_text(text: str) -> Layout:
    """The layout that a text names.

    >>> layout_from_text("fsdp=2, tp=4").processes
    8
    """
    given: dict[str, int] = {}
    for word in text.split(","):
        name, _, ways = (part.strip() for part in word.partition("="))
        if name not in WAYS:
            known = ", ".join(f"{way}=N" for way in WAYS)
            raise BadInput(f"layout={text!r} has no way {name!r}{did_you_mean(name, WAYS)}; known: {known}")
        if name in given:
            raise BadInput(f"layout={text!r} names {name} twice; name it once")
        if not (ways.isascii() and ways.isdigit() and int(ways[:9]) >= 1 and len(ways) < 7):
            raise BadInput(f"layout={text!r}: {name}={ways!r} must be a whole number from 1; write {name}=2")
        given[name] = int(ways)
    return Layout(**given)


def fitted(layout: Layout | None, processes: int) -> Layout:
    """The layout, if so many processes are what it needs; where none is asked for, each has the whole model."""
    if layout is None:
        return Layout(dp=processes)
    if layout.processes == processes:
        return layout
    if processes == 1:
        raise BadInput(
            f"layout={layout} needs {layout.processes} processes and this is one; start them: "
            f"torchrun --nproc_per_node={layout.processes} -m deepwide ..."
        )
    raise BadInput(
        f"layout={layout} makes {layout.processes} processes and {processes} were started; the product of "
        f"{', '.join(WAYS)} must be {processes}"
    )


def refuse_unfit(layout: Layout, architecture: Architecture, *, batch: int, accumulate: int = 1) -> None:
    """Refuses a model or a batch that cannot be cut so, in one line with the way out."""
    if batch % (layout.data * accumulate):
        pieces = f"dp x fsdp = {layout.data}" + (f" times accumulate={accumulate}" if accumulate > 1 else "")
        raise BadInput(f"batch={batch} must be a multiple of {pieces} in layout={layout}; change one of them")
    if layout.pp > 1:
        _refuse_stages(layout, architecture)
        rows = batch // layout.data
        if rows < layout.pp:
            raise BadInput(
                f"batch={batch} leaves {rows} rows to the pp={layout.pp} stages of layout={layout}; each stage needs "
                f"one to work on: give batch={layout.pp * layout.data} or more"
            )
    if layout.tp > 1:
        for body in bodies(architecture):
            _refuse_cut(layout, body)


def bodies(architecture: Architecture) -> Iterator[Body]:
    """What does the work in each kind of layer."""
    for stack in architecture.stacks:
        for run in stack.runs:
            for branch in run.layer.branches:
                yield branch.body


def _refuse_stages(layout: Layout, architecture: Architecture) -> None:
    instead = "use fsdp instead"
    if len(architecture.stacks) > 1:
        raise BadInput(f"pp={layout.pp} cuts one stack, and this model has an encoder and a decoder; {instead}")
    stack = architecture.main
    layers = sum(int(run.layers) for run in stack.runs)
    if layers < layout.pp:
        raise BadInput(f"pp={layout.pp} needs a layer for each stage, and there are layers={layers}; lower pp")
    if any(run.shared for run in stack.runs):
        raise BadInput(f"pp={layout.pp} cannot cut layers that share their weights; {instead}")
    parts = (*architecture.embedding, *stack.before)
    if any(isinstance(part, Table) and part.name == "relative_bias" for part in parts):
        raise BadInput(f"pp={layout.pp} cannot cut a model whose layers share a table of relative positions; {instead}")


def _refuse_cut(layout: Layout, body: Body) -> None:
    if isinstance(body, Experts):
        raise BadInput(f"tp={layout.tp} cannot cut a mixture of experts; use fsdp instead")
    sizes: dict[str, int] = {}
    if isinstance(body, Attention):
        sizes = {"heads": int(body.heads), "kv_heads": int(body.kv_heads)}
        if body.qk_norm and body.qk_norm_over == "width":
            raise BadInput(f"tp={layout.tp} cannot cut a norm over all heads together (qk_norm); use fsdp instead")
    elif isinstance(body, FeedForward):
        sizes = {"ffn": int(body.ffn)}
    for name, size in sizes.items():
        if size % layout.tp:
            raise BadInput(f"tp={layout.tp} must divide {name}={size}, so that each process has as many; change tp")
