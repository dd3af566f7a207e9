"""The empirical neural tangent kernel over widths: how far training moves it, and whether width keeps it in place.

Jacot, Gabriel and Hongler 2018, arXiv:1806.07572: at infinite width the kernel stays as it was at initialisation, where
the learning rate suits the width. So every width is trained alike in what its function does: by plain gradient descent
on one batch, at a rate at which the first step would lower the loss by STEP nats (rate = STEP / ||gradient||²), until
the loss has fallen by a given number of nats. The initialisation is the lab's own: entries of a matrix ~
1 / sqrt(inputs), standard parametrisation with a small head. At one rate for all widths other slopes would come out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.answer import Answer
from deepwide.answers.probe.subject import built
from deepwide.answers.probe.teaching import Watch, keep_part, kept_part, unwatched
from deepwide.answers.train.setting import Setting, setting
from deepwide.architecture.sizes import sizes
from deepwide.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from deepwide.lab.network import Transformer

WIDTHS, SEEDS = (32, 64, 128, 256), 3
TEXTS, TOKENS, OUTPUTS = 8, 16, 4  # sequences, their length, and numbers that each is reduced to
STEP, FALL, MOST_STEPS = 0.02, 0.5, 1000  # nats of the first step, nats in all, and steps at which one gives up
MEMORY_BYTES = 2**30  # for rows of the Jacobian
PROJECTION_SEED = 2**61  # of the projections: the same for every width and seed
LEVEL = 0.95
MOST_WIDTHS, MOST_SEEDS = 12, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One model: how far its kernel moved while the loss fell.

    drift        ||K_end - K_start|| / ||K_start||, Frobenius
    alignment    <K_start, K_end> / (||K_start|| ||K_end||)
    mean         of the kernel's diagonal at initialisation
    loss         at the first and at the last step, on the batch that is learned
    """

    width: int
    seed: int
    parameters: int
    drift: float
    alignment: float
    mean: float
    rate: float
    steps: int
    loss: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """drift ~ width ** slope, by least squares over all seeds, with its interval at 95 %."""

    slope: float
    low: float
    high: float
    intercept: float

    def at(self, width: float) -> float:
        """The drift on the line."""
        return math.exp(self.intercept + self.slope * math.log(width))


@dataclass(frozen=True, slots=True, kw_only=True)
class TangentKernel(Answer):
    """The drift of the kernel over widths and seeds. `line` is None where there are too few points for an interval."""

    model: str
    fall: float
    drifts: tuple[Drift, ...]
    line: Slope | None
    notes: tuple[str, ...] = ()

    def mean(self, width: int) -> float:
        """The mean drift of a width, over seeds: that of the logarithms, as the line has it."""
        own = [math.log(d.drift) for d in self.drifts if d.width == width]
        return math.exp(sum(own) / len(own))

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths, in order."""
        return tuple(sorted({d.width for d in self.drifts}))

    @property
    def says(self) -> str:
        """What the picture shows, in a sentence."""
        first, last = self.widths[0], self.widths[-1]
        said = f"While the loss falls by {self.fall:g} nats the tangent kernel moves by {self.mean(first):.2g} of its "
        said += f"size at width {first}"
        if first == last:
            return f"{said}."
        said += f" and by {self.mean(last):.2g} at {last}"
        if self.line is None:
            return f"{said}; two seeds or a third width would give the slope an interval."
        falls, rises = self.line.high < 0, self.line.low > 0
        verdict = "falls" if falls else "RISES" if rises else "has no clear trend"
        said += f": its drift {verdict} with width, as width to the power {self.line.slope:.2f} "
        said += f"({self.line.low:.2f} to {self.line.high:.2f}, 95 %)"
        return f"{said}." if not falls else f"{said}; wider models train more like the linear model of their start."

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {**asdict(self), "says": self.says}


def probe_ntk(
    model: str,
    *,
    widths: Sequence[int] = WIDTHS,
    seeds: int = SEEDS,
    fall: float = FALL,
    data: str = "",
    memory_bytes: int = MEMORY_BYTES,
    root: str | Path | None = None,
    watch: Watch = unwatched,
) -> TangentKernel:
    """The tangent kernel of a MODEL at several widths, before and after a short training; its drift against width.

    `memory_bytes` bounds what the Jacobian takes; it is worked out in blocks of rows that fit.
    """
    from deepwide.lab.kernels import Kernels, computing
    from deepwide.lab.needs import need_lab
    from deepwide.lab.store import root_folder, run_names

    need_lab()
    folder = root_folder(root)
    if model in run_names(folder):
        raise BadInput(f"{model} is a run of one width; give its MODEL, which is built at every width")
    _check(widths, seeds, fall)
    texts = {width: at_width(model, width, folder, data) for width in sorted(set(widths))}
    drifts: list[Drift] = []
    notes: list[str] = []
    with computing(Kernels()):
        for width, text in texts.items():
            for seed in range(seeds):
                one = _setting(text, folder, data, seed)
                _check_memory(one, memory_bytes)
                notes += one.notes
                drifts.append(_kept(one, width, seed, fall, memory_bytes, folder, watch))
    return TangentKernel(
        model=model,
        fall=fall,
        drifts=tuple(drifts),
        line=line([d.width for d in drifts], [d.drift for d in drifts]),
        notes=tuple(n for n in dict.fromkeys(notes) if "assumed" not in n),
    )


def at_width(model: str, width: int, root: Path, data: str = "") -> str:
    """The MODEL at another hidden size: heads of the same width, so more or fewer, and a network in proportion."""
    base = sizes(_setting(model, root, data, 0).model.described())
    if base.heads is None or base.head_dim is None or base.kv_heads is None or base.ffn is None:
        raise BadInput(f"{model} has no attention or no network to be widened; give another MODEL")
    head_dim, hidden = int(base.head_dim), int(base.hidden)
    if width % head_dim:
        raise BadInput(f"widths: {width} is not a multiple of head_dim={head_dim}; give multiples, or another head_dim")
    heads = width // head_dim
    kv_heads = max(1, round(heads * int(base.kv_heads) / int(base.heads)))
    if heads % kv_heads:
        raise BadInput(f"widths: {heads} heads at {width} cannot share {kv_heads} key heads; give other widths")
    ffn = max(1, round(int(base.ffn) * width / hidden))
    return f"{model},hidden={width},heads={heads},kv_heads={kv_heads},head_dim={head_dim},ffn={ffn}"


def line(widths: Sequence[float], drifts: Sequence[float]) -> Slope | None:
    """Least squares of log drift on log width; None where there are fewer than three points or one width."""
    if len(drifts) < 3 or len(set(widths)) < 2 or min(drifts) <= 0:
        return None
    from scipy import stats

    x, y = [math.log(width) for width in widths], [math.log(drift) for drift in drifts]
    fit = stats.linregress(x, y)
    wide = float(stats.t.ppf((1 + LEVEL) / 2, len(x) - 2) * fit.stderr)
    slope = float(fit.slope)
    return Slope(slope=slope, low=slope - wide, high=slope + wide, intercept=float(fit.intercept))


def _check(widths: Sequence[int], seeds: int, fall: float) -> None:
    if not 1 <= len(widths) <= MOST_WIDTHS or min(widths) < 1:
        raise BadInput(f"widths={','.join(map(str, widths))!r} must be 1 to {MOST_WIDTHS} sizes, such as 32,64,128,256")
    if not 1 <= seeds <= MOST_SEEDS:
        raise BadInput(f"seeds={seeds} must be from 1 to {MOST_SEEDS}")
    if not 0 < fall <= 3:
        raise BadInput(f"fall={fall} must be above 0 and at most 3 nats, which a batch can be learned by")


def _setting(text: str, root: Path, data: str, seed: int) -> Setting:
    """A model with a constant rate, on batches of TEXTS sequences."""
    recipe = {"steps": MOST_STEPS, "batch": TEXTS, "context": TOKENS, "seed": seed, "clip": 0.0}
    flat = {"schedule": "wsd", "warmup_share": 0.0, "decay_share": 0.0}
    one = setting(text, data, "bytes", root, {**recipe, **flat})
    if one.recipe.objective != "next":
        raise BadInput(f"{text} does not tell next tokens, which its kernel is taken of; give a decoder")
    return one


def _check_memory(one: Setting, memory_bytes: int) -> None:
    """Refuses a width whose Jacobian cannot be worked out in this memory, before it is built."""
    from deepwide.lab.probe import most_rows

    most_rows(int(one.model.ledger.parameters()), TEXTS * OUTPUTS, memory_bytes)


def _kept(one: Setting, width: int, seed: int, fall: float, memory_bytes: int, root: Path, watch: Watch) -> Drift:
    """The drift of a width and seed, worked out now or read from what is kept."""
    question = {"ntk": one.model.name, "corpus": one.corpus.sha256, "fall": fall, "recipe": one.recipe.sha256}
    there = kept_part(root, question, "drift")
    if there is None:
        watch(f"width {width}, seed {seed}: {int(one.model.ledger.parameters()):,} parameters")
        there = asdict(_drift(one, width, seed, fall, memory_bytes))
        keep_part(root, question, "drift", there)
    return Drift(**{**there, "loss": tuple(there["loss"])})


def _drift(one: Setting, width: int, seed: int, fall: float, memory_bytes: int) -> Drift:
    """Trains a model until its loss has fallen, and compares the kernels before and after."""
    from deepwide.lab.probe import kernel

    model, batch = built(one, seed), one.feed.batches(0)
    texts_BT = one.feed.batches(1).tokens.to(next(model.parameters()).device)
    projections_VK = _projections(one, texts_BT)
    before = kernel(model, texts_BT, projections_VK, most_bytes=memory_bytes)
    rate, losses = _lowered(model, one, batch, fall)
    after = kernel(model, texts_BT, projections_VK, most_bytes=memory_bytes)
    return Drift(
        width=width,
        seed=seed,
        parameters=int(one.model.ledger.parameters()),
        drift=float((after - before).norm() / before.norm()),
        alignment=float((after * before).sum() / (after.norm() * before.norm())),
        mean=float(before.diagonal().mean()),
        rate=rate,
        steps=len(losses),
        loss=(losses[0], losses[-1]),
    )


def _projections(one: Setting, like: Tensor) -> Tensor:
    """Fixed random directions of the scores [V, K], of length about one."""
    import torch

    vocab = int(one.model.described().vocab)
    generator = torch.Generator().manual_seed(PROJECTION_SEED)
    return (torch.randn(vocab, OUTPUTS, generator=generator) / math.sqrt(vocab)).to(like.device)


def _lowered(model: Transformer, one: Setting, batch: Any, fall: float) -> tuple[float, list[float]]:
    """Plain descent on one batch until its loss has fallen so far: the rate, and the loss before each step."""
    from deepwide.lab.probe import PlainDescent
    from deepwide.lab.training import train

    worker, losses = PlainDescent(model, 0.0), []
    _, norm = worker.gradients(batch)
    worker.rate = STEP / max(float(norm) ** 2, 1e-30)
    outcome = train(
        model,
        one.recipe,
        batches=lambda _: batch,
        report=lambda row: losses.append(float(row["loss"])),
        worker=worker,
        should_stop=lambda: losses[-1] <= losses[0] - fall,
    )
    if losses[-1] > losses[0] - fall:
        if outcome.status == "interrupted":
            raise KeyboardInterrupt
        raise BadInput(
            f"fall={fall:g}: the loss of {one.model.name} fell by {losses[0] - losses[-1]:.2f} nats in {MOST_STEPS:,} "
            "steps; give a smaller fall"
        )
    return worker.rate, losses
