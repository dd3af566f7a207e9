"""Inference time: batch-1 decoding, prompts, static batches, several devices, servers under a steady load.

A group is a target with the framework that was measured. Errors are of the figure as published, a time or a rate.
Baselines have one constant each: a token reads all its weights at 0.7 of the bandwidth, a prompt computes 2 flops per
active parameter and token at 0.5 of the 16-bit rate. Left out: the wait in a queue, which depends on how requests
arrive; rows whose set-up is not stated; rows that cannot be times. Each such row says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from accuracy_rows import Row
from inference_cases import Case, cases

from deepwide.cost.inference.engine import MATRIX_RATES, Engine, engine
from deepwide.cost.inference.serving import Requests, generation_s, prompt_s, serving_token_s, token_passes
from deepwide.cost.memory import kv_cache_bytes, weights_bytes
from deepwide.cost.precision import cache_bits
from deepwide.errors import BadInput
from deepwide.facts.device import memory_for_use_bytes
from deepwide.facts.runtimes import kernels_measured_on, profile
from deepwide.units import Num, Real

BANDWIDTH_SHARE, PEAK_SHARE = 0.7, 0.5  # the baselines' constants
LONG_PROMPT = 1024
SERVED_SHARE = 0.9  # of the memory, which engines take for weights and cache (vLLM's gpu_memory_utilization)


def rows(folder: Path) -> Iterator[Row]:
    """One row per measurement."""
    for case in cases(folder):
        yield _row(case)


def _row(c: Case) -> Row:
    if c.excluded or c.on is None or c.how is None:
        return Row(id=c.id, source=f"not predicted: {c.framework}", excluded=c.excluded)
    try:
        by = profile(c.runtime, c.on.name, c.weights)
        on = engine(c.on, by, weights=c.how, cache=c.cache, devices=c.tp * c.pp)
        size = {"batch": c.batch, "into": c.input, "out": c.output}
        seconds = float(predicted_s(c, on, by.chunk, **size, held=held_sequences(c)))
    except BadInput as error:
        return Row(id=c.id, source=f"not predicted: {c.framework}", excluded=str(error))
    spread = by.spread[phase(c)]
    low, high = seconds / spread, seconds * spread
    figures = [c.figure / s for s in (seconds, high, low)] if c.rate else [c.figure * s for s in (seconds, low, high)]
    baseline = _baseline_s(c)
    return Row(
        id=c.id,
        source=f"{target(c)}: {c.framework}",
        published=c.published,
        predicted=figures[0],
        low=figures[1],
        high=figures[2],
        baseline=c.figure / baseline if c.rate else c.figure * baseline,
    )


def held_sequences(c: Case) -> float:
    """How many sequences of the case fit beside the weights."""
    if c.model is None or c.on is None or c.how is None:
        return math.inf
    ledger = c.model.ledger
    free = SERVED_SHARE * memory_for_use_bytes(c.on) * c.pp - float(weights_bytes(ledger, c.how, c.tp))
    bits = cache_bits(c.cache)
    each = float(kv_cache_bytes(ledger, context=c.input + c.output, batch=1, bits=bits, tp=c.tp))
    return max(free // each, 1.0) if free > 0 and each else math.inf  # weights held elsewhere, or nothing cached


def predicted_s(c: Case, on: Engine, chunk: int, *, batch: Num, into: Num, out: Num, held: Real) -> Real:
    """The seconds of what was measured; the sizes are those of the case, or columns of many that are else alike."""
    if c.model is None:
        raise ValueError(f"{c.id}: excluded ({c.excluded})")
    ledger, stream = c.model.ledger, c.model.described().main.name
    logits = 0 if c.encoder else 1
    asked = Requests(batch=batch, input=into, output=out, chunk=chunk, tp=c.tp, pp=c.pp, logits=logits)
    if c.what == "prompt":
        return prompt_s(ledger, asked, on, stream)
    if c.what == "decode":
        return token_passes(ledger, asked, on, stream).total_s
    if c.what == "generation":
        return generation_s(ledger, asked, on, held=held, stream=stream)
    alone = prompt_s(ledger, replace(asked, batch=1), on, stream)
    step = token_passes(ledger, asked, on, stream).total_s
    return serving_token_s(step, alone, concurrency=batch, output=out, on=on)


def phase(c: Case) -> str:
    """Which of a runtime's spreads applies."""
    return {"serving": "serving", "prompt": "prefill"}.get(c.what, "decode")


def target(c: Case) -> str:
    """What a row is a measurement of, as the targets of accuracy are worded."""
    if c.encoder:
        return "encoder"
    if c.runtime.startswith("huggingface"):
        return "Hugging Face eager"
    if c.what == "serving":
        return "serving, time per token"
    if c.what == "prompt":
        length = "prompt of 1,024 tokens or more" if c.input >= LONG_PROMPT else "prompt below 1,024 tokens"
        return f"{length}{', tensor parallel' if c.tp > 1 else ''}"
    if c.pp > 1:
        return "batch 1, layer split"
    if c.tp > 1:
        return "tensor parallel"
    if c.batch > 1:
        return "static batch"
    known = c.on is not None and kernels_measured_on(c.on.name)
    return f"batch 1, {'kernels fitted' if known else 'other accelerators'}"


def _baseline_s(c: Case) -> float:
    if c.model is None or c.on is None or c.how is None:
        return 0.0
    token = float(weights_bytes(c.model.ledger, c.how)) / (c.tp * c.on.bandwidth_bytes_per_s * BANDWIDTH_SHARE)
    peak = next(rate for name in MATRIX_RATES if (rate := c.on.peak_flops_per_s.get(name)))
    flops = 2 * float(c.model.ledger.active_parameters()) * c.batch * c.input
    prompt = flops / (c.tp * peak * PEAK_SHARE)
    return {"prompt": prompt, "generation": prompt + c.output * token}.get(c.what, token)
