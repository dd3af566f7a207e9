"""A plan as a user writes it ("tp=8,pp=4,micro_batch=1"), and whether it can run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from deepwide.answers.limits import MOST_DEVICES, whole
from deepwide.cost.training.plan import RECOMPUTES, Plan
from deepwide.cost.training.plans import ZEROS, Task
from deepwide.cost.training.plans_space import Space, context_parts, divisors, interleaves, space, tensor_parts
from deepwide.errors import BadInput, did_you_mean

NUMBERS = ("tp", "pp", "dp", "cp", "ep", "micro_batch", "interleave", "shard")
SWITCHES = ("sequence_parallel", "offload")
KEYS = (*NUMBERS, "recompute", "zero", *SWITCHES)
ON_OFF = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}
EXAMPLE = "tp=8,pp=4,micro_batch=1,interleave=2,recompute=full,zero=1"
SHOWN = 12  # numbers in a message; there may be hundreds


def read_plan(text: str, task: Task) -> Plan:
    """The plan of that text on the devices of a task.

    What is left out: dp is what the devices leave, sequence parallelism is on with tensor parallelism, ZeRO is 1
    where there are copies (3 for an engine that shares weights), everything else is 1 or none.
    """
    given = _pairs(text)
    bounds = space(task.job, task.devices)
    numbers = {name: whole(f"plan: {name}", given.get(name, 1), 1, MOST_DEVICES) for name in NUMBERS[:-1]}
    _raise(_refused_tensor(numbers["tp"], bounds), _refused_pipeline(numbers["pp"], numbers["interleave"], bounds))
    numbers["dp"] = _dp(numbers, bounds, stated="dp" in given)
    copies = numbers["dp"] * numbers["cp"] > 1
    usual = (3 if task.habits.accumulated_bytes else 1) if copies else 0
    plan = Plan(
        **numbers,
        recompute=cast(Any, given.get("recompute", "none")),
        zero=cast(Any, whole("plan: zero", given.get("zero", usual), 0, 3)),
        shard=whole("plan: shard", given["shard"], 1, MOST_DEVICES) if "shard" in given else None,
        sequence_parallel=bool(given.get("sequence_parallel", numbers["tp"] > 1)),
        offload=bool(given.get("offload", False)),
    )
    _raise(*refusals(plan, task))
    return plan


def refusals(plan: Plan, task: Task) -> Iterator[str]:
    """Every reason why a plan cannot run, each in one line that says what could."""
    bounds = space(task.job, task.devices)
    yield from filter(
        None,
        (
            _refused_tensor(int(plan.tp), bounds),
            _refused_pipeline(int(plan.pp), int(plan.interleave), bounds),
            _refused_batch(plan, bounds),
            _refused_context(plan, bounds),
            _refused_experts(plan, bounds),
            _refused_sharing(plan, shared_pipeline=task.habits.accumulated_bytes > 0),
        ),
    )


def as_text(plan: Plan) -> str:
    """The plan as `read_plan` takes it, without what it fills in by itself."""
    said = {name: getattr(plan, name) for name in NUMBERS if getattr(plan, name) not in (1, None)}
    said |= {"recompute": plan.recompute} if plan.recompute != "none" else {}
    said |= {"zero": plan.zero} if plan.dp * plan.cp > 1 else {}
    said |= {} if plan.sequence_parallel == (plan.tp > 1) else {"sequence_parallel": plan.sequence_parallel}
    said |= {"offload": True} if plan.offload else {}
    return ",".join(spelled(name, value) for name, value in said.items()) or "dp=1"


def spelled(key: str, value: Any) -> str:
    """One key and its value: tp=8, offload=on."""
    return f"{key}={('off', 'on')[value] if isinstance(value, bool) else value}"


def _raise(*refusals: str) -> None:
    """The first reason why a plan cannot run, if there is one."""
    for refusal in refusals:
        if refusal:
            raise BadInput(f"plan: {refusal}")


def _pairs(text: str) -> dict[str, Any]:
    """The keys and values of the text, each known and given once."""
    found: dict[str, Any] = {}
    for pair in text.split(","):
        key, equals, value = (word.strip().lower() for word in pair.partition("="))
        key = key.replace("-", "_")
        if not key or not equals or not value:
            raise BadInput(f"plan={text[:80]!r}: {pair[:40]!r} is not key=value; write auto, or for instance {EXAMPLE}")
        if key not in KEYS:
            raise BadInput(f"plan: no key called {key[:40]!r}{did_you_mean(key, KEYS)}; known are {', '.join(KEYS)}")
        if key in found:
            raise BadInput(f"plan: {key} is given twice; give it once")
        found[key] = _value(key, value)
    return found


def _value(key: str, value: str) -> Any:
    if key == "recompute":
        return _among(key, value, RECOMPUTES, value)
    if key in SWITCHES:
        return _among(key, value, ("on", "off"), ON_OFF.get(value))
    digits = value.isascii() and value.isdigit() and len(value) < 20
    zeros = ", ".join(map(str, ZEROS))
    expected = f"one of {zeros}" if key == "zero" else f"a whole number from 1 to {MOST_DEVICES}"
    if not digits:
        raise BadInput(f"plan: {key}={value[:40]!r} must be {expected}; for instance {EXAMPLE}")
    return int(value)


def _among(key: str, value: str, known: Iterable[str], meant: Any) -> Any:
    if meant is None or (isinstance(meant, str) and meant not in known):
        hint = did_you_mean(value, known)
        raise BadInput(f"plan: {key}={value[:40]!r} is unknown{hint}; choose one of {', '.join(known)}")
    return meant


def _dp(numbers: dict[str, int], bounds: Space, stated: bool) -> int:
    """The copies that the devices leave; they have to come out even."""
    others = numbers["tp"] * numbers["pp"] * numbers["cp"]
    spelled = " * ".join(f"{name}={numbers[name]}" for name in ("tp", "pp", "cp"))
    dp, rest = divmod(bounds.devices, others)
    if rest:
        nearest = max(dp, 1) * others
        raise BadInput(
            f"plan: {spelled} = {others} does not divide devices={bounds.devices}; "
            f"give --devices {nearest}, or axes whose product is one of {_listed(divisors(bounds.devices))}"
        )
    if stated and numbers["dp"] != dp:
        product = others * numbers["dp"]
        raise BadInput(
            f"plan: {spelled} * dp={numbers['dp']} = {product} is not devices={bounds.devices}; "
            f"leave dp out (it would be {dp}), or give --devices {product}"
        )
    return dp


def _refused_tensor(tp: int, bounds: Space) -> str:
    can = tensor_parts(bounds)
    if tp in can:
        return ""
    for name, sizes in (("heads", bounds.heads), ("width", bounds.widths)):
        for size in sizes:
            if size % tp:
                return f"tp={tp} does not divide {name}={size}; it can be {_listed(can)}"
    return f"tp={tp} neither divides kv_heads={bounds.kv_heads[0]} nor is a multiple; it can be {_listed(can)}"


def _refused_pipeline(pp: int, interleave: int, bounds: Space) -> str:
    if pp > bounds.layers:
        return f"pp={pp} is more than the {bounds.layers} layers; give at most one stage a layer"
    if interleave > 1 and pp == 1:
        return f"interleave={interleave} parts stages of a pipeline, and pp=1 has none; leave it out, or give pp"
    if pp * interleave > bounds.layers:
        can, product = _listed(interleaves(bounds, pp)), f"pp={pp} * interleave={interleave}"
        return f"{product} is more than the {bounds.layers} layers; interleave can be {can}"
    return ""


def _refused_batch(plan: Plan, bounds: Space) -> str:
    dp, batch = int(plan.dp), bounds.global_batch
    each, rest = divmod(batch, dp)
    if rest:
        nearest = dp * max(1, round(batch / dp))
        return f"dp={dp} does not divide global_batch={batch}; give --global-batch {nearest}, or another dp"
    if each % plan.micro_batch:
        of = f"the {each} sequences of each of dp={dp} (global_batch={batch})"
        return f"micro_batch={plan.micro_batch} does not divide {of}; it can be {_listed(divisors(each))}"
    count = each // plan.micro_batch
    if plan.interleave > 1 and count % plan.pp:
        rounds = f"interleave={plan.interleave} needs rounds of pp={plan.pp} micro-batches"
        return f"{rounds}, and there are {count} of them; leave it out, or change micro_batch or --global-batch"
    return ""


def _refused_context(plan: Plan, bounds: Space) -> str:
    if context_parts(bounds, int(plan.cp)):
        return ""
    pieces = f"cp={plan.cp} gives each device two equal pieces of a sequence, and 2 * cp = {2 * plan.cp}"
    return f"{pieces} does not divide sequence={bounds.sequence}; give another cp or --sequence"


def _refused_experts(plan: Plan, bounds: Space) -> str:
    if bounds.experts % plan.ep:
        what = f"the {bounds.experts} experts of a layer" if bounds.experts > 1 else "a model without experts"
        return f"ep={plan.ep} does not divide {what}; it can be {_listed(divisors(bounds.experts))}"
    around = plan.tp * plan.cp * plan.dp
    if around % plan.ep:
        can = [n for n in divisors(bounds.experts) if around % n == 0]
        return f"ep={plan.ep} does not divide tp * cp * dp = {around}; it can be {_listed(can)}"
    return ""


def _refused_sharing(plan: Plan, shared_pipeline: bool) -> str:
    if plan.zero >= 2 and plan.pp > 1 and not shared_pipeline:
        rule = f"zero={plan.zero} shares after every micro-batch, which this engine does not do over pp={plan.pp}"
        return f"{rule}; give zero=1, or pp=1"
    copies = int(plan.dp * plan.cp)
    if plan.shard is not None and copies % plan.shard:
        return f"shard={plan.shard} does not divide dp * cp = {copies}; it can be {_listed(divisors(copies))}"
    return ""


def _listed(numbers: Sequence[int]) -> str:
    more = f", ... {numbers[-1]}" if len(numbers) > SHOWN else ""
    return ", ".join(map(str, numbers[: SHOWN - 1 if more else SHOWN])) + more
