"""The layers of a model, as its config describes them: which kinds there are, and what each is made of.

A family differs from another only in its answers (`families/`); a hybrid adds a function for its own mixer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from deepwide.architecture.attention import Attention
from deepwide.architecture.ffn import FeedForward
from deepwide.architecture.model import Body, Branch, Layer, Run
from deepwide.architecture.parts import LAYER, LAYER_NO_BIAS, RMS, Norm
from deepwide.errors import BadInput
from deepwide.formats.fields import Fields

if TYPE_CHECKING:
    from deepwide.architecture.experts import Experts

NORMS = {"rms": RMS, "layer": LAYER, "layer_no_bias": LAYER_NO_BIAS, "none": Norm(kind="layer", scale=False)}
FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"
DENSE, SPARSE = "dense", "sparse"


def norm(c: Fields) -> Norm:
    """The family's norm."""
    choice = c("norm", "rms")
    return choice if isinstance(choice, Norm) else NORMS[choice]


def layer_runs(c: Fields) -> tuple[tuple[Run, ...], tuple[int, ...]]:
    """Equal layers gathered into runs, and the order in which the runs interleave."""
    layers = c.number("layers")
    mixers, ffns = c("mixer_kinds"), c("ffn_kinds")
    if mixers is None and ffns is None or hasattr(layers, "dtype"):
        return (Run(layer=layer(c, FULL, SPARSE if c("experts") else DENSE), layers=layers),), ()
    kinds = list(zip(mixers or [FULL] * layers, ffns or [DENSE] * layers, strict=True))
    distinct = list(dict.fromkeys(kinds))
    runs = tuple(
        Run(layer=layer(c, *kind), layers=kinds.count(kind), name=_run_name(kind, distinct)) for kind in distinct
    )
    return runs, tuple(distinct.index(kind) for kind in kinds) if len(distinct) > 1 else ()


def _run_name(kind: tuple[str, str], distinct: list[tuple[str, str]]) -> str:
    """A short name that tells this run from the others: only what differs is said."""
    if len(distinct) == 1:
        return ""
    differs = [len({k[i] for k in distinct}) > 1 for i in (0, 1)]
    words = [str(word).replace("_attention", "") for word, differ in zip(kind, differs, strict=True) if differ]
    return "_".join(words)


def layer(c: Fields, mixer_kind: str, ffn_kind: str) -> Layer:
    """One layer: its mixer, attention across to another stack if any, and its feed-forward network, with their norms."""
    mixer = c("mixers", {}).get(mixer_kind, attention)(c, mixer_kind)
    feed = c("ffns", {}).get(ffn_kind, experts if ffn_kind == SPARSE else feed_forward)(c, ffn_kind)
    cross = c.rule["cross"](c) if "cross" in c.rule else None
    bodies: tuple[Body, ...] = tuple(body for body in (mixer, cross, feed) if body is not None)
    extra = c("layer_extra", ())
    extra = extra(c, mixer_kind, ffn_kind) if isinstance(extra, Callable) else extra  # type: ignore[arg-type]
    habit = c("norms", "pre")
    habit = habit[mixer_kind] if isinstance(habit, dict) else habit
    return Layer(branches=arranged(c, bodies, habit), parallel=habit.startswith("parallel"), extra=extra)


def arranged(c: Fields, bodies: tuple[Body, ...], habit: str) -> tuple[Branch, ...]:
    """Residual branches, by the family's habit (which may be given for each kind of mixer).

    pre         a norm before each           post      a norm after each sum (BERT)
    sandwich    a norm before and after      after     a norm after each branch, before the sum (OLMo 2)
    parallel    one norm for all branches    parallel2 a norm for each of the parallel branches
    """
    n = norm(c)
    if habit == "parallel":
        return tuple(Branch(body=body, before=n if i == 0 else None) for i, body in enumerate(bodies))
    before, after = habit in ("pre", "sandwich", "parallel2"), habit in ("post", "after", "sandwich")
    return tuple(
        Branch(body=body, before=n if before else None, after=n if after else None, after_sum=habit == "post")
        for body in bodies
    )


def attention(c: Fields, kind: str = FULL) -> Attention:
    """The family's softmax attention; `kind` says whether this layer looks through a window."""
    heads, head_dim = attention_heads(c)
    qk_norm = c("qk_norm")
    return Attention(
        heads=heads,
        kv_heads=kv_heads(c, heads),
        head_dim=head_dim,
        value_dim=c.maybe("value_dim"),
        bias=c.text("attention_bias"),
        qk_norm=(norm(c) if qk_norm is True else NORMS[qk_norm]) if qk_norm else None,
        qk_norm_over=c.text("qk_norm_over", "head"),
        sinks=c.flag("sinks"),
        gate=c.text("attention_gate"),
        window=c.maybe("window") if kind == SLIDING or c.flag("window_everywhere") else None,
    )


def attention_heads(c: Fields) -> tuple[Any, Any]:
    """Query heads and their width; the width is hidden / heads unless it is given."""
    given = c.maybe("head_dim")
    heads = c.number("heads")
    if isinstance(heads, int) and heads < 1:
        raise BadInput(f"{c.where}: {c.spelled('heads')}={heads} must be at least 1")
    return heads, c.divided("hidden", "heads") if given is None else given


def kv_heads(c: Fields, heads: Any) -> Any:
    """Key/value heads: as many as query heads unless said otherwise; they must divide them."""
    groups = c.number("kv_heads", heads)
    if isinstance(groups, int) and isinstance(heads, int) and (groups < 1 or heads % groups):
        raise BadInput(
            f"{c.where}: {c.spelled('heads')}={heads} must be a multiple of {c.spelled('kv_heads')}={groups}"
        )
    return groups


def feed_forward(c: Fields, kind: str = DENSE) -> FeedForward:
    """The family's dense feed-forward network; its width is 4 hidden where the config leaves it out."""
    return FeedForward(
        ffn=c.number("ffn", 4 * c.number("hidden")),
        gated=c.flag("gated", True),
        bias=c.flag("ffn_bias"),
        activation=c.text("activation", "silu"),
    )


def experts(c: Fields, kind: str = SPARSE) -> Experts:
    """The family's mixture of experts."""
    from deepwide.architecture.experts import Experts

    ffn = c.number("expert_ffn", c("ffn"))
    number, active = c.number("experts"), c.number("active_experts", 1)
    if isinstance(number, int) and isinstance(active, int) and active > number:
        raise BadInput(f"{c.where}: {c.spelled('active_experts')}={active} exceeds {c.spelled('experts')}={number}")
    return Experts(
        experts=number,
        active_experts=active,
        ffn=ffn,
        gated=c.flag("expert_gated", c.flag("gated", True)),
        bias=c.flag("expert_bias"),
        activation=c.text("activation", "silu"),
        router_bias=c.flag("router_bias"),
        balance=c.flag("balance"),
        output_bias=c.flag("expert_output_bias"),
        shared=_shared_expert(c, ffn),
        shared_gate=c.flag("shared_gate"),
    )


def _shared_expert(c: Fields, ffn: Any) -> FeedForward | None:
    """The network every token passes: of its own width, or as wide as so many experts."""
    width = c("shared_ffn")
    if width is None:
        copies = c.number("shared_experts", 0)
        if isinstance(copies, int) and copies == 0:
            return None
        width = copies * ffn
    elif c.checked("shared_ffn", width) == 0:
        return None
    return FeedForward(ffn=width, gated=c.flag("gated", True), bias=c.flag("ffn_bias"), name="shared")


def listed_kinds(c: Fields, name: str, otherwise: Callable[[int], str] | None = None) -> list[str] | None:
    """One kind per layer: the config's list, cut or continued to the number of layers, or a rule by index."""
    layers, kinds = c.number("layers"), c.listed(name)
    if hasattr(layers, "dtype"):
        return None
    if not kinds:
        return [otherwise(i) for i in range(layers)] if otherwise else None
    if len(kinds) < layers and "layers" not in c.changes and c.has("layers"):
        raise BadInput(f"{c.where}: {c.spelled(name)} has {len(kinds)} entries for {layers} layers")
    if len(kinds) < layers:
        c.notes.append(f"{c.spelled(name)} lists {len(kinds)} layers; its pattern is continued to {layers}")
    return [str(kinds[i % len(kinds)]) for i in range(layers)]
