"""What the reports of several questions share: pictures with their sentences, a row for a shape, the sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from deepwide import units
from deepwide.answers.figures.aspects import aspect_ratios
from deepwide.answers.figures.aspects_known import aspect_of, best_aspects, catalogue_aspects
from deepwide.answers.figures.kernels import model_kernels, roof_lines
from deepwide.answers.figures.parameters import model_parts, parameter_parts
from deepwide.answers.figures.roofline import roofline
from deepwide.answers.models import Model
from deepwide.answers.report import Picture
from deepwide.answers.shape import Shape
from deepwide.cost.inference.engine import driven
from deepwide.facts.accelerators import accelerator
from deepwide.facts.shape_law import shape_laws

if TYPE_CHECKING:
    from deepwide.answers.compare import Comparison
    from deepwide.answers.explain import Explanation

# How a name ends -> how its quantity is spelled.
SPELLED: dict[str, Callable[[float], str]] = {
    "_bytes": units.size,
    "_flops": units.flops,
    "_s": units.duration,
    "loss": "{:.3f}".format,
    "fill": "{:.1%}".format,
}
ABOVE_ROOF = (
    "A point above the roof is no measurement: the runtime's constants are fitted on whole passes, so one kind of "
    "operation may be charged what another takes."
)
PROMPT = 2048  # tokens of the prompt whose operations are drawn
DEPTH_CAPTION = (
    "Every point is a shape of the same size: to the right it has more layers and is narrower. A shape whose band "
    "holds the value of the marked one is not known to differ from it (95%). The intervals of the predictions "
    "themselves are wider, but much of that shifts all shapes alike: touch a point to see them."
)
FRONT_CAPTION = (
    "No shape that was searched is better than these in both loss and decode time. Inside the grey band the predicted "
    "loss is as good as the lowest: what differs there is speed and memory."
)


def parameters_picture(models: Mapping[str, Model]) -> Picture:
    """Where the parameters of one or more models are, each under its name."""
    return Picture(
        name="parameters",
        figure=parameter_parts([model_parts(model, name) for name, model in models.items()]),
        caption="Exact, from the ledger of every tensor; a tensor that two parts share is counted once.",
    )


def roofline_picture(model: Model, on: str, context: int, name: str = "roofline") -> Picture:
    """The operations of a model under the roof of an accelerator."""
    device = accelerator(on)
    engine = driven(device)
    kernels, roofs = model_kernels(model, engine, prompt=PROMPT, context=context), roof_lines(device, engine)
    above = any(kernel.flops_per_s > roofs[0].flops_per_s for kernel in kernels)
    caption = (
        f"A prompt of {PROMPT:,} tokens, and one token after {context:,}, at batch 1 in 16 bits on one device. "
        "On the slope an operation waits for memory, under the flat part it computes. The area of a point is its "
        "share of the time; what a pass takes beside its kernels is shared out among them."
    )
    return Picture(
        name=name,
        figure=roofline(kernels, roofs, title=f"Operations under the roof of {device.name}"),
        caption=f"{caption} {ABOVE_ROOF}" if above else caption,
    )


def aspects_picture(models: Sequence[Model]) -> Picture:
    """The shapes in question among the published ones, and the law's best ratio for the vocabulary of the first."""
    architecture = models[0].described()
    vocab, tied = int(architecture.vocab), any(w.tied for w in models[0].ledger.weights if w.part == "head")
    return Picture(
        name="aspects",
        figure=aspect_ratios(catalogue_aspects(), [aspect_of(model) for model in models], best_aspects(vocab, tied)),
        caption=(
            f"Dense decoders of the catalogue. The line is the ratio of lowest predicted loss at equal parameters with "
            f"a vocabulary of {vocab:,}; the band holds the ratios whose loss is as good as the best within "
            "one standard deviation. Where the line is dotted the law was not fitted at that size. The law sees loss "
            "alone: decode time pulls designs to the wide side."
        ),
    )


def sources(on: str = "") -> tuple[str, ...]:
    """Where the numbers of a report come from: the law of the loss, and the accelerator where one was asked."""
    laws = tuple(f"loss: {law.source}" for law in shape_laws())
    device = accelerator(on) if on else None
    return (*laws, f"{device.name}: {device.source}") if device else laws


def asked_of(answer: Comparison | Explanation) -> str:
    """What shapes were looked at for, in words."""
    said = f"trained on {units.count(answer.tokens, 1)} tokens, {answer.context:,} tokens in view, 16-bit weights"
    if not answer.on:
        return f"{said}."
    return f"{said}; on {answer.on}, batch 1 on one device, a training step on {answer.devices}."


def shape_row(shape: Shape) -> dict[str, str]:
    """A shape as a row of a table: what is told -> how it is spelled."""
    known = shape.loss is not None and shape.high is not None
    return {
        "parameters": f"{shape.parameters:,}",
        "layers": f"{shape.layers:,}",
        "hidden": f"{shape.hidden:,}",
        "heads (KV)": "–" if shape.heads is None else f"{shape.heads} ({shape.kv_heads})",
        "ffn": "–" if shape.ffn is None else f"{shape.ffn:,}",
        "hidden / layers": f"{shape.aspect:.1f}",
        "loss, nats (95%)": f"{shape.loss:.3f} ± {(shape.high or 0.0) - (shape.loss or 0.0):.3f}" if known else "–",
        "decode": spelled("decode_s", shape.decode_s),
    }


def spelled(name: str, value: float | None) -> str:
    """A quantity for people; the end of its name is its unit.

    >>> spelled("kv_cache_bytes_per_token", 131072)
    '128.00 KiB'
    """
    quantity = name.partition("_per_")[0]
    spell = next((spell for unit, spell in SPELLED.items() if quantity.endswith(unit)), None)
    if value is None:
        return "–"
    if spell:
        return spell(value)
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.3g}"
