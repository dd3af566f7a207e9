"""How gradients spread over the layers of a model: as it is, without residual connections, with other norms or none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepwide.answers.answer import Answer
from deepwide.answers.probe.subject import Subject, built, changed, refuse_steps, subject
from deepwide.answers.probe.teaching import Watch, taught, unwatched
from deepwide.architecture.model import Architecture, Branch
from deepwide.errors import BadInput

if TYPE_CHECKING:
    from deepwide.answers.train.setting import Setting
    from deepwide.lab.network import Transformer
    from deepwide.lab.probe import LayerGradient

STEPS = 20
APART = 1.0  # orders of magnitude that one spread must exceed another by to be called larger


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The gradient of the loss by layer after some steps of training; None steps where a folder does not tell."""

    step: int | None
    loss: float
    layers: tuple[LayerGradient, ...]

    @property
    def ratio(self) -> float | None:
        """Gradient of the first layer's weights over that of the last; None where one of them is nothing in fp32."""
        first, last = self.layers[0].weights, self.layers[-1].weights
        return first / last if first > 0 and last > 0 else None

    @property
    def stream_ratio(self) -> float | None:
        """The same of the gradient at what enters the layers."""
        first, last = self.layers[0].stream, self.layers[-1].stream
        return first / last if first > 0 and last > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One way to build the model. `norm` is pre, post, none or other; `diverged` says why it could not be trained."""

    model: str
    norm: str
    residual: bool
    moments: tuple[Moment, ...]
    diverged: str = ""

    @property
    def label(self) -> str:
        """The way in words."""
        return f"{NORM_WORDS[self.norm]}{'' if self.residual else ', no residual'}"


NORM_WORDS = {"pre": "pre-norm", "post": "post-norm", "none": "no norm", "other": "its own norms"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients(Answer):
    """Gradient norms by layer of a model, the first of `flows`, beside the same model built in other ways."""

    model: str
    layers: int
    parameters: int
    flows: tuple[Flow, ...]
    notes: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        """What the picture shows, in a sentence."""
        own = self.flows[0]
        bare = next((f for f in self.flows if f.norm == own.norm and f.residual != own.residual), None)
        said = f"From the last of {self.layers} layers to the first, the gradient of the weights {_told(own, 0)}"
        if bare is not None:
            other = "without residual connections" if own.residual else "with residual connections"
            said += f" in this model at initialisation, and {other} it {_told(bare, 0)}"
            said += f": {_verdict(own, bare)}"
        if len(own.moments) > 1:
            said += f"; after {_steps(own.moments[1].step)} it {_told(own, 1)}"
            said += f", and {_told(bare, 1)} {other}" if bare is not None and len(bare.moments) > 1 else ""
        return f"{said}."

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        from deepwide.lab.store.files import plain

        flows = [
            {**asdict(f), "label": f.label, "moments": [{**asdict(m), **_ratios(m)} for m in f.moments]}
            for f in self.flows
        ]
        table: dict[str, Any] = plain({**asdict(self), "flows": flows, "says": self.says})
        return table


def probe_gradients(
    model: str,
    *,
    steps: int | None = None,
    data: str = "",
    tokenizer: str = "",
    batch: int | None = None,
    context: int | None = None,
    seed: int = 0,
    root: str | Path | None = None,
    watch: Watch = unwatched,
) -> Gradients:
    """Gradient norm by layer, at initialisation and after `steps`, with and without residual connections and norms.

    Of a run: at its own initialisation and as it is trained; the other ways at initialisation only.
    """
    from deepwide.lab.kernels import Kernels, computing
    from deepwide.lab.store import root_folder

    folder = root_folder(root)
    asked = {"batch": batch, "context": context}
    found = subject(model, root=folder, data=data, tokenizer=tokenizer, seed=seed, **asked, steps=steps)
    taken = refuse_steps(found, STEPS if steps is None and not found.trained else steps)
    flows, notes = [], list(found.notes)
    with computing(Kernels()):
        for text, norm, residual in ways(found):
            try:
                one = changed(found, text, folder, seed, taken)
                fresh = built(one, seed)
            except BadInput as reason:
                notes.append(f"left out: {reason}")
                continue
            watch(f"{NORM_WORDS[norm]}{'' if residual else ', no residual'}")
            flows.append(_flow(found, one, fresh, norm, residual, taken, folder, watch))
    if not flows:
        raise BadInput(notes[-1].removeprefix("left out: "))
    return Gradients(
        model=model,
        layers=len(flows[0].moments[0].layers),
        parameters=int(found.setting.model.ledger.parameters()),
        flows=tuple(flows),
        notes=tuple(dict.fromkeys(notes)),
    )


def ways(found: Subject) -> Iterator[tuple[str, str, bool]]:
    """The MODELs to be set beside each other, each with where its norms stand and whether it has residuals."""
    norm, residual = _norm_of(found.model.architecture)
    other = "post" if norm == "pre" else "pre"
    yield found.text, norm, residual
    if residual:
        yield f"{found.text},no_residual", norm, False
    if norm != "none":
        for place, change in ((other, f"norms={other}"), ("none", "no_norm")):
            yield f"{found.text},{change}", place, residual
            if residual:
                yield f"{found.text},{change},no_residual", place, False


def _norm_of(architecture: Architecture) -> tuple[str, bool]:
    branch: Branch = architecture.stacks[-1].runs[0].layer.branches[0]
    if not branch.before and not branch.after:
        return "none", branch.residual
    if branch.before and not branch.after:
        return "pre", branch.residual
    return ("post" if branch.after_sum and not branch.before else "other"), branch.residual


def _flow(
    found: Subject,
    one: Setting,
    model: Transformer,
    norm: str,
    residual: bool,
    steps: int,
    root: Path,
    watch: Watch,
) -> Flow:
    """One way to build the model: at initialisation, and trained where that is asked or done already."""
    from deepwide.lab.probe import gradient_norms

    batch = one.feed.batches(one.recipe.total_steps)  # one that no step of the training reads
    loss, layers = gradient_norms(model, batch)
    moments, diverged = [Moment(step=0, loss=loss, layers=layers)], ""
    if found.trained and one.model.name == found.setting.model.name:
        loss, layers = gradient_norms(found.model, batch)
        moments.append(Moment(step=found.steps, loss=loss, layers=layers))
    elif steps:
        try:
            taught(model, one, root, watch, one.model.name)
            loss, layers = gradient_norms(model, batch)
            moments.append(Moment(step=steps, loss=loss, layers=layers))
        except BadInput as reason:
            diverged = str(reason)
    return Flow(model=one.model.name, norm=norm, residual=residual, moments=tuple(moments), diverged=diverged)


def _ratios(moment: Moment) -> dict[str, float | None]:
    return {"ratio": moment.ratio, "stream_ratio": moment.stream_ratio}


def _steps(step: int | None) -> str:
    return "training" if step is None else f"{step:,} {'step' if step == 1 else 'steps'}"


def _told(flow: Flow, moment: int) -> str:
    """What becomes of the gradient on its way down, in words."""
    at = flow.moments[moment]
    if at.ratio is None:
        nothing = sum(layer.weights == 0 for layer in at.layers)
        return f"is nothing in fp32 in {nothing} of {len(at.layers)} layers"
    if 0.5 < at.ratio < 2:
        return f"stays as it is (× {at.ratio:.2g})"
    return f"grows {_times(at.ratio)} times" if at.ratio > 1 else f"shrinks {_times(1 / at.ratio)} times"


def _times(factor: float) -> str:
    """A factor in few digits.

    >>> _times(2557.4), _times(6.97), _times(3.2e9)
    ('2,560', '7', '3.2e+09')
    """
    if factor >= 1e6:
        return f"{factor:.1e}"
    return f"{float(f'{factor:.3g}'):,.0f}" if factor >= 100 else f"{factor:.2g}"


def _orders(flow: Flow) -> float:
    ratio = flow.moments[0].ratio
    return math.inf if ratio is None else abs(math.log10(ratio))


def _verdict(own: Flow, bare: Flow) -> str:
    """What the residual connections make of it."""
    with_them, without = (own, bare) if own.residual else (bare, own)
    saved = _orders(without) - _orders(with_them)
    if math.isinf(_orders(without)) and not math.isinf(_orders(with_them)):
        return "only the residual connections carry it through"
    if saved > APART:
        return f"the residual connections keep it {saved:.1f} orders of magnitude more even"
    if saved < -APART:
        return f"the residual connections make it {-saved:.1f} orders of magnitude LESS even"
    return "at this depth the residual connections make little difference"
