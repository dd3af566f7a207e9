"""Answers about shapes: side by side, from wide to deep, why one is as it is, and which one to choose."""

from __future__ import annotations

from typing import Any

from deepwide.answers import compare, deep_or_wide, design, explain, training
from deepwide.answers.design import limits, rows
from deepwide.answers.explain import heads
from deepwide.answers.explain import shapes as others
from deepwide.answers.shape import Shape as OneShape
from deepwide.design.alignment import Misfit
from deepwide.web.answered.costs import Plan, TrainingMeasures
from deepwide.web.answered.derived import each, fields, of, several, told

Shape = of(OneShape, aspect=float)
Comparison = of(
    compare.Comparison,
    models=several(Shape),
    verdict=several(told("Judged", compare.Verdict.__doc__, fields(compare.Verdict))),
)

Changes = told(
    "Changes",
    "By what share each quantity is more; one that is not known of both is missing.",
    each(others.CHANGES, float),
    sometimes=others.CHANGES,
)
Growth = told(
    "Growth",
    "Shares of the parameters by what they grow with, and by what factor all of them grow.",
    each(("hidden_squared", "hidden", "layers", "if_hidden_doubles", "if_layers_double"), float),
)
Explanation = of(
    explain.Explanation,
    shape=Shape,
    growth=Growth,
    counterfactuals=several(of(others.Counterfactual, model=str, shape=Shape, tie=bool, changes=Changes)),
    sensitivities=several(of(others.Sensitivity, changes=Changes)),
    alignment=of(heads.Advice, misfits=several(of(Misfit))),
)

Depth = told(
    "Depth",
    deep_or_wide.Depth.__doc__,
    {**fields(OneShape, aspect=float), **fields(deep_or_wide.Depth, without=("shape",))},
)
DeepOrWide = of(deep_or_wide.DeepOrWide, shapes=several(Depth))

PRICED = "A shape of a design. Times, bills and memory of training are there where a cluster is given."
OF_LIMITS = ("slowness", "ttft_s")
OF_TRAINING = ("step_s", "train_memory_bytes", "days", "usd", "kg_co2e")
SOMETIMES = (*OF_LIMITS, *OF_TRAINING)
COLUMNS: dict[str, Any] = {
    "model": str,
    **each((*rows.SIZES, "parameters", "active", "tokens", "weight_bytes"), int),
    **each(("memory_bytes", "kv_cache_bytes_per_token", "decode_s", "flops"), float),
    **each(("loss", "low", "high", "shape_effect", "outside", "aspect"), float),
    **each(SOMETIMES, float),
}
Priced = told("Priced", PRICED, COLUMNS, SOMETIMES)
OnFront = told("OnFront", PRICED, {**COLUMNS, "front_of": list[str]}, SOMETIMES)
DeepToWide = told("DeepToWide", PRICED, {**COLUMNS, "verdict": str}, SOMETIMES)
BestPlan = told(
    "BestPlan",
    "The fastest plan for the recommended shape, its step and its bill.",
    fields(
        training.Training,
        only=("fits", "runtime", "devices", *rows.TRAINING),
        plan=Plan,
        low=TrainingMeasures,
        high=TrainingMeasures,
    ),
)
Alternatives = told(
    "Alternatives",
    "Shapes of the same size at any speed; none where the ranges leave none.",
    each(("lowest_loss", "fastest_tie"), Priced),
    sometimes=("lowest_loss", "fastest_tie"),
)
Design = of(
    design.Design,
    recommended=Priced,
    alternatives=Alternatives,
    table=several(DeepToWide),
    front=several(OnFront),
    training=BestPlan | None,
)
NoDesign = told(
    "NoDesign",
    design.NoDesign.__doc__,
    {
        "recommended": None,
        "front": several(OnFront),
        "binding": list[str],
        "missed": several(of(limits.Missed)),
        "nearest": Priced,
        "nearest_feasible": bool,
        "reason": str,
    },
)
