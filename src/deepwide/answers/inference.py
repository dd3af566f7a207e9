"""How fast does it answer? The time of a prompt and of each further token, what they are spent on, and their range."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from deepwide.answers.answer import Answer
from deepwide.answers.limits import LONGEST_CONTEXT, whole
from deepwide.answers.load import Load
from deepwide.answers.memory import memory, memory_parts
from deepwide.answers.models import Model, find_model
from deepwide.architecture.sizes import sizes
from deepwide.cost.inference.engine import STORED_AS, Engine, engine, usual_cache, usual_runtime, usual_weights
from deepwide.cost.inference.passes import Seconds
from deepwide.cost.inference.serving import Requests, mixed_prompt_s, prompt_passes, serving_token_s, token_passes
from deepwide.cost.inference.speculation import Speculation, speculated
from deepwide.cost.memory import PREFILL_CHUNK
from deepwide.cost.precision import cache_bits, precision
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator
from deepwide.facts.device import Accelerator, memory_for_use_bytes
from deepwide.facts.runtimes import find_runtime, profile

MOST_TOGETHER = 4096  # devices that share one model: more than any published server
LARGEST_BATCH = 2**20
BOUNDS = {
    "tp": MOST_TOGETHER,
    "pp": MOST_TOGETHER,
    "batch": LARGEST_BATCH,
    "input": LONGEST_CONTEXT,
    "output": LONGEST_CONTEXT,
}
ELSEWHERE = {"Apple": "llama.cpp"}  # what is served with where the usual runtime does not run
MEASURES = ("prefill_s", "ttft_s", "decode_s_per_token", "tokens_per_s", "requests_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is asked of a model: how it is stored and cut, and how much is read and written how many times at once.

    `batch` sequences start together; with `concurrency` so many are served without end, each replaced by the next.
    A prompt is read `chunk` tokens at once, as the runtime does it where that is None; `weights` and `cache` are
    bf16 where they are "", or what a calibrated machine has.
    `acceptance` asks what speculation would bring: drafts of `draft` tokens, each right with that probability, each
    costing `draft_cost` of a decode step.
    """

    tp: int = 1
    pp: int = 1
    batch: int = 1
    input: int = 1024
    output: int = 256
    weights: str = ""
    cache: str = ""
    runtime: str = ""
    concurrency: int | None = None
    chunk: int | None = None
    acceptance: float | None = None
    draft: int = 4
    draft_cost: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference(Answer):
    """The answer. Times are per sequence, rates of the whole machine; `low` and `high` hold nine times of ten.

    prefill_s             reading the prompts alone         ttft_s    the same, and the step that a server is busy with
    decode_s_per_token    between two tokens of a sequence  tokens_per_s   written by all sequences, reading included
    breakdown             what the prompt and a token are spent on, in seconds
    """

    model: str
    on: str
    runtime: str
    devices: int
    fits: bool
    memory_bytes: int
    capacity_bytes: int
    prefill_s: float
    ttft_s: float
    decode_s_per_token: float
    tokens_per_s: float
    requests_per_s: float
    low: dict[str, float]
    high: dict[str, float]
    breakdown: dict[str, dict[str, float]]
    basis: str
    service: Service
    speculation: Speculation | None = None
    remedies: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values, under the keys that others rely on."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "service"}
        values["speculation"] = asdict(self.speculation) if self.speculation else None
        asked = {f.name: getattr(self.service, f.name) for f in fields(Service) if f.name != "runtime"}
        return {**values, **asked, "remedies": list(self.remedies), "notes": list(self.notes)}


def predict_inference(model: str | Model, *, on: str, **service: Any) -> Inference:
    """How long a model takes to read and to write on an accelerator, driven by a runtime.

    The keywords are the fields of `Service`; a model that needs more than its name is found with `find_model`.

    >>> predict_inference("llama-3.1-8b", on="h100", weights="fp8").fits
    True
    """
    found = find_model(model) if isinstance(model, str) else model
    device = accelerator(on)
    asked = checked(Service(**service), found, device)
    by = profile(asked.runtime, device.name, asked.weights)
    driven = engine(device, by, weights=asked.weights, cache=asked.cache, devices=asked.tp * asked.pp)
    measures, breakdown = times(found, asked, driven)
    parts = _memory_bytes(found, asked)
    capacity_bytes = memory_for_use_bytes(device)
    fits = parts <= capacity_bytes
    speculation = None
    if asked.acceptance is not None:
        speculation = speculated(
            found.ledger,
            _requests(asked, driven),
            driven,
            acceptance=asked.acceptance,
            draft=asked.draft,
            draft_cost_share=asked.draft_cost,
            stream=_stream(found),
        )
    return Inference(
        model=found.name,
        on=device.name,
        runtime=by.runtime,
        devices=asked.tp * asked.pp,
        fits=fits,
        memory_bytes=parts,
        capacity_bytes=capacity_bytes,
        **measures,
        low=_bounds(measures, asked, driven, -1),
        high=_bounds(measures, asked, driven, 1),
        breakdown=breakdown,
        basis=by.basis,
        service=asked,
        speculation=speculation,
        remedies=() if fits else tuple(_remedies(found, asked, device)),
        notes=(*found.notes, *_notes(found, asked, device)),
    )


def checked(asked: Service, model: Model, device: Accelerator) -> Service:
    """The question as it can be answered; BadInput where it cannot."""
    values: dict[str, Any] = {name: whole(name, getattr(asked, name), 1, most) for name, most in BOUNDS.items()}
    if asked.concurrency is not None:
        values["concurrency"] = whole("concurrency", asked.concurrency, 1, LARGEST_BATCH)
        if values["batch"] > 1:
            raise BadInput(
                f"batch={asked.batch} and concurrency={asked.concurrency} say the same twice; give one of them"
            )
    if asked.chunk is not None:
        values["chunk"] = whole("chunk", asked.chunk, 1, LONGEST_CONTEXT)
    values |= {
        "weights": str(asked.weights or usual_weights(device)).lower(),
        "cache": str(asked.cache or usual_cache(device)).lower(),
    }
    precision(STORED_AS.get(values["weights"], values["weights"]))
    cache_bits(values["cache"])
    chosen = find_runtime(asked.runtime or ELSEWHERE.get(device.vendor, usual_runtime(device)))
    values["runtime"] = chosen.variants.get(device.vendor, chosen.name)
    values["draft"] = whole("draft", asked.draft, 1, 64)
    for name, most in (("acceptance", 1.0), ("draft_cost", 1.0)):
        _share(name, getattr(asked, name), most)
    service = replace(asked, **values)
    _cut(service, model)
    return service


def _share(name: str, value: Any, most: float) -> None:
    if value is not None and not (isinstance(value, int | float) and 0 <= value <= most):
        raise BadInput(f"{name}={value!r} must be a share between 0 and {most:g}")


def _cut(asked: Service, model: Model) -> None:
    """Whether a model can be cut into so many slices and stages."""
    architecture = model.described()
    if not architecture.main.causal:
        raise BadInput(
            f"{model.name} reads but does not write: time per token is that of a decoder; `count` and `memory` take it"
        )
    own = sizes(architecture)
    heads, kv_heads, layers = own.heads, own.kv_heads, int(own.layers)
    if heads and int(heads) % asked.tp:
        raise BadInput(f"tp={asked.tp} does not divide heads={heads} of {model.name}; give a divisor of it")
    if kv_heads and int(kv_heads) % asked.tp and asked.tp % int(kv_heads):
        rule = f"must divide kv_heads={kv_heads} of {model.name} or be a multiple of it"
        raise BadInput(f"tp={asked.tp} {rule}; give a divisor of both kinds of heads")
    if asked.pp > layers:
        raise BadInput(
            f"pp={asked.pp} is more than the {layers} layers of {model.name}; give at most one stage a layer"
        )


def _stream(model: Model) -> str:
    return str(model.described().main.name)


def _requests(asked: Service, on: Engine) -> Requests:
    """The sequences that decode together: all at once, or those of one stage's turn."""
    together = -(-(asked.concurrency or asked.batch) // asked.pp)
    chunk = asked.chunk or on.profile.chunk
    return Requests(batch=together, input=asked.input, output=asked.output, chunk=chunk, tp=asked.tp, pp=asked.pp)


def times(model: Model, asked: Service, on: Engine) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The measures of the answer, and what the prompt and a token are spent on."""
    ledger, stream, requests = model.ledger, _stream(model), _requests(asked, on)
    read_at_once = 1 if asked.concurrency else asked.batch
    reading = replace(requests, batch=read_at_once)
    one, passes = prompt_passes(ledger, reading, on, stream)
    overlapped = (passes + asked.pp - 1) / (asked.pp * passes) if asked.pp > 1 else 1.0
    reading_s = _spent(one, float(passes * overlapped))
    reading_s["overhead_s"] += on.constants.request_s
    step = token_passes(ledger, requests, on, stream)
    prefill_s, step_s = sum(reading_s.values()), float(step.total_s)
    writing_s = _spent(step, 1.0)
    together = asked.concurrency or asked.batch
    if asked.concurrency:
        alone_s = float(one.total_s * passes) / asked.pp  # of one stage: the others read other prompts meanwhile
        token_s = float(serving_token_s(step_s, alone_s, concurrency=together, output=asked.output, on=on))
        writing_s["other_prompts_s"] = token_s - step_s
        ttft_s = float(mixed_prompt_s(ledger, requests, on, stream, chunked=asked.chunk is not None))
        request_s = ttft_s + asked.output * token_s
    else:
        token_s, ttft_s = step_s, prefill_s
        request_s = prefill_s + asked.output * token_s
    measures = {
        "prefill_s": prefill_s,
        "ttft_s": ttft_s,
        "decode_s_per_token": token_s,
        "tokens_per_s": together * asked.output / request_s,
        "requests_per_s": together / request_s,
    }
    return measures, {"prefill": reading_s, "decode": writing_s}


def _spent(passed: Seconds, times: float) -> dict[str, float]:
    return {f.name: float(getattr(passed, f.name)) * times for f in fields(Seconds)}


def _bounds(measures: dict[str, float], asked: Service, on: Engine, side: int) -> dict[str, float]:
    """Each measure at one end of its interval; a rate is low where times are high."""
    spread = on.profile.spread
    token = spread["serving"] if asked.concurrency else spread["decode"]
    spreads = {"prefill_s": spread["prefill"], "ttft_s": spread["prefill"], "decode_s_per_token": token}
    return {name: measures[name] * math.pow(spreads.get(name, token), side) for name in MEASURES}


def _load(asked: Service) -> Load:
    """The same question put to memory."""
    return Load(
        weights=STORED_AS.get(asked.weights, asked.weights),
        cache=asked.cache,
        context=asked.input + asked.output,
        batch=asked.concurrency or asked.batch,
        devices=asked.tp,
        chunk=asked.chunk or PREFILL_CHUNK,
    )


def _memory_bytes(model: Model, asked: Service) -> int:
    """Bytes on one device; a stage of a pipeline holds its share of the layers."""
    parts = memory_parts(model, _load(asked))
    staged = parts["weights"] + parts["kv_cache"]
    return sum(parts.values()) - staged + -(-staged // asked.pp)


def _remedies(model: Model, asked: Service, device: Accelerator) -> Iterator[str]:
    """What memory says would fit, in the words of this question."""
    for words in memory(model, on=device.name, **asdict(_load(asked))).remedies:
        if "--context" in words:
            yield words.replace("half the context", "half the tokens of prompt and answer").partition(": --context")[0]
        elif not ("--batch" in words and asked.concurrency):
            yield words.replace("--devices", "--tp")


def _notes(model: Model, asked: Service, device: Accelerator) -> Iterator[str]:
    context, stated = asked.input + asked.output, model.described().context
    if stated and context > stated:
        yield f"input + output = {context} tokens is longer than the {stated} the model states"
    if (
        asked.weights in ("fp8", "nvfp4")
        and {"fp8": "fp8", "nvfp4": "fp4"}[asked.weights] not in device.peak_flops_per_s
    ):
        yield f"{device.name} does not compute in {asked.weights}: weights are widened to 16 bits as they are read"
    if asked.concurrency:
        yield "the wait in a queue is not in ttft_s: it depends on how requests arrive"
    if len(model.described().stacks) > 1:
        yield "the time is that of the stack that writes; what other stacks take to read images or prompts is left out"
