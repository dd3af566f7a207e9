"""Answers about one model: what it consists of, what it takes to serve and to train, and how good it will be."""

from __future__ import annotations

from typing import Literal

from deepwide.answers import count, formulas, inference, loss, memory, training
from deepwide.answers.load import Load
from deepwide.answers.training import plan_verdict
from deepwide.answers.training.run import Run
from deepwide.architecture.flops import Convention
from deepwide.architecture.sizes import Sizes
from deepwide.cost.inference.passes import Seconds
from deepwide.cost.training import memory as training_memory
from deepwide.cost.training import plan
from deepwide.facts.training import TrainingProfile
from deepwide.web.answered.derived import by, each, fields, of, several, told

Parameters = told("Parameters", "Parameters by part.", each(("total", "active", *count.PARTS), int))
TokenFlops = told(
    "TokenFlops",
    "The work of one token.",
    {**each(("forward", "backward", "attention_per_context_token"), int), "convention": str},
)
PassFlops = told(
    "PassFlops",
    "The work of passes over `context` tokens.",
    each(("forward", "forward_backward", "decode"), int),
)
Count = told(
    "Count",
    "Parameters of a model by part, the work of a token, and every row of its ledger.",
    {
        "model": str,
        "parameters": Parameters,
        "flops_per_token": TokenFlops,
        "flops": by(Convention, PassFlops),
        "by": dict[Literal["part", "role", "layer", "module"], dict[str, int]],
        "rows": several(of(count.Row, sometimes=("split", "tied", "formula", "numbers", "grows"))),
        "source": str,
        "notes": list[str],
        "family": str,
        "sizes": of(Sizes),
        "tied": bool,
        "writes": bool,
    },
    sometimes=("flops",),
)

Memory = of(memory.Memory, without=("load",), **fields(Load))

Formulas = told(
    "Formulas",
    "The formula of each number; a model without a cache has none for it.",
    each(("weights_bytes", "flops_per_token", "kv_cache_bytes"), of(formulas.Formula)),
    sometimes=("kv_cache_bytes",),
)

Measures = told("Measures", "One end of the interval of every measure.", each(inference.MEASURES, float))
Spent = told(
    "Spent",
    "What the time is spent on; the parts add up to it.",
    fields(Seconds, other_prompts_s=float),
    sometimes=("other_prompts_s",),
)
Inference = of(
    inference.Inference,
    without=("service",),
    low=Measures,
    high=Measures,
    breakdown=told("Breakdown", "What a prompt and a token are spent on.", each(("prefill", "decode"), Spent)),
    **fields(inference.Service, without=("runtime",)),
)

LAID = "How a step is laid over devices: the product of tp, pp, dp and cp is all of them."
Plan = told("Plan", LAID, fields(plan.Plan))
TrainingMeasures = told(
    "TrainingMeasures",
    "One end of the interval of every measure; days and the bill are null without tokens.",
    {
        **each(("step_s", *training.RATES), float),
        **each(("days", *training.BILLED), float | None),
        "memory_bytes": int,
    },
)
Basis = told(
    "Basis",
    "The measurements that the constants come from, and the machines that are assumed.",
    fields(
        TrainingProfile,
        only=("rows", "error_share", "spread", "source", "checked"),
        profile=str,
        memory_habits=str,
        node_devices=int,
        network_bytes_per_s=float,
    ),
)
StageMemory = told(
    "StageMemory",
    training_memory.StageMemory.__doc__,
    each(fields(training_memory.StageMemory), int),
)
Training = of(
    training.Training,
    without=("run",),
    plan=Plan,
    low=TrainingMeasures,
    high=TrainingMeasures,
    breakdown=told("StepParts", "Seconds of a step by part.", each(plan_verdict.PARTS, float)),
    memory=StageMemory,
    basis=Basis,
    runners_up=several(of(plan_verdict.RunnerUp, plan=Plan)),
    **fields(Run, without=("devices", "runtime", "plan")),
)

Loss = of(loss.Loss)
