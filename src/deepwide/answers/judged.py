"""What a model is worth and what it takes: its loss on held-out text, the bytes it lies in, how quick it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.trained import run_of
from deepwide.architecture.ledger import lower
from deepwide.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from deepwide.answers.train.setting import Setting
    from deepwide.answers.train.start import Start
    from deepwide.lab.network import Transformer
    from deepwide.lab.store import Run

KEPT = ("context", "batch", "objective", "evaluation_windows", "seed")  # of the recipe that the model was trained by
PROMPT = 64  # tokens whose reading is timed


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A model on its held-out text, and on one thread of this machine at batch 1.

    nats_per_byte     None where the text has no bytes, or is not read from left to right
    stored_bytes      of its tensors on disk
    prefill_s         of reading `prompt` tokens; decode_s: of one further token, None where none is written
    """

    loss: float
    nats_per_byte: float | None
    parameters: int
    stored_bytes: int
    prompt: int
    prefill_s: float
    decode_s: float | None

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name."""
        return asdict(self)


def text_of(start: Start, data: str, root: Path) -> Setting:
    """The text that a model is judged by: what is asked for, or else its own; read with its own tokeniser."""
    from deepwide.answers.train.setting import setting_of

    run = run_of(start.name, root)
    corpus = {} if run is None else run.manifest.get("corpus") or {}
    asked = {key: start.recipe[key] for key in KEPT if start.recipe.get(key) is not None}
    return setting_of(
        start.model,
        data or str(corpus.get("asked") or ""),
        start.trained.tokenizer,
        root,
        {"context": start.context, **asked},
    )


def judged(models: Sequence[tuple[Transformer, int]], by: Setting) -> list[Judged]:
    """Each model, given with its bytes on disk; they are timed in turn."""
    from deepwide.lab.compress import latencies

    times = latencies([model for model, _ in models], prompt_of(by))
    made = []
    for (model, stored_bytes), took in zip(models, times, strict=True):
        loss = held_out_loss(model, by)
        made.append(
            Judged(
                loss=loss,
                nats_per_byte=nats_per_byte(loss, by),
                parameters=int(lower(model.architecture).parameters()),
                stored_bytes=stored_bytes,
                **asdict(took),
            )
        )
    return made


def held_out_loss(model: Transformer, by: Setting) -> float:
    """The mean loss of the validation text, in nats."""
    from deepwide.lab.training.objective import mean_loss

    return mean_loss(model, by.feed.validation(), next(model.parameters()).device)


def nats_per_byte(loss: float, by: Setting) -> float | None:
    """The loss for each byte of text; None where the text is not read from left to right."""
    if by.corpus.kind != "text" or by.recipe.objective != "next":
        return None
    return float(by.corpus.nats_per_byte(loss))


def prompt_of(by: Setting) -> Tensor:
    """The first tokens of the held-out text."""
    batch = next(iter(by.feed.validation()))
    tokens = batch.tokens if batch.sources is None else batch.sources
    return tokens[:1, :PROMPT]


def refuse_quantised(run: Run | None, to: str) -> None:
    """Refuses a model whose matrices are whole numbers already."""
    if run is not None and run.manifest.get("quantized"):
        origin = run.manifest.get("start")
        raise BadInput(f"run {run.name} is quantised already and cannot be {to}; begin with {origin}, which it was")
